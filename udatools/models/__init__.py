# SPDX-License-Identifier: Apache-2.0
"""Models: backbones, heads, discriminators, objectives, segmentors."""
from . import backbones, decode_heads, discriminators, label_refinement, mixing, objectives, segmentors

__all__ = ['backbones', 'decode_heads', 'discriminators', 'label_refinement', 'mixing', 'objectives', 'segmentors']
