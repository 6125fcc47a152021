# SPDX-License-Identifier: Apache-2.0
"""Image-level labels as pure functions (WDA: Paul, Tsai, Schulter, Roy-Chowdhury, Chandraker, ECCV 2020, Eq. 1 and 3)."""
import math

import torch
from torch import Tensor


def smooth_max(logits: Tensor, k: float = 1.0) -> Tensor:
    r"""Smooth maximum of each class over an image, :math:`\frac{1}{k} \log \frac{1}{HW} \sum_i e^{k A_i}` (Eq. 1).

    Args:
        logits (Tensor): float, (B, C, H, W), unnormalised.
        k (float): above 0; a large one comes near the maximum, a small one near the mean. The paper's 1.

    Returns:
        Tensor: float32, (B, C); the paper's image-level probability is its sigmoid.

    Example:
        >>> smooth_max(torch.full((1, 1, 2, 3), 0.7)).item()
        0.699999988079071
    """
    return (torch.logsumexp(k * logits.float().flatten(2), dim=2) - math.log(logits[0, 0].numel())) / k


def category_features(features: Tensor, logits: Tensor) -> Tensor:
    r"""Feature of each class: the mean of an image's features, weighted by the class's attention (Eq. 3).

    .. math:: F^c = \sum_i \frac{e^{A_i^c}}{\sum_j e^{A_j^c}} F_i

    Args:
        features (Tensor): float, (B, D, h, w).
        logits (Tensor): float, (B, C, h, w), unnormalised; the softmax runs over the pixels.

    Returns:
        Tensor: float32, (B, C, D).

    Raises:
        ValueError: for different sizes.
    """
    if features.shape[0] != logits.shape[0] or features.shape[2:] != logits.shape[2:]:
        raise ValueError(f'features {tuple(features.shape)} and logits {tuple(logits.shape)} do not describe the same pixels; '
                         'expected (B, D, h, w) and (B, C, h, w)')
    attention = logits.float().flatten(2).softmax(2)
    with torch.autocast(features.device.type, enabled=False):  # sums over thousands of cells
        return attention @ features.float().flatten(2).transpose(1, 2)


def classes_present(label: Tensor, num_classes: int) -> Tensor:
    """Which classes an image holds: float32, (B, C), 0 or 1, of labels int64 (B, H, W), 255 = ignore."""
    present = torch.zeros(len(label), num_classes + 1, device=label.device)
    present.scatter_(1, torch.where(label == 255, num_classes, label).flatten(1), 1.0)
    return present[:, :num_classes]
