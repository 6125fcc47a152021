# SPDX-License-Identifier: Apache-2.0
"""Decode heads."""
from .daformer_head import DAFormerHead
from .deeplabv2_head import DeepLabV2Head
from .dual_deeplabv2_head import DualDeepLabV2Head
from .fcn8s_head import FCN8sHead

__all__ = ['DAFormerHead', 'DeepLabV2Head', 'DualDeepLabV2Head', 'FCN8sHead']
