# SPDX-License-Identifier: Apache-2.0
"""How certain a prediction is, pixel by pixel, from logits.

Entropy and weighted self-information: AdvEnt and MinEnt (Vu et al., CVPR 2019). Divergence from the uniform distribution:
CRST (Zou et al., ICCV 2019) and IAST (Mei et al., ECCV 2020). Maximum squares and image-wise class weights: MaxSquare (Chen,
Xue, Cai, ICCV 2019). Charbonnier penalty: FDA (Yang and Soatto, CVPR 2020). Published code takes the logarithm of a
probability plus a small constant, which bends the gradient of certain pixels; here everything comes from the log-softmax
in float32, exact at any logit. (``ops.selection.entropy`` is of probabilities that are already there.)
"""
import math

import torch
from torch import Tensor


def _log_prob(logits: Tensor) -> Tensor:
    """float32 (at least) log-probabilities of (B, C, H, W)."""
    if logits.dim() != 4 or logits.shape[1] < 2:
        raise ValueError(f'logits have the shape {tuple(logits.shape)}; expected (B, C, H, W) with two or more classes')
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits.log_softmax(1)


def weighted_self_information(logits: Tensor) -> Tensor:
    r"""What AdvEnt's discriminator sees: :math:`I_c = -p_c \log p_c / \log C` (Vu et al., Eq. 5, in units of log C).

    Args:
        logits (Tensor): float, (B, C, H, W), unnormalised.

    Returns:
        Tensor: float32, (B, C, H, W), >= 0; the sum over C is the normalised entropy, in [0, 1].
    """
    log_prob = _log_prob(logits)
    return log_prob.exp() * log_prob / -math.log(logits.shape[1])


def entropy_map(logits: Tensor, *, normalised: bool = True) -> Tensor:
    r"""Shannon entropy :math:`-\sum_c p_c \log p_c`.

    Args:
        logits (Tensor): float, (B, C, H, W), unnormalised.
        normalised (bool): divided by log C, in [0, 1] (MinEnt); else in nats, in [0, log C] (IAST).

    Returns:
        Tensor: float32, (B, H, W).

    Example:
        >>> float(entropy_map(torch.zeros(1, 4, 1, 1)))
        1.0
    """
    log_prob = _log_prob(logits)
    entropy = -(log_prob.exp() * log_prob).sum(1)
    return entropy / math.log(logits.shape[1]) if normalised else entropy


def kld_to_uniform_map(logits: Tensor) -> Tensor:
    r"""Cross-entropy of the uniform distribution, :math:`-\frac{1}{C} \sum_c \log p_c`.

    It is the divergence KL(uniform || p) plus the constant log C, the form of MRKLD and IAST.

    Args:
        logits (Tensor): float, (B, C, H, W), unnormalised.

    Returns:
        Tensor: float32, (B, H, W), >= log C.
    """
    return -_log_prob(logits).mean(1)


def max_squares_map(logits: Tensor) -> Tensor:
    r"""Maximum squares loss :math:`-\frac{1}{2} \sum_c p_c^2` (Chen et al., Eq. 6).

    Args:
        logits (Tensor): float, (B, C, H, W), unnormalised.

    Returns:
        Tensor: float32, (B, H, W), in [-1/2, -1/(2C)]. Its gradient grows linearly with p, that of the entropy is much
        steeper for certain pixels.
    """
    return _log_prob(logits).mul(2).exp().sum(1) / -2


def charbonnier_entropy_map(logits: Tensor, *, eta: float = 2.0) -> Tensor:
    r"""Penalty :math:`(h^2 + 0.001^2)^\eta` on the normalised entropy h (FDA, Eq. 4): eta > 0.5 favours uncertain pixels.

    Args:
        logits (Tensor): float, (B, C, H, W), unnormalised.
        eta (float): exponent, > 0.

    Returns:
        Tensor: float32, (B, H, W), in (0, ~1].
    """
    return (entropy_map(logits).square() + 1e-6).pow(eta)


def image_wise_class_weights(prediction: Tensor, num_classes: int, *, ratio: float = 0.2,
                             region: Tensor | None = None) -> Tensor:
    r"""Class weights of MaxSquare-IW, :math:`w_c = 1 / (N_c^{r} N^{1-r})`, for each image on its own (Chen et al., Eq. 12).

    With ``ratio=0`` every class weighs 1/N, with ``ratio=1`` 1/N_c.

    Args:
        prediction (Tensor): int64, (B, H, W), predicted classes, 0..C-1.
        num_classes (int): C.
        ratio (float): r in [0, 1].
        region (Tensor, optional): bool, (B, H, W), the pixels that count. Defaults to all.

    Returns:
        Tensor: float32, (B, C); 0 for a class that an image is nowhere predicted as. No host synchronisation.
    """
    pixels = torch.ones_like(prediction) if region is None else region.to(prediction.dtype)
    counts = prediction.new_zeros(len(prediction), num_classes).scatter_add_(1, prediction.flatten(1), pixels.flatten(1))
    total = counts.sum(1, keepdim=True).clamp(min=1).float()
    weights = counts.clamp(min=1).float().pow(-ratio) * total.pow(ratio - 1)
    return weights * (counts > 0)
