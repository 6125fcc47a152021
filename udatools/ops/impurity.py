# SPDX-License-Identifier: Apache-2.0
"""Region impurity and prediction uncertainty over windows.

Xie et al., "Towards Fewer Annotations: Active Learning via Region Impurity and Prediction Uncertainty for Domain
Adaptive Semantic Segmentation" (RIPU), CVPR 2022. Both are divided by log C here, which changes no order. Sums over
windows come from integral images of integers: exact, the same on every device, and no slower for a larger window.
"""
from math import log

import torch
from torch import Tensor

from .selection import entropy, predicted_class

#: Steps of the fixed-point entropy; 2**20 of them times an image of 2**33 pixels fit in int64.
_STEPS = 2**20


def window_sum(value_hw: Tensor, radius: int) -> Tensor:
    """Sum over the square window of every pixel, cut off at the border.

    Args:
        value_hw (Tensor): bool or integer, (H, W).
        radius (int): windows have ``2 * radius + 1`` rows and columns.

    Returns:
        Tensor: int64 (int32 for bool), (H, W).
    """
    dtype = torch.int32 if value_hw.dtype == torch.bool else torch.int64  # counts fit in half of the memory
    total = value_hw
    for dim in (0, 1):
        size = total.shape[dim]
        integral = torch.cat([torch.zeros_like(total.narrow(dim, 0, 1), dtype=dtype), total.cumsum(dim, dtype=dtype)], dim)
        position = torch.arange(size, device=total.device)
        total = (integral.index_select(dim, (position + radius + 1).clamp(max=size))
                 - integral.index_select(dim, (position - radius).clamp(min=0)))
    return total


def region_impurity(class_hw: Tensor, num_classes: int, radius: int) -> Tensor:
    """Entropy of the classes in the window of every pixel, divided by ``log C``.

    Args:
        class_hw (Tensor): integer, (H, W), predicted class, 0..C-1.
        num_classes (int): C, >= 2.
        radius (int): of the window, in pixels.

    Returns:
        Tensor: float32, (H, W), in [0, 1].
    """
    pixels = window_sum(torch.ones_like(class_hw, dtype=torch.bool), radius)
    impurity = torch.zeros(class_hw.shape, device=class_hw.device)
    for class_id in torch.unique(class_hw).tolist():  # class by class: C times less memory than a one-hot map
        impurity += torch.special.entr(window_sum(class_hw == class_id, radius) / pixels)
    return impurity / log(num_classes)


def window_uncertainty(prob: Tensor, radius: int) -> Tensor:
    """Mean entropy in the window of every pixel, divided by ``log C``: float32, (H, W), in [0, 1]."""
    fixed = (entropy(prob) * (_STEPS / log(prob.shape[0]))).round().to(torch.int64)
    pixels = window_sum(torch.ones_like(fixed, dtype=torch.bool), radius)
    return (window_sum(fixed, radius).double() / (pixels.double() * _STEPS)).float()


def ripu_score(prob: Tensor, radius: int) -> Tensor:
    """Impurity times uncertainty.

    Args:
        prob (Tensor): float32, (C, H, W), C >= 2.
        radius (int): of the window, in pixels.

    Returns:
        Tensor: float32, (H, W), in [0, 1].

    Raises:
        ValueError: for one class: nothing can be impure.
    """
    if prob.shape[0] < 2:
        raise ValueError(f'prob has {prob.shape[0]} class; expected two or more: one class is never impure')
    return region_impurity(predicted_class(prob), prob.shape[0], radius) * window_uncertainty(prob, radius)
