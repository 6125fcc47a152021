# SPDX-License-Identifier: Apache-2.0
"""Temporal consistency: does a prediction follow the motion of the picture?

The prediction of the frame before is warped onto a frame by optical flow, and the mIoU between the two is taken over
the pixels that are visible in both (the metric of Liu et al., "Efficient Semantic Video Segmentation with Per-frame
Inference", ECCV 2020; visibility as in the video adaptation paper, text before its Eq. 10). No ground truth is read.
A constant prediction is perfectly consistent: read it next to mIoU, never alone.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import all_gather_object
from mmengine.logging import print_log
from torch import Tensor

from udatools.datasets.taxonomies import IGNORE, ClassSpec
from udatools.evaluation.iou import apply_protocol, confusion_matrix, format_table, summarise
from udatools.evaluation.video_metric import VideoMetric
from udatools.ops.warp import PHOTOMETRIC_ALPHA, photometric_visibility, warp, warp_labels
from udatools.registry import FLOW_ESTIMATORS, METRICS
from udatools.utils.png import read_image


def consistency_confusion(pred: Tensor, previous: Tensor, flow: Tensor, image: Tensor, previous_image: Tensor, num_classes: int,
                          alpha: float = PHOTOMETRIC_ALPHA, threshold: float = 0.7) -> Tensor:
    """Counts the warped previous prediction against the present one, on visible pixels.

    Args:
        pred (Tensor): int64, (H, W), 0..C-1, prediction of the frame.
        previous (Tensor): int64, (H, W), 0..C-1, prediction of the frame before.
        flow (Tensor): float32, (2, H, W), pixels, from the frame to the one before; NaN where unknown.
        image (Tensor): float32, (3, H, W), RGB in [0, 1].
        previous_image (Tensor): float32, (3, H, W), RGB in [0, 1].
        num_classes (int): C.
        alpha, threshold (float): As :func:`photometric_visibility`.

    Returns:
        Tensor: int64, (C, C), rows are the warped classes, columns the predicted ones; sums to the visible pixels.
    """
    warped_image, _ = warp(previous_image[None], flow[None])
    visible = photometric_visibility(image[None], warped_image, alpha, threshold)
    # What lies outside of the frame before is IGNORE already.
    label = warp_labels(previous[None], flow[None], fill=IGNORE).masked_fill(~visible, IGNORE)
    return confusion_matrix(pred[None], label, num_classes, IGNORE)


class _Seen(NamedTuple):
    """What is kept of the last frame."""
    clip: str
    frame: int
    name: str
    pred: Tensor
    image: Tensor


@METRICS.register_module()
class TemporalConsistencyMetric(VideoMetric):
    """mIoU between each prediction and the warped one of the frame before, in percent, over the clips of a data set.

    Returns ``mTC``, ``TC/<class>``, and ``TC_visible``, the share of pixels that were compared. Only the last frame is
    kept, so the frames of a clip must come in order and on one rank: ``sampler=dict(type='ClipSampler')``, or any sampler that
    does not shuffle in a single process. Samples need the metainfo ``img_path``, ``key``, ``clip`` and ``frame``. Frames
    are paired with the one before in the data set, whatever the difference of their numbers.

    Args:
        protocol (str | Mapping): As :func:`get_protocol`. Default: ``cityscapes19``.
        flow (Mapping, optional): A flow estimator, such as ``dict(type='PrecomputedFlow', root=...)``; its offset is the
            number of the frame before less the number of the frame. Default: ``dict(type='DISFlow')``.
        alpha (float): Of the photometric rule, > 0. Default: that of :mod:`udatools.ops.warp`.
        threshold (float): Of the photometric rule, in (0, 1). Default: 0.7, the paper's.
        prefix (str, optional): As in mmengine. Default: none.
    """

    def __init__(self, protocol: ClassSpec = 'cityscapes19', *, flow: Mapping[str, Any] | None = None,
                 alpha: float = PHOTOMETRIC_ALPHA, threshold: float = 0.7,
                 prefix: str | None = None) -> None:
        super().__init__(protocol, prefix=prefix)
        self.estimator = FLOW_ESTIMATORS.build(dict(flow or dict(type='DISFlow')))
        self.alpha, self.threshold = alpha, threshold
        self._reset()

    def _reset(self) -> None:
        self._last: _Seen | None = None
        self._confusion: Tensor | None = None
        self._frames = self._pairs = self._pixels = 0
        self._clips: set[str] = set()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compares each frame of a batch (dicts with ``pred_sem_seg`` and the metainfo) with the one before."""
        for sample in data_samples:
            one = self.read_sample(sample)
            pixels = np.ascontiguousarray(read_image(sample['img_path'])[..., ::-1].transpose(2, 0, 1))
            if pixels.shape[1:] != one.pred.shape:
                raise ValueError(f'{one.name} has shape {pixels.shape[1:]}, its prediction {one.pred.shape}; temporal '
                                 'consistency is taken at native resolution')
            present = _Seen(one.clip, one.frame, one.name, torch.from_numpy(one.pred).long(), torch.from_numpy(pixels))
            if self._last is not None and self._last.clip == one.clip:
                self._compare(present, self._last, sample)
            self._last = present
            self._frames += 1
            self._clips.add(one.clip)

    def _compare(self, present: _Seen, last: _Seen, sample: Mapping[str, Any]) -> None:
        if last.frame >= present.frame:
            raise ValueError(f'frame {present.frame} of clip {present.clip!r} came after frame {last.frame}; temporal '
                             "consistency needs the frames in order: set sampler=dict(type='ClipSampler')")
        if last.pred.shape != present.pred.shape:
            raise ValueError(f'{last.name} has shape {tuple(last.pred.shape)}, {present.name} {tuple(present.pred.shape)}; '
                             'expected one size within a clip')
        image, reference = present.image[None], last.image[None]
        flow, known = self.estimator.between(image, reference, [(str(sample.get('key')), last.frame - present.frame)])
        flow = flow.masked_fill(~known[:, None], math.nan)[0].float()
        confusion = consistency_confusion(present.pred, last.pred, flow, present.image / 255, last.image / 255,
                                          len(self.assignment), self.alpha, self.threshold)
        self._confusion = confusion if self._confusion is None else self._confusion + confusion
        self._pairs += 1
        self._pixels += present.pred.numel()

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Sums what the ranks counted.

        Raises:
            ValueError: If a clip was split over ranks, so that frames were not compared with the one before.
        """
        frames, pairs, pixels = (sum(one[key] for one in results) for key in ('frames', 'pairs', 'pixels'))
        clips = set().union(*(one['clips'] for one in results))
        if pairs != frames - len(clips):
            raise ValueError(f'{frames} frames of {len(clips)} clips make {frames - len(clips)} pairs, but {pairs} were '
                             "compared: clips are split over ranks or mixed; set sampler=dict(type='ClipSampler')")
        classes = len(self.assignment)
        confusion = sum((one['confusion'] for one in results if one['confusion'] is not None),
                        torch.zeros(classes, classes, dtype=torch.int64))
        names = self.protocol.classes
        found = summarise(apply_protocol(confusion, self.assignment, len(names)), names)
        visible = 100 * float(confusion.sum()) / pixels if pixels else math.nan
        title = (f'temporal consistency, protocol {self.protocol.name}, {pairs} pairs of {len(clips)} clips, {visible:.1f} % of '
                 'the pixels visible, percent')
        print_log('\n' + format_table(found, names, title), logger='current')
        return {'mTC': found['mIoU'], 'TC_visible': visible, **{f'TC/{name}': found[f'IoU/{name}'] for name in names}}

    def evaluate(self, size: int) -> dict[str, float]:
        """Gathers the counts of all ranks once and returns the metrics on every rank."""
        own = dict(frames=self._frames, pairs=self._pairs, pixels=self._pixels, clips=self._clips, confusion=self._confusion)
        self._reset()
        return self.with_prefix(self.compute_metrics(all_gather_object(own)))
