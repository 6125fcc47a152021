# SPDX-License-Identifier: Apache-2.0
"""Decode heads."""
from .deeplabv2_head import DeepLabV2Head
from .dual_deeplabv2_head import DualDeepLabV2Head

__all__ = ['DeepLabV2Head', 'DualDeepLabV2Head']
