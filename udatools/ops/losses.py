# SPDX-License-Identifier: Apache-2.0
"""Segmentation losses as pure functions.

They differ from ``mmseg.models.losses.CrossEntropyLoss`` in one point that matters for sparse labels on many GPUs: the
mean runs over the *labelled pixels of the global batch*. With one rank's own count, a rank that holds three labelled
points would weigh as much as one that holds a whole map, and the numbers would depend on the world size.
"""
import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def global_pixel_count(count: Tensor) -> Tensor:
    """Mean over ranks of a pixel count, at least one pixel.

    Dividing each rank's *sum* by it makes the average that DistributedDataParallel takes equal to the mean over the
    pixels of the global batch.

    Args:
        count (Tensor): number of pixels on this rank, scalar, any dtype.

    Returns:
        Tensor: float32 scalar, ``max(sum over ranks, 1) / world size``. No host synchronisation.
    """
    world_size = get_world_size()
    total = count.detach().to(torch.float32).clone()
    if world_size > 1:
        all_reduce(total)
    return total.clamp(min=1.0) / world_size


def segmentation_cross_entropy(logits: Tensor, label: Tensor, ignore_index: int = 255, *,
                               pixel_weight: Tensor | None = None, class_weight: Tensor | None = None,
                               gamma: float = 0.0) -> Tensor:
    r"""Cross-entropy averaged over the labelled pixels of the global batch.

    .. math:: L = -\frac{1}{|\{i: y_i \ne 255\}|} \sum_{i: y_i \ne 255} (1 - p_i(y_i))^\gamma \log p_i(y_i)

    Args:
        logits (Tensor): float, (B, C, H, W), unnormalised.
        label (Tensor): int64, (B, H, W), 0..C-1, ``ignore_index`` = not labelled.
        ignore_index (int): the value that is left out.
        pixel_weight (Tensor, optional): float, (B, H, W), factor of each pixel's term; the mean is over pixels all the same.
        class_weight (Tensor, optional): float32, (C,), factor of the terms of each class, likewise.
        gamma (float): 0, or at least 1: of the focal loss (Lin et al., ICCV 2017, Eq. 4), which looks away from pixels that
            are right already.

    Returns:
        Tensor: scalar, 0 with a zero gradient where nothing is labelled.

    Raises:
        ValueError: when the spatial sizes differ, or for another gamma, whose gradient has no bound.

    Example:
        >>> logits = torch.zeros(1, 2, 1, 2)
        >>> float(segmentation_cross_entropy(logits, torch.tensor([[[1, 255]]])))  # log 2
        0.6931471824645996
    """
    if logits.shape[0] != label.shape[0] or logits.shape[2:] != label.shape[1:]:
        raise ValueError(f'logits {tuple(logits.shape)} and label {tuple(label.shape)} do not describe the same pixels; '
                         'expected (B, C, H, W) and (B, H, W): upsample the logits to the label first')
    if gamma and gamma < 1:
        raise ValueError(f'gamma is {gamma}; expected 0 (cross-entropy) or at least 1 (focal loss)')
    if pixel_weight is None and not gamma:
        total = F.cross_entropy(logits.float(), label, class_weight, ignore_index=ignore_index, reduction='sum')
    else:
        terms = F.cross_entropy(logits.float(), label, class_weight, ignore_index=ignore_index, reduction='none')
        if gamma:
            own = terms if class_weight is None else F.cross_entropy(
                logits.float(), label, ignore_index=ignore_index, reduction='none')
            terms = (1 - (-own).exp()).pow(gamma) * terms
        total = (terms if pixel_weight is None else terms * pixel_weight).sum()
    return total / global_pixel_count((label != ignore_index).sum())


def classifier_discrepancy(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """Mean absolute difference of two softmax outputs (LabOR Eq. 4; MCD, Saito et al. 2018, Eq. 2).

    Args:
        logits_a (Tensor): float, (B, C, H, W), unnormalised.
        logits_b (Tensor): float, (B, C, H, W), unnormalised.

    Returns:
        Tensor: scalar in [0, 2]: L1 distance of the probability vectors, mean over pixels.
    """
    distance = (logits_a.float().softmax(1) - logits_b.float().softmax(1)).abs().sum(1)
    return distance.mean()


def domain_classification_loss(score: Tensor, is_target: bool, mode: str = 'bce', weight: Tensor | None = None) -> Tensor:
    """Loss of a discriminator map against one domain label.

    Args:
        score (Tensor): float, (B, 1, H, W), raw discriminator output.
        is_target (bool): the label: source is 0, target is 1.
        mode (str): ``'bce'`` (binary cross-entropy on logits, AdaptSegNet) or ``'ls'`` (least squares).
        weight (Tensor, optional): float, (B, 1, H, W), of each score (CLAN). The mean is over the map, not over the weights.

    Returns:
        Tensor: scalar, mean over the map.

    Raises:
        ValueError: for an unknown mode.
    """
    truth = torch.full_like(score, float(is_target), dtype=torch.float32)
    if mode == 'bce':
        return F.binary_cross_entropy_with_logits(score.float(), truth, weight)
    if mode == 'ls':
        return F.mse_loss(score.float(), truth) if weight is None else (weight * (score.float() - truth).square()).mean()
    raise ValueError(f"mode is {mode!r}; expected 'bce' or 'ls'")
