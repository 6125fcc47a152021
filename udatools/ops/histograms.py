# SPDX-License-Identifier: Apache-2.0
"""Exact histograms of probabilities on the bit patterns of float16.

A float16 in [0, 1] has one of 15361 bit patterns, ordered like the values themselves. Counting pixels per pattern
therefore loses nothing at that precision: any rank or percentile over a whole data set can be read back from the
counts, histograms of several images or processes are merged by addition, and no probability map is ever stored.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .selection import entropy

#: Number of float16 bit patterns in [0, 1]: 0x0000 (0.0) .. 0x3C00 (1.0).
NUM_BINS = 0x3C00 + 1

_BIN_VALUES: np.ndarray = np.arange(NUM_BINS, dtype=np.uint16).view(np.float16).astype(np.float64)


class SparseHistogram(NamedTuple):
    """Non-empty cells of a per-class histogram, the form that processes exchange.

    Attributes:
        classes (np.ndarray): int16, (N,), class of each cell.
        bins (np.ndarray): int16, (N,), float16 bit pattern of each cell, ``0..15360``.
        counts (np.ndarray): int64, (N,), number of pixels, > 0.
    """
    classes: np.ndarray
    bins: np.ndarray
    counts: np.ndarray


class WinningPrediction(NamedTuple):
    """The winner of every pixel.

    Attributes:
        label (np.ndarray): uint8, (H, W), argmax over the classes.
        confidence (np.ndarray): float16, (H, W), probability of that class, in [0, 1].
    """
    label: np.ndarray
    confidence: np.ndarray


def winning_prediction(prob_chw: Tensor) -> WinningPrediction:
    """Argmax and winning probability, the latter rounded to float16.

    Args:
        prob_chw (Tensor): float, (C, H, W), in [0, 1], at most 255 classes.

    Returns:
        WinningPrediction: label uint8 (H, W) and confidence float16 (H, W), on the CPU.

    Raises:
        ValueError: if the shape is not (C, H, W) with 1 <= C <= 255, or a probability is not finite.
    """
    if prob_chw.ndim != 3 or not 1 <= prob_chw.shape[0] <= 255:
        raise ValueError(f'prob_chw has shape {tuple(prob_chw.shape)}; expected (C, H, W) with 1 <= C <= 255')
    confidence, label = prob_chw.max(dim=0)
    if not bool(torch.isfinite(confidence).all()):
        raise ValueError('prob_chw holds values that are not finite: the model that predicted them has diverged; '
                         'start from an earlier checkpoint')
    confidence = confidence.clamp(0.0, 1.0).to(torch.float16)
    return WinningPrediction(label.to(torch.uint8).cpu().numpy(), confidence.cpu().numpy())


def certain_prediction(prob_chw: Tensor) -> WinningPrediction:
    r"""Argmax, and one minus the normalised entropy :math:`1 + \frac{1}{\log C} \sum_c p_c \log p_c` in place of its probability.

    A certainty in [0, 1] as well, so that everything that counts and compares winning probabilities serves entropies, too: an
    entropy *below* a threshold is a certainty above another.

    Args:
        prob_chw (Tensor): as of :func:`winning_prediction`, 2 classes or more.
    """
    certainty = 1 - entropy(prob_chw) / math.log(prob_chw.shape[0])
    return winning_prediction(prob_chw)._replace(confidence=certainty.clamp(0.0, 1.0).to(torch.float16).cpu().numpy())


def class_histogram(label: np.ndarray, confidence: np.ndarray, num_classes: int) -> SparseHistogram:
    """Count pixels per (class, float16 pattern of the winning probability).

    Args:
        label (np.ndarray): uint8, (H, W) or (N,), ``0..num_classes - 1``.
        confidence (np.ndarray): float16, same shape, in [0, 1].
        num_classes (int): number of classes.

    Returns:
        SparseHistogram: its counts sum to the number of pixels.

    Raises:
        ValueError: on another dtype, a label outside the classes, or a confidence outside [0, 1].
    """
    if confidence.dtype != np.float16:
        raise ValueError(f'confidence has dtype {confidence.dtype}; expected float16')
    if label.shape != confidence.shape:
        raise ValueError(f'label has shape {label.shape}, confidence {confidence.shape}; expected the same')
    # `+ 0` turns -0.0 (pattern 0x8000) into 0.0.
    pattern = np.ascontiguousarray(confidence + np.float16(0)).view(np.uint16).ravel().astype(np.int64)
    if pattern.size and int(pattern.max()) >= NUM_BINS:
        raise ValueError('confidence holds values outside [0, 1]; expected probabilities')
    flat_label: np.ndarray = label.ravel().astype(np.int64)
    if flat_label.size and not 0 <= int(flat_label.min()) <= int(flat_label.max()) < num_classes:
        raise ValueError(f'label holds {int(flat_label.min())}..{int(flat_label.max())}; '
                         f'expected 0..{num_classes - 1}')
    dense = np.bincount(flat_label * NUM_BINS + pattern, minlength=num_classes * NUM_BINS)
    cell = np.flatnonzero(dense)
    return SparseHistogram((cell // NUM_BINS).astype(np.int16), (cell % NUM_BINS).astype(np.int16),
                           dense[cell].astype(np.int64))


def merge_histograms(histograms: Sequence[SparseHistogram]) -> SparseHistogram:
    """Sum of several histograms, cells in the order (class, bin)."""
    if not histograms:
        empty: np.ndarray = np.zeros(0, np.int16)
        return SparseHistogram(empty, empty, np.zeros(0, np.int64))
    cell = np.concatenate([h.classes.astype(np.int64) * NUM_BINS + h.bins for h in histograms])
    counts = np.concatenate([h.counts for h in histograms])
    unique, inverse = np.unique(cell, return_inverse=True)
    summed: np.ndarray = np.zeros(len(unique), np.int64)
    np.add.at(summed, inverse, counts)
    return SparseHistogram((unique // NUM_BINS).astype(np.int16), (unique % NUM_BINS).astype(np.int16), summed)


class ClassCounts:
    """Sorted distinct values of one class with cumulative counts: order statistics in O(log n).

    Args:
        histogram (SparseHistogram): counts of every class.
        class_id (int): the class to look at.
    """

    def __init__(self, histogram: SparseHistogram, class_id: int) -> None:
        of_class = histogram.classes == class_id
        bins, counts = histogram.bins[of_class].astype(np.int64), histogram.counts[of_class]
        order = np.argsort(bins, kind='stable')
        self._values = _BIN_VALUES[bins[order]]
        self._cumulative = np.cumsum(counts[order])

    def __len__(self) -> int:
        return int(self._cumulative[-1]) if self._cumulative.size else 0

    def ascending(self, rank: int) -> float:
        """Value at a 0-based rank of the ascending order.

        Raises:
            IndexError: if the rank does not exist.
        """
        if not 0 <= rank < len(self):
            raise IndexError(f'rank {rank} of {len(self)} values; expected 0..{len(self) - 1}')
        return float(self._values[np.searchsorted(self._cumulative, rank, side='right')])

    def descending(self, rank: int) -> float:
        """Value at a 0-based rank of the descending order (class-balanced thresholds are read here)."""
        return self.ascending(len(self) - 1 - rank)

    def count_below(self, value: float) -> int:
        """Number of values strictly below ``value``."""
        position = int(np.searchsorted(self._values, value, side='left'))
        return int(self._cumulative[position - 1]) if position else 0


def percentile_with(counts: ClassCounts, extra: float, percent: float) -> float:
    """Percentile of ``[extra] + values``, linear between order statistics.

    Equal to ``numpy.percentile([extra, *values], percent)`` (method ``linear``) in float64; ``extra`` is inserted as
    it is, not rounded to float16.

    Args:
        counts (ClassCounts): the values.
        extra (float): one more value.
        percent (float): in [0, 100].

    Raises:
        ValueError: if ``percent`` is outside [0, 100].
    """
    if not 0.0 <= percent <= 100.0:
        raise ValueError(f'percent is {percent}; expected a number in [0, 100]')
    below = counts.count_below(extra)

    def ascending(rank: int) -> float:
        if rank < below:
            return counts.ascending(rank)
        return extra if rank == below else counts.ascending(rank - 1)

    position = len(counts) * (percent / 100.0)
    lower = int(np.floor(position))
    upper = min(lower + 1, len(counts))
    low, high, part = ascending(lower), ascending(upper), position - lower
    # The nearer end is the anchor, as in numpy: exact at both ends and monotonic.
    if part >= 0.5:
        return high - (high - low) * (1.0 - part)
    return low + (high - low) * part
