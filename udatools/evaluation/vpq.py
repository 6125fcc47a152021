# SPDX-License-Identifier: Apache-2.0
"""Video panoptic quality, streamed (VPQ: Kim et al., "Video Panoptic Segmentation", CVPR 2020).

A window is 1, 2, 3 or 4 consecutive labelled frames of a clip, one window from every labelled frame on. Within it

* a *tube* is all pixels of one id; its class and whether it is a crowd are those of its first frame in the window;
* a predicted tube ``p`` matches a ground-truth tube ``g`` of the same class that is no crowd iff IoU > 0.5, with
  ``union = |p| + |g| - |p and g| - |p and void|``;
* an unmatched ``p`` is a false positive unless more than half of it is void or crowd of its own class; an unmatched
  ``g`` is a false negative unless it is a crowd.

For each length, matches are accumulated over windows and clips and ``PQ_c = sum IoU / (TP + FP / 2 + FN / 2)``; VPQ of
that length is the mean over the classes that occur, VPQ the mean over the lengths. **VPQ^s**, the metric of video domain
adaptation for semantic segmentation, is VPQ where every class is one segment (:func:`semantic_segments`).

The pixels of a frame are read once: what is kept of it is how many pixels each pair of ids shares, and a window is the
sum of these sparse counts. All counts are int64 and the comparison with 0.5 is one of integers, so nothing is rounded.
"""
from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

WINDOWS = (1, 2, 3, 4)
VOID = 0


class Segments(NamedTuple):
    """What the ids in one label map mean, void included; one row an id.

    Attributes:
        id (np.ndarray): int64, (N,), ascending: the values in the label map.
        tube (np.ndarray): int64, (N,), identity through the clip, > 0; 0 = void.
        cls (np.ndarray): int64, (N,), class 0..C-1, -1 = void.
        crowd (np.ndarray): bool, (N,).
    """
    id: np.ndarray
    tube: np.ndarray
    cls: np.ndarray
    crowd: np.ndarray

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Returns the row of each id, int64.

        Raises:
            ValueError: If an id is not listed.
        """
        rows = np.minimum(np.searchsorted(self.id, ids), len(self.id) - 1)
        unknown = np.unique(ids[self.id[rows] != ids])
        if unknown.size:
            more = f' and {unknown.size - 5} more' if unknown.size > 5 else ''
            raise ValueError(f'ids {", ".join(map(str, unknown[:5].tolist()))}{more} are in the label map, but not among the '
                             f'{len(self.id)} that are defined for it')
        return rows


class FrameCounts(NamedTuple):
    """How many pixels each pair of segments shares in one frame; one row a pair that occurs.

    Attributes:
        gt (np.ndarray): int64, (K,), tube in the ground truth, 0 = void.
        gt_cls (np.ndarray): int64, (K,), its class, -1 = void.
        crowd (np.ndarray): bool, (K,), whether it is a crowd.
        pred (np.ndarray): int64, (K,), predicted tube, 0 = nothing predicted.
        pred_cls (np.ndarray): int64, (K,), its class, -1 = nothing predicted.
        pixels (np.ndarray): int64, (K,), > 0.
    """
    gt: np.ndarray
    gt_cls: np.ndarray
    crowd: np.ndarray
    pred: np.ndarray
    pred_cls: np.ndarray
    pixels: np.ndarray


def semantic_segments(assignment: Sequence[int], num_reported: int, void: int | None = 255) -> Segments:
    """Describes label maps in which every reported class is one segment, as VPQ^s wants it.

    Args:
        assignment (Sequence[int]): For each label id 0..C-1 the class 0..P-1 that it counts as, P = not reported (void).
        num_reported (int): P.
        void (int, optional): Label id that is void too, None where none is allowed. Default: 255.
    """
    ids = [*range(len(assignment)), *([] if void is None else [void])]
    cls = np.array([c if c < num_reported else -1 for c in assignment] + [-1] * (void is not None), dtype=np.int64)
    return Segments(np.array(ids, dtype=np.int64), cls + 1, cls, np.zeros(len(ids), dtype=bool))


def count_pairs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts the pixels of every pair of values that occurs.

    Runs of equal pairs are found by one comparison with the next pixel, and only runs are sorted: label maps have far
    fewer runs than pixels.

    Args:
        first (np.ndarray): Integer, any shape, values 0..2**31 - 1.
        second (np.ndarray): Integer, the same shape and range.

    Returns:
        tuple: Values of ``first``, of ``second``, and pixels, each int64 (K,), ordered by (first, second).

    Raises:
        ValueError: If shapes differ, or there is no pixel.
    """
    if first.shape != second.shape or first.size == 0:
        raise ValueError(f'got label maps of shapes {first.shape} and {second.shape} (ground truth, prediction); expected '
                         'the same shape: predictions are scored at the native resolution of the ground truth')
    a, b = first.reshape(-1), second.reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero((a[1:] != a[:-1]) | (b[1:] != b[:-1])) + 1))
    length = np.diff(starts, append=a.size)
    pair = a[starts].astype(np.int64) << 32 | b[starts].astype(np.int64)
    order = np.argsort(pair)
    pair = pair[order]
    heads = np.concatenate(([0], np.flatnonzero(pair[1:] != pair[:-1]) + 1))
    return pair[heads] >> 32, pair[heads] & 0xFFFFFFFF, np.add.reduceat(length[order], heads)


def count_frame(gt: np.ndarray, pred: np.ndarray, gt_segments: Segments, pred_segments: Segments) -> FrameCounts:
    """Reads the pixels of one frame.

    Args:
        gt (np.ndarray): Integer, (H, W), ids of the ground truth.
        pred (np.ndarray): Integer, (H, W), ids of the prediction.
        gt_segments (Segments): What the ids of ``gt`` mean.
        pred_segments (Segments): What the ids of ``pred`` mean.

    Raises:
        ValueError: If sizes differ or an id is not defined; says in which of the two.
    """
    gt_id, pred_id, pixels = count_pairs(gt, pred)
    rows = []
    for what, segments, ids in (('ground truth', gt_segments, gt_id), ('prediction', pred_segments, pred_id)):
        try:
            rows.append(segments.rows(ids))
        except ValueError as error:
            raise ValueError(f'{what}: {error}') from None
    g, p = rows
    return FrameCounts(gt_segments.tube[g], gt_segments.cls[g], gt_segments.crowd[g], pred_segments.tube[p],
                       pred_segments.cls[p], pixels)


def _sum_by(index: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    total = np.zeros(size, dtype=values.dtype)
    np.add.at(total, index, values)
    return total


class WindowScore(NamedTuple):
    """Matches of one window: ``iou`` float64 (C,), summed over matches; ``tp``, ``fp``, ``fn`` int64 (C,)."""
    iou: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray


def score_window(frames: Sequence[FrameCounts], num_classes: int) -> WindowScore:
    """Matches the tubes of one window, as the module says.

    Args:
        frames (Sequence[FrameCounts]): Its frames in order.
        num_classes (int): C.
    """
    gt_id, gt_cls, crowd, pred_id, pred_cls, pixels = (np.concatenate(column) for column in zip(*frames))
    _, first, gt = np.unique(gt_id, return_index=True, return_inverse=True)
    gt_cls, crowd = gt_cls[first], crowd[first]
    _, first, pred = np.unique(pred_id, return_index=True, return_inverse=True)
    pred_cls = pred_cls[first]
    pair, inverse = np.unique(gt * len(pred_cls) + pred, return_inverse=True)
    g, p = np.divmod(pair, len(pred_cls))
    both = _sum_by(inverse, pixels, len(pair))
    gt_area, pred_area = _sum_by(g, both, len(gt_cls)), _sum_by(p, both, len(pred_cls))

    in_void = gt_cls[g] < 0
    void_area = _sum_by(p[in_void], both[in_void], len(pred_cls))
    union = pred_area[p] + gt_area[g] - both - void_area[p]
    same = (gt_cls[g] == pred_cls[p]) & ~in_void
    match = same & ~crowd[g] & (2 * both > union)
    own_crowd = same & crowd[g]
    excused = void_area + _sum_by(p[own_crowd], both[own_crowd], len(pred_cls))

    missed = (gt_cls >= 0) & ~crowd
    missed[g[match]] = False
    false = (pred_cls >= 0) & (2 * excused <= pred_area)
    false[p[match]] = False
    matched = gt_cls[g[match]]
    count = lambda classes: np.bincount(classes, minlength=num_classes)  # noqa: E731
    return WindowScore(_sum_by(matched, both[match] / union[match], num_classes), count(matched), count(pred_cls[false]),
                       count(gt_cls[missed]))


@dataclass
class VPQStats:
    """Accumulated matches; two are merged by ``+``.

    Floating-point sums depend on their order: merge clips in one order (that of their names) and the result does not
    depend on how they were distributed.

    Attributes:
        windows (tuple[int, ...]): The W lengths, in labelled frames.
        iou (np.ndarray): float64, (W, C), summed over matches.
        tp, fp, fn (np.ndarray): int64, (W, C).
        scored (np.ndarray): int64, (W,), number of windows of each length.
        frames (int): Labelled frames.
        clips (int): Clips.
    """
    windows: tuple[int, ...]
    iou: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    scored: np.ndarray
    frames: int = 0
    clips: int = 0

    @classmethod
    def empty(cls, num_classes: int, windows: Sequence[int] = WINDOWS) -> VPQStats:
        """Returns the statistics of nothing.

        Raises:
            ValueError: If a window is shorter than one frame, or none is given.
        """
        if not windows or min(windows) < 1 or len(set(windows)) < len(windows):
            raise ValueError(f'got windows={tuple(windows)}; expected different numbers of labelled frames, such as {WINDOWS}')
        shape = (len(windows), num_classes)
        tp, fp, fn = (np.zeros(shape, dtype=np.int64) for _ in range(3))
        return cls(tuple(windows), np.zeros(shape), tp, fp, fn, np.zeros(len(windows), dtype=np.int64))

    def __add__(self, other: VPQStats) -> VPQStats:
        if self.windows != other.windows or self.iou.shape != other.iou.shape:
            raise ValueError(f'cannot merge statistics of windows {self.windows}, {self.iou.shape[1]} classes with those of '
                             f'{other.windows}, {other.iou.shape[1]} classes')
        return VPQStats(self.windows, self.iou + other.iou, self.tp + other.tp, self.fp + other.fp, self.fn + other.fn,
                        self.scored + other.scored, self.frames + other.frames, self.clips + other.clips)

    def pq(self) -> np.ndarray:
        """Returns PQ of each length and class: float64, (W, C), in [0, 1], nan where the class does not occur."""
        weight = self.tp + 0.5 * self.fp + 0.5 * self.fn
        return np.divide(self.iou, weight, out=np.full(self.iou.shape, math.nan), where=weight > 0)


class ClipScorer:
    """Scores one clip, frame by frame; keeps the counts of the last frames that a window needs, and no pixel.

    Args:
        num_classes (int): C.
        windows (Sequence[int]): Lengths in labelled frames. Default: 1, 2, 3, 4.
    """

    def __init__(self, num_classes: int, windows: Sequence[int] = WINDOWS) -> None:
        self.stats = VPQStats.empty(num_classes, windows)
        self.stats.clips = 1
        self._recent: deque[FrameCounts] = deque(maxlen=max(windows))

    def add(self, frame: FrameCounts) -> None:
        """Adds the next labelled frame and scores the windows that end with it."""
        stats, num_classes = self.stats, self.stats.iou.shape[1]
        self._recent.append(frame)
        stats.frames += 1
        recent = list(self._recent)
        for i, length in enumerate(stats.windows):
            if length <= len(recent):
                score = score_window(recent[-length:], num_classes)
                stats.iou[i] += score.iou
                stats.tp[i] += score.tp
                stats.fp[i] += score.fp
                stats.fn[i] += score.fn
                stats.scored[i] += 1


def _mean(values: np.ndarray) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else math.nan


def summarise_vpq(stats: VPQStats, names: Sequence[str], name: str = 'VPQ',
                  things: Sequence[bool] | None = None) -> dict[str, float]:
    """Computes the metrics in percent.

    Args:
        stats (VPQStats): Of all clips.
        names (Sequence[str]): The C classes.
        name (str): ``VPQ`` or ``VPQs``. Default: ``VPQ``.
        things (Sequence[bool], optional): Which classes are things; adds the two means apart.

    Returns:
        dict[str, float]: ``VPQ``; ``VPQ_<length>``; ``PQ/<class>``, the mean over the lengths; with ``things`` also
            ``VPQ_things`` and ``VPQ_stuff``. 0..100, nan where nothing occurs; means leave nan out.
    """
    pq = 100 * stats.pq()

    def over_lengths(classes: np.ndarray) -> float:
        return _mean(np.array([_mean(row[classes]) for row in pq]))

    result = {name: over_lengths(np.ones(len(names), dtype=bool))}
    result.update({f'{name}_{length}': _mean(row) for length, row in zip(stats.windows, pq)})
    if things is not None:
        thing = np.array(things, dtype=bool)
        result.update({f'{name}_things': over_lengths(thing), f'{name}_stuff': over_lengths(~thing)})
    result.update({f'{name[1:]}/{one}': _mean(pq[:, i]) for i, one in enumerate(names)})
    return result


def format_vpq_table(stats: VPQStats, names: Sequence[str], title: str, name: str = 'VPQ') -> str:
    """Formats PQ of every class and length as a plain text table, with what was left out."""
    pq, result = 100 * stats.pq(), summarise_vpq(stats, names, name)
    show = lambda value: '   n/a' if math.isnan(value) else f'{value:6.2f}'  # noqa: E731
    width = max(len(one) for one in (*names, 'class'))
    line = lambda first, mean, values: '  '.join([f'{first:<{width}}', show(mean), *map(show, values)])  # noqa: E731
    lines = [title, '  '.join([f'{"class":<{width}}', f'{name:>6}', *(f'{f"{k} fr.":>6}' for k in stats.windows)])]
    lines += [line(one, result[f'{name[1:]}/{one}'], pq[:, i]) for i, one in enumerate(names)]
    lines.append(line('mean', result[name], [result[f'{name}_{k}'] for k in stats.windows]))
    absent = [one for one in names if math.isnan(result[f'{name[1:]}/{one}'])]
    if absent:
        lines.append(f'n/a, in neither ground truth nor predictions and left out of the mean: {", ".join(absent)}')
    short = [str(k) for k, scored in zip(stats.windows, stats.scored) if not scored]
    if short and stats.frames:
        lines.append(f'no clip has enough labelled frames for windows of {", ".join(short)}, which the mean leaves out')
    return '\n'.join(lines)
