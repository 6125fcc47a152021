# SPDX-License-Identifier: Apache-2.0
"""The best pixels of a score map that keep a distance: greedy non-maximum suppression.

The literal loop looks for the largest score of the whole map for every pick. Here the pixels are sorted once, on the
bit patterns of float16 scores (a radix sort), and the loop goes over the picks, never over the pixels: the time is
bounded by one sort plus the area of the suppressed neighbourhoods, whatever the map looks like.
"""
import numpy as np

from .cuts import score_patterns

_BLOCK = 1024


def disc(spacing: float) -> np.ndarray:
    """Pixels nearer than ``spacing`` to the centre: bool, (2 r + 1, 2 r + 1), r the largest integer below it."""
    radius = max(0, int(np.ceil(spacing)) - 1)
    offset = np.arange(-radius, radius + 1)
    near: np.ndarray = (offset[:, None]**2 + offset[None, :]**2) < max(spacing, 1)**2
    return near


def square(radius: int) -> np.ndarray:
    """Pixels at most ``radius`` rows and columns away: all True, (2 radius + 1, 2 radius + 1)."""
    return np.ones((2 * radius + 1, 2 * radius + 1), bool)


def greedy_peaks(score: np.ndarray, footprint: np.ndarray, limit: int, allowed: np.ndarray | None = None) -> np.ndarray:
    """Take the best pixel, suppress its neighbourhood, and so on.

    Args:
        score (np.ndarray): float16, (H, W), finite, >= 0.
        footprint (np.ndarray): bool, (2 r + 1, 2 r + 1), the neighbourhood; its centre is True.
        limit (int): picks at most.
        allowed (np.ndarray | None): bool, (H, W), where a pick may be; None is everywhere.

    Returns:
        np.ndarray: int64, (N,), flat indices in the order of picking; equal scores go to the first in (y, x).
    """
    height, width = score.shape
    radius = footprint.shape[0] // 2
    alive: np.ndarray = np.ones((height, width), bool) if allowed is None else allowed.copy()
    open_ = np.flatnonzero(alive)
    descending = np.iinfo(np.uint16).max - score_patterns(score.ravel()[open_])
    order = open_[np.argsort(descending, kind='stable')]
    flat = alive.ravel()
    picks: list[int] = []
    for start in range(0, order.size, _BLOCK):
        block = order[start:start + _BLOCK]
        for index in block[flat[block]].tolist():
            if not flat[index]:  # suppressed by a pick of the same block
                continue
            if len(picks) >= limit:
                return np.array(picks, np.int64)
            picks.append(index)
            y, x = divmod(index, width)
            top, left = max(0, y - radius), max(0, x - radius)
            window = alive[top:y + radius + 1, left:x + radius + 1]
            window &= ~footprint[top - y + radius:, left - x + radius:][:window.shape[0], :window.shape[1]]
    return np.array(picks, np.int64)
