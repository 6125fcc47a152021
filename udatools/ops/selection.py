# SPDX-License-Identifier: Apache-2.0
"""Which pixels to ask for: LabOR's inconsistency mask, discrepancy scores, and an exact cut to a budget.

Mask: Shin et al., "LabOR: Labeling Only if Required for Domain Adaptive Semantic Segmentation", ICCV 2021, Eq. 2.
Score ``mcdal``: Cho et al., "MCDAL: Maximum Classifier Discrepancy for Active Learning", 2021. A binary mask has no
order; the score gives it one, so that a budget can cut it. Scores are compared as float16, whose bit patterns are
ordered like their values, so the cut over a whole data set needs one histogram and no sorting of pixels.
"""
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

#: Bit patterns of the finite float16 >= 0: 0x0000 .. 0x7BFF.
NUM_SCORE_BINS = 0x7BFF + 1


class Cut(NamedTuple):
    """Where a budget cuts the order of scores.

    Attributes:
        pattern (int): pixels whose score has a larger float16 pattern are all taken.
        ties (int): how many pixels with exactly this pattern are taken.
    """
    pattern: int
    ties: int


def inconsistency_mask(prob1: Tensor, prob2: Tensor) -> Tensor:
    """Pixels where two classifiers disagree (LabOR, Eq. 2).

    Args:
        prob1 (Tensor): float, (C, H, W), probabilities of the first classifier.
        prob2 (Tensor): float, (C, H, W), of the second.

    Returns:
        Tensor: bool, (H, W), True where the two argmaxes differ.
    """
    return prob1.argmax(dim=0) != prob2.argmax(dim=0)


def l1_discrepancy(prob1: Tensor, prob2: Tensor) -> Tensor:
    """Sum over the classes of ``|prob1 - prob2|``: float32, (H, W), in [0, 2]; inputs (C, H, W)."""
    return (prob1 - prob2).abs().sum(dim=0)


def mcdal_discrepancy(prob: Tensor, prob1: Tensor, prob2: Tensor) -> Tensor:
    """``L1(p1, p2) + L1(p, p1) + L1(p, p2)``: float32, (H, W), in [0, 6]; inputs (C, H, W)."""
    return l1_discrepancy(prob1, prob2) + l1_discrepancy(prob, prob1) + l1_discrepancy(prob, prob2)


def entropy(prob: Tensor) -> Tensor:
    """Shannon entropy in nats: float32, (H, W), in [0, ln C]; input (C, H, W)."""
    return torch.special.entr(prob).sum(dim=0)


def _patterns(score: np.ndarray) -> np.ndarray:
    """int64 bit patterns of float16 scores >= 0."""
    if score.dtype != np.float16:
        raise ValueError(f'score has dtype {score.dtype}; expected float16')
    pattern = np.ascontiguousarray(score + np.float16(0)).view(np.uint16).astype(np.int64)
    if pattern.size and int(pattern.max()) >= NUM_SCORE_BINS:
        raise ValueError('score holds negative, infinite or NaN values; expected finite numbers >= 0')
    return pattern


def score_histogram(score: np.ndarray) -> np.ndarray:
    """Number of candidates per float16 pattern.

    Args:
        score (np.ndarray): float16, (N,), finite, >= 0.

    Returns:
        np.ndarray: int64, (31744,).
    """
    return np.bincount(_patterns(score), minlength=NUM_SCORE_BINS).astype(np.int64)


def find_cut(histogram: np.ndarray, budget: int | None) -> Cut:
    """The cut that takes exactly ``min(budget, candidates)`` pixels, best scores first.

    Args:
        histogram (np.ndarray): int64, (31744,), candidates of the whole data set per float16 pattern.
        budget (int | None): how many to take at most; None takes all.
    """
    total = int(histogram.sum())
    if budget is None or budget >= total:
        return Cut(-1, 0)
    if budget < 0:
        raise ValueError(f'budget is {budget}; expected a number >= 0')
    at_or_above = np.cumsum(histogram[::-1])[::-1]
    # The largest pattern with more than `budget` candidates at or above it does not fit in whole.
    pattern = int(np.flatnonzero(at_or_above > budget)[-1])
    return Cut(pattern, budget - int(at_or_above[pattern] - histogram[pattern]))


def count_ties(score: np.ndarray, cut: Cut) -> int:
    """Number of candidates of one image whose score is exactly at the cut."""
    return int((_patterns(score) == cut.pattern).sum())


def share_ties(ties_of_image: np.ndarray, ties: int) -> np.ndarray:
    """How many ties each image may take when they are handed out in the order of the images.

    Args:
        ties_of_image (np.ndarray): int64, (N,), ties of every image, images in the order of their keys.
        ties (int): ties to take in all.

    Returns:
        np.ndarray: int64, (N,), sums to ``min(ties, ties_of_image.sum())``.
    """
    before = np.cumsum(ties_of_image) - ties_of_image
    return np.clip(ties - before, 0, ties_of_image).astype(np.int64)


def apply_cut(flat_index: np.ndarray, score: np.ndarray, cut: Cut, ties: int) -> np.ndarray:
    """Selected pixels of one image.

    Args:
        flat_index (np.ndarray): int, (N,), distinct pixel indices ``y * W + x``.
        score (np.ndarray): float16, (N,).
        cut (Cut): the cut over the whole data set.
        ties (int): how many pixels at exactly the cut this image takes, first in (y, x).

    Returns:
        np.ndarray: same dtype as ``flat_index``, ascending.
    """
    pattern = _patterns(score)
    above = flat_index[pattern > cut.pattern]
    tied = np.sort(flat_index[pattern == cut.pattern])[:ties]
    return np.sort(np.concatenate([above, tied]))
