# SPDX-License-Identifier: Apache-2.0
"""How far the features of some classes are from those of another network (DAFormer: Hoyer et al., CVPR 2022, Eq. 5 to 8)."""
import torch
import torch.nn.functional as F
from torch import Tensor

from .losses import global_pixel_count


def class_cells(label: Tensor, classes: Tensor, size: tuple[int, int], min_share: float) -> Tensor:
    """Feature cells that one of some classes fills well enough.

    Args:
        label (Tensor): int64, (B, H, W), 0..C-1, 255 = ignore.
        classes (Tensor): int64, (K,), train ids.
        size (tuple[int, int]): (h, w) of the features.
        min_share (float): a single class must cover more than this share of the pixels that a cell stands for, in [0, 1).

    Returns:
        Tensor: bool, (B, h, w).
    """
    share = F.adaptive_avg_pool2d((label[:, None] == classes[:, None, None]).float(), size)
    return share.amax(1) > min_share


def feature_distance(features: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Mean Euclidean distance of two feature maps over the masked cells of the global batch.

    Args:
        features (Tensor): float, (B, C, h, w).
        reference (Tensor): float, (B, C, h, w).
        mask (Tensor): bool, (B, h, w).

    Returns:
        Tensor: scalar, 0 with a zero gradient where no cell is in the mask.
    """
    distance = torch.linalg.vector_norm(features.float() - reference.float(), dim=1)
    return (distance * mask).sum() / global_pixel_count(mask.sum())
