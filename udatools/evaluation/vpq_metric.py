# SPDX-License-Identifier: Apache-2.0
"""VPQ^s of a model on a video validation set, as a metric of mmengine (:mod:`udatools.evaluation.vpq`)."""
from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.logging import print_log

from udatools.datasets.taxonomies import ClassSpec
from udatools.evaluation.video_metric import VideoMetric
from udatools.evaluation.vpq import (
    WINDOWS,
    ClipScorer,
    FrameCounts,
    VPQStats,
    count_frame,
    format_vpq_table,
    semantic_segments,
    summarise_vpq,
)
from udatools.registry import METRICS


@METRICS.register_module()
class VPQMetric(VideoMetric):
    """VPQ^s of ``pred_sem_seg`` against ``gt_sem_seg`` under a named protocol.

    The frames of a clip may come in any order and on any rank: what is kept of a frame are its pair counts, a few
    kilobytes, and windows are formed when all ranks have theirs. So every sampler gives the same numbers, bit by bit.
    Every frame of the data set counts as labelled; a clip is what the data set calls so, gaps in its frame numbers
    included. Returns ``VPQs``, ``VPQs_<length>`` and ``PQs/<class>`` in percent. Samples need the metainfo ``clip`` and
    ``frame``.

    Args:
        protocol (str | Mapping): As :func:`get_protocol`: a name, or classes of one's own. Ground truth of classes that
            it does not report is void. Default: ``cityscapes19``.
        windows (Sequence[int]): Lengths in labelled frames. Default: 1, 2, 3, 4.
        ignore_index (int): Label that is void. Default: 255.
        prefix (str, optional): As in mmengine. Default: none.

    Raises:
        KeyError: If the protocol is unknown.
        ValueError: If the classes of the model do not fit it, or the windows are none.
    """

    def __init__(self, protocol: ClassSpec = 'cityscapes19', *, windows: Sequence[int] = WINDOWS, ignore_index: int = 255,
                 prefix: str | None = None) -> None:
        super().__init__(protocol, prefix=prefix)
        VPQStats.empty(1, windows)  # raises if they are none
        self.windows = tuple(windows)
        self.ignore_index = ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Counts a batch of predictions (dicts with ``pred_sem_seg``, ``gt_sem_seg``, ``clip`` and ``frame``)."""
        for sample in data_samples:
            one = self.read_sample(sample)
            if 'gt_sem_seg' not in sample:
                raise ValueError(f'{one.name} comes without ground truth; evaluation needs labelled=True and LoadDomainLabel in '
                                 'the pipeline')
            label = sample['gt_sem_seg']['data']
            reported = len(self.protocol.classes)
            try:
                counts = count_frame(label.reshape(label.shape[-2:]).cpu().numpy(), one.pred,
                                     semantic_segments(self.assignment, reported, self.ignore_index),
                                     semantic_segments(self.assignment, reported, None))
            except ValueError as error:
                raise ValueError(f'cannot score {one.name}: {error}') from None
            self.results.append((one.clip, one.frame, counts))

    def compute_metrics(self, results: Iterable[tuple[str, int, FrameCounts]]) -> dict[str, float]:
        """Scores all frames: clip, frame number and pair counts of each, in any order.

        Raises:
            ValueError: If a frame comes twice.
        """
        names = self.protocol.classes
        total = VPQStats.empty(len(names), self.windows)
        for clip, frames in groupby(sorted(results, key=lambda one: one[:2]), key=lambda one: one[0]):
            scorer, before = ClipScorer(len(names), self.windows), None
            for _, frame, counts in frames:
                if frame == before:
                    raise ValueError(f'frame {frame} of clip {clip!r} was scored twice: the sampler repeats images to fill all '
                                     "ranks; set sampler=dict(type='DefaultSampler', shuffle=False, round_up=False)")
                scorer.add(counts)
                before = frame
            total = total + scorer.stats
        title = f'VPQs, protocol {self.protocol.name}, {total.clips} clips, {total.frames} labelled frames, percent'
        print_log('\n' + format_vpq_table(total, names, title, 'VPQs'), logger='current')
        return summarise_vpq(total, names, 'VPQs')

    def evaluate(self, size: int) -> dict[str, float]:
        """Gathers the counts of all ranks once and returns the metrics on every rank.

        Args:
            size (int): Number of images in the data set.
        """
        gathered = [one for part in all_gather_object(self.results) for one in part]
        self.results.clear()
        if len(gathered) < size:
            print_log(f'VPQMetric scored {len(gathered)} frames of a data set of {size}; windows go over those that are missing',
                      logger='current', level=logging.WARNING)
        return self.with_prefix(self.compute_metrics(gathered))
