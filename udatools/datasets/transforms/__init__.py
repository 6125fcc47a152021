# SPDX-License-Identifier: Apache-2.0
"""Transforms: loading with clear errors, and geometry that keeps sparse labels."""
from udatools.datasets.transforms.load_label import LoadDomainImage, LoadDomainLabel
from udatools.datasets.transforms.rare_class_crop import RareClassCrop
from udatools.datasets.transforms.sparse_safe_resize import SparseSafeResize, resize_label

__all__ = ['LoadDomainImage', 'LoadDomainLabel', 'RareClassCrop', 'SparseSafeResize', 'resize_label']
