# SPDX-License-Identifier: Apache-2.0
"""Cutting images together by class, on the device of the batch and without a host synchronisation.

ClassMix (Olsson et al., WACV 2021) as used between domains by DACS (Tranheden et al., WACV 2021).
"""
import torch
from torch import Tensor

IGNORE = 255


def class_mix_mask(label: Tensor, num_classes: int) -> Tensor:
    """Pixels of half of the classes of each image, drawn at random.

    Args:
        label (Tensor): int64, (B, H, W), 0..C-1, 255 = ignore.
        num_classes (int): C.

    Returns:
        Tensor: bool, (B, H, W); of the n classes in an image, all pixels of ceil(n / 2). Ignored pixels are never in it.
    """
    labelled = label != IGNORE
    index = torch.where(labelled, label, num_classes)
    present = torch.zeros(len(label), num_classes + 1, dtype=torch.bool, device=label.device)
    present.scatter_(1, index.flatten(1), True)
    present[:, num_classes] = False
    draw = torch.rand(present.shape, device=label.device).masked_fill(~present, 2.0)
    rank = draw.argsort(1).argsort(1)
    chosen = present & (rank < (present.sum(1, keepdim=True) + 1) // 2)
    return chosen.gather(1, index.flatten(1)).view_as(label)


def paste(mask: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """``foreground`` where the mask is set, ``background`` elsewhere.

    Args:
        mask (Tensor): bool, (B, H, W).
        foreground (Tensor): (B, H, W) or (B, C, H, W).
        background (Tensor): the same shape.
    """
    return torch.where(mask[:, None] if foreground.ndim == 4 else mask, foreground, background)


def confident_share(confidence: Tensor, threshold: float) -> Tensor:
    """Share of an image's pixels whose confidence exceeds the threshold: float32, (B,), from (B, H, W)."""
    return (confidence > threshold).float().mean((1, 2))


def teacher_label(prob: Tensor, threshold: float, *, known: Tensor | None = None,
                  ignore_rows: tuple[int, int] = (0, 0)) -> tuple[Tensor, Tensor]:
    """What a teacher says of images, and how much that counts (DACS, Sec. 3; DAFormer, Eq. 3 and 4).

    Args:
        prob (Tensor): float, (B, C, H, W), probabilities of the teacher.
        threshold (float): pixels of an image weigh the share of them that is predicted with more than this probability.
        known (Tensor, optional): int64, (B, H, W), labels that hold where they are not 255, with the weight 1.
        ignore_rows (tuple[int, int]): rows at the top and at the bottom whose prediction weighs 0.

    Returns:
        tuple[Tensor, Tensor]: label int64, (B, H, W), 0..C-1; weight float32, (B, H, W), in [0, 1].
    """
    confidence, label = prob.max(1)
    weight = confident_share(confidence, threshold)[:, None, None].repeat(1, *confidence.shape[1:])
    top, bottom = ignore_rows
    weight[:, :top] = 0
    weight[:, max(0, weight.shape[1] - bottom):] = 0
    if known is not None:
        label = torch.where(known != IGNORE, known, label)
        weight = torch.where(known != IGNORE, torch.ones_like(weight), weight)
    return label, weight
