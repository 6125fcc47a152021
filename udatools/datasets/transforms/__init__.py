# SPDX-License-Identifier: Apache-2.0
"""Transforms: loading with clear errors, and geometry that keeps sparse labels; for images and for clips."""
from udatools.datasets.transforms.clip_geometry import (
    ClipCenterCrop,
    ClipRandomCrop,
    ClipRandomFlip,
    ClipRandomResize,
    ClipResize,
    resize_flow_maps,
)
from udatools.datasets.transforms.clip_loading import ClipTransform, LoadClip, PackClipInputs
from udatools.datasets.transforms.clip_photometric import ClipPhotometric
from udatools.datasets.transforms.load_label import LoadDomainImage, LoadDomainLabel
from udatools.datasets.transforms.rare_class_crop import RareClassCrop
from udatools.datasets.transforms.sparse_safe_resize import SparseSafeResize, resize_label

__all__ = [
    'ClipCenterCrop', 'ClipPhotometric', 'ClipRandomCrop', 'ClipRandomFlip', 'ClipRandomResize', 'ClipResize', 'ClipTransform',
    'LoadClip', 'LoadDomainImage', 'LoadDomainLabel', 'PackClipInputs', 'RareClassCrop', 'SparseSafeResize', 'resize_flow_maps',
    'resize_label'
]
