# SPDX-License-Identifier: Apache-2.0
"""An exact cut to a budget over a whole data set, without sorting or gathering its units.

A unit is what is asked at once (a pixel, a point, a region) and has a score and a cost. Units are ordered by score,
largest first, ties by (key of the image, y, x); the cut takes the longest prefix of that order whose cost fits. Scores
are float16, whose bit patterns are ordered like their values: one histogram of the cost over the patterns finds the
pattern where the budget ends, and only the units at exactly that pattern need the order of the images.
"""
from typing import NamedTuple

import numpy as np

#: Bit patterns of the finite float16 >= 0: 0x0000 .. 0x7BFF.
NUM_SCORE_BINS = 0x7BFF + 1


class Cut(NamedTuple):
    """Where a budget cuts the order of scores.

    Attributes:
        pattern (int): units whose score has a larger float16 pattern are all taken.
        rest (int): what units with exactly this pattern may cost together.
    """
    pattern: int
    rest: int


def score_patterns(score: np.ndarray) -> np.ndarray:
    """Bit patterns of scores, in the order of their values.

    Args:
        score (np.ndarray): float16, (N,), finite, >= 0.

    Returns:
        np.ndarray: uint16, (N,), 0 .. 31743.

    Raises:
        ValueError: for another dtype, or values without an order.
    """
    if score.dtype != np.float16:
        raise ValueError(f'score has dtype {score.dtype}; expected float16')
    pattern = np.ascontiguousarray(score + np.float16(0)).view(np.uint16)  # -0 becomes 0
    if pattern.size and int(pattern.max()) >= NUM_SCORE_BINS:
        raise ValueError('score holds negative, infinite or NaN values; expected finite numbers >= 0')
    return pattern


def score_histogram(score: np.ndarray, cost: np.ndarray | None = None) -> np.ndarray:
    """Cost of the units per float16 pattern.

    Args:
        score (np.ndarray): float16, (N,), finite, >= 0.
        cost (np.ndarray | None): int64, (N,), >= 1; None counts 1 each.

    Returns:
        np.ndarray: int64, (31744,).
    """
    # Sums of float64 weights are exact below 2**53.
    return np.bincount(score_patterns(score), weights=cost, minlength=NUM_SCORE_BINS).astype(np.int64)


def find_cut(histogram: np.ndarray, budget: int | None) -> Cut:
    """The cut that spends as much of the budget as the order allows, and never more.

    Args:
        histogram (np.ndarray): int64, (31744,), cost of all units per float16 pattern.
        budget (int | None): what they may cost together; None takes all.

    Raises:
        ValueError: for a negative budget.
    """
    if budget is not None and budget < 0:
        raise ValueError(f'budget is {budget}; expected a number >= 0')
    if budget is None or budget >= int(histogram.sum()):
        return Cut(-1, 0)
    at_or_above = np.cumsum(histogram[::-1])[::-1]
    # The largest pattern with more than `budget` at or above it does not fit in whole.
    pattern = int(np.flatnonzero(at_or_above > budget)[-1])
    return Cut(pattern, budget - int(at_or_above[pattern] - histogram[pattern]))


def cost_at_cut(score: np.ndarray, cost: np.ndarray, cut: Cut) -> int:
    """Cost of the units of one image whose score is exactly at the cut; arguments as of :func:`units_within`."""
    return int(cost[score_patterns(score) == cut.pattern].sum())


def share_rest(cost_of_image: np.ndarray, rest: int) -> np.ndarray:
    """What each image may spend at the cut when its rest is handed out in the order of the images.

    Args:
        cost_of_image (np.ndarray): int64, (N,), :func:`cost_at_cut` of every image, images in the order of their keys.
        rest (int): of the :class:`Cut`.

    Returns:
        np.ndarray: int64, (N,), sums to ``min(rest, cost_of_image.sum())``.
    """
    before = np.cumsum(cost_of_image) - cost_of_image
    return np.clip(rest - before, 0, cost_of_image).astype(np.int64)


def units_within(score: np.ndarray, cost: np.ndarray, cut: Cut, rest: int) -> np.ndarray:
    """Units of one image that the cut takes.

    Args:
        score (np.ndarray): float16, (N,), of units in (y, x) order of their first pixel.
        cost (np.ndarray): int64, (N,), >= 1.
        cut (Cut): the cut over the whole data set.
        rest (int): what this image may spend on units at exactly the cut, first ones first.

    Returns:
        np.ndarray: bool, (N,).
    """
    pattern = score_patterns(score)
    taken = pattern.astype(np.int32) > cut.pattern
    tied = np.flatnonzero(pattern == cut.pattern)
    taken[tied[np.cumsum(cost[tied]) <= rest]] = True
    return taken
