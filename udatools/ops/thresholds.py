# SPDX-License-Identifier: Apache-2.0
"""Per-class confidence thresholds for pseudo-labels, computed from histograms.

Instance-adaptive rule: Mei et al., "Instance Adaptive Self-Training for Unsupervised Domain Adaptation", ECCV 2020.
Class-balanced rule: Zou et al., "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced
Self-Training", ECCV 2018; its labels made denser by voting: Shin et al., "Two-phase Pseudo Label Densification for Self-training
based Domain Adaptation", ECCV 2020. They differ from the authors' code in that probabilities are rounded to float16 and kept as
counts, not as lists.
"""
import math

import numpy as np
import torch
from torch import Tensor

from .histograms import ClassCounts, SparseHistogram, percentile_with
from .voting import densify_by_voting

#: A threshold of one or more would never keep a pixel again; the rule sets this value instead.
THRESHOLD_CAP = 0.999


def instance_adaptive_step(theta: np.ndarray, histogram: SparseHistogram, alpha: float, beta: float,
                           gamma: float) -> np.ndarray:
    r"""Thresholds after one instance (IAST).

    For every class c, with :math:`L_c` the winning probabilities of the instance's pixels predicted c:

    .. math::
        \hat\theta_c = \mathrm{percentile}([\theta_c] + L_c,\; 100 (1 - \alpha \theta_c^\gamma)), \quad
        \theta_c \leftarrow \beta \theta_c + (1 - \beta) \hat\theta_c

    and values >= 1 become 0.999. A class without a pixel keeps its threshold.

    Args:
        theta (np.ndarray): float64, (C,), thresholds before the instance, in (0, 1).
        histogram (SparseHistogram): winning probabilities of the instance.
        alpha (float): share of the most confident pixels to keep, in [0, 1].
        beta (float): momentum, in [0, 1].
        gamma (float): how fast the share falls for classes with a low threshold, >= 0.

    Returns:
        np.ndarray: float64, (C,), thresholds after (and for) the instance.
    """
    updated = np.array(theta, dtype=np.float64)
    for class_id in np.unique(histogram.classes):
        before = float(theta[class_id])
        counts = ClassCounts(histogram, int(class_id))
        candidate = percentile_with(counts, before, 100.0 * (1.0 - alpha * before**gamma))
        updated[class_id] = beta * before + (1.0 - beta) * candidate
    updated[updated >= 1.0] = THRESHOLD_CAP
    return updated


def keep_confident(label: np.ndarray, confidence: np.ndarray, theta: np.ndarray,
                   ignore_index: int = 255) -> np.ndarray:
    """Keep a pixel iff its winning probability is at least the threshold of its class.

    Args:
        label (np.ndarray): uint8, (H, W), predicted class.
        confidence (np.ndarray): float16, (H, W), winning probability.
        theta (np.ndarray): float64, (C,), thresholds.
        ignore_index (int): value of the pixels that are not kept.

    Returns:
        np.ndarray: uint8, (H, W), ``0..C-1`` or ``ignore_index``.
    """
    keep = confidence.astype(np.float64) >= theta[label]
    return np.where(keep, label, np.uint8(ignore_index)).astype(np.uint8)


def class_balanced_thresholds(histogram: SparseHistogram, num_classes: int, portion: float) -> np.ndarray:
    r"""Thresholds that keep the same portion of every class (CBST, CRST).

    With :math:`n_c` pixels predicted c, :math:`\theta_c` is their winning probability at the 0-based rank
    :math:`\lfloor t\, n_c \rfloor - 1` of the descending order; 1 where that rank does not exist.

    Args:
        histogram (SparseHistogram): winning probabilities of the whole set.
        num_classes (int): number of classes.
        portion (float): t, in (0, 1].

    Returns:
        np.ndarray: float64, (C,), in (0, 1], values of float16.
    """
    theta = np.ones(num_classes, np.float64)
    for class_id in np.unique(histogram.classes):
        counts = ClassCounts(histogram, int(class_id))
        # 0.29 of 100 pixels is 28.999999999999996 in double precision, and means 29.
        rank = math.floor(round(portion * len(counts), 6)) - 1
        if rank >= 0:
            theta[class_id] = counts.descending(rank)
    return theta


def threshold_ratios(prob_chw: Tensor, theta: np.ndarray) -> tuple[Tensor, Tensor]:
    """Probabilities rounded to float16, as those that the thresholds come from, and their ratios to the thresholds.

    Args:
        prob_chw (Tensor): float, (C, H, W), in [0, 1].
        theta (np.ndarray): float64, (C,), in (0, 1].

    Returns:
        tuple[Tensor, Tensor]: float16 and float32, (C, H, W).
    """
    rounded = prob_chw.clamp(0.0, 1.0).to(torch.float16)
    divisor = torch.as_tensor(theta, dtype=torch.float32, device=prob_chw.device)[:, None, None]
    return rounded, rounded.float() / divisor


def class_balanced_label(prob_chw: Tensor, theta: np.ndarray,
                         ignore_index: int = 255) -> tuple[np.ndarray, np.ndarray]:
    r"""Label :math:`\arg\max_c p_c / \theta_c`, kept where that maximum is at least 1.

    Probabilities are rounded to float16 as those that the thresholds come from, so a pixel that defines a threshold is
    kept. Of equal ratios the lowest class wins. The label need not be the argmax of the probabilities.

    Args:
        prob_chw (Tensor): float, (C, H, W), in [0, 1].
        theta (np.ndarray): float64, (C,), in (0, 1].
        ignore_index (int): value of the pixels that are not kept.

    Returns:
        tuple[np.ndarray, np.ndarray]: label, uint8 (H, W), ``0..C-1`` or ``ignore_index``; and the probability of the
        class with the largest ratio, kept or not: float16 (H, W).
    """
    rounded, ratios = threshold_ratios(prob_chw, theta)
    ratio, label = ratios.max(dim=0)
    confidence = rounded.gather(0, label[None])[0].cpu().numpy()
    label = torch.where(ratio >= 1.0, label, ignore_index).to(torch.uint8)
    return label.cpu().numpy(), confidence


def voted_label(prob_chw: Tensor, theta: np.ndarray, *, window: int, weight: float, iterations: int,
                ignore_index: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """Labels of :func:`class_balanced_label`, and those that :func:`udatools.ops.voting.densify_by_voting` adds.

    Args:
        prob_chw (Tensor): float, (C, H, W), in [0, 1].
        theta (np.ndarray): float64, (C,), in (0, 1].
        window, weight, iterations: of the voting.
        ignore_index (int): value of the pixels that are not kept.

    Returns:
        tuple[np.ndarray, np.ndarray]: as of :func:`class_balanced_label`; where a vote is won, the probability is that of
        the class that won it.
    """
    rounded, ratios = threshold_ratios(prob_chw, theta)
    ratio, first = ratios.max(dim=0)
    other, second = ratios.scatter(0, first[None], -1.0).max(dim=0)
    label = densify_by_voting(torch.stack((first, second)), torch.stack((ratio, other)), window=window, weight=weight,
                              iterations=iterations, ignore_index=ignore_index)
    chosen = torch.where(label == ignore_index, first, label.long())
    return label.cpu().numpy(), rounded.gather(0, chosen[None])[0].cpu().numpy()
