# SPDX-License-Identifier: Apache-2.0
"""What makes a pixel worth asking for: LabOR's inconsistency mask, and scores of discrepancy and uncertainty.

Mask: Shin et al., "LabOR: Labeling Only if Required for Domain Adaptive Semantic Segmentation", ICCV 2021, Eq. 2.
Score ``mcdal``: Cho et al., "MCDAL: Maximum Classifier Discrepancy for Active Learning", 2021. Every score is >= 0, and
the larger is asked first. Cuts to a budget are in :mod:`udatools.ops.cuts`.
"""
import torch
from torch import Tensor


def predicted_class(prob: Tensor) -> Tensor:
    """Class of the largest probability, the first of equal ones: int64, (H, W); input (C, H, W)."""
    return prob.max(dim=0).indices  # a third of the time of argmax over the first dimension on a CPU


def inconsistency_mask(prob1: Tensor, prob2: Tensor) -> Tensor:
    """Pixels where two classifiers disagree (LabOR, Eq. 2).

    Args:
        prob1 (Tensor): float, (C, H, W), probabilities of the first classifier.
        prob2 (Tensor): float, (C, H, W), of the second.

    Returns:
        Tensor: bool, (H, W), True where the two argmaxes differ.
    """
    return predicted_class(prob1) != predicted_class(prob2)


def l1_discrepancy(prob1: Tensor, prob2: Tensor) -> Tensor:
    """Sum over the classes of ``|prob1 - prob2|``: float32, (H, W), in [0, 2]; inputs (C, H, W)."""
    return (prob1 - prob2).abs().sum(dim=0)


def mcdal_discrepancy(prob: Tensor, prob1: Tensor, prob2: Tensor) -> Tensor:
    """``L1(p1, p2) + L1(p, p1) + L1(p, p2)``: float32, (H, W), in [0, 6]; inputs (C, H, W)."""
    return l1_discrepancy(prob1, prob2) + l1_discrepancy(prob, prob1) + l1_discrepancy(prob, prob2)


def entropy(prob: Tensor) -> Tensor:
    """Shannon entropy in nats: float32, (H, W), in [0, ln C]; input (C, H, W)."""
    return torch.special.entr(prob).sum(dim=0)


def margin_uncertainty(prob: Tensor) -> Tensor:
    """``1 - (best - second best)``, "best versus second best": float32, (H, W), in [0, 1]; input (C, H, W).

    A single class has no second: its probability counts as 0.
    """
    best, second = prob[0], torch.zeros_like(prob[0])
    for other in prob[1:]:  # two running maxima: no sort, and no copy of the probabilities
        second = torch.maximum(second, torch.minimum(best, other))
        best = torch.maximum(best, other)
    return 1 - (best - second)


def least_confidence(prob: Tensor) -> Tensor:
    """``1 - best``: float32, (H, W), in [0, 1 - 1 / C]; input (C, H, W)."""
    return 1 - prob.amax(dim=0)
