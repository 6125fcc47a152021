# SPDX-License-Identifier: Apache-2.0
"""How well single images are segmented, and which classes are taken for which: for looking at, not for ranking methods.

The mIoU of a data set sums the pixels of all images first. That of one image is the mean over the classes in *its* ground truth:
a class that is predicted there without being there counts as the miss of others, it does not add a zero of its own.
"""
from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from udatools.evaluation.iou import apply_protocol


class Confusion(NamedTuple):
    """``pixels`` of the class ``truth`` that are predicted as ``predicted``: ``share`` in [0, 1] of the class's pixels."""
    truth: str
    predicted: str
    pixels: int
    share: float


def image_miou(conf: Tensor, num_reported: int) -> float:
    """Mean IoU over the classes in the ground truth of one image, or of several together.

    Args:
        conf (Tensor): int64, (P + 1, P + 1), of :func:`udatools.evaluation.iou.apply_protocol`.
        num_reported (int): P.

    Returns:
        float: percent; nan where no pixel of a reported class is labelled. Ground truth that is not reported is left out.
    """
    inside = conf[:num_reported].double()
    hit, truth, predicted = inside.diagonal(), inside.sum(1), inside[:, :num_reported].sum(0)
    there = truth > 0
    iou = hit[there] / (truth + predicted - hit)[there]
    return float(iou.mean()) * 100 if len(iou) else math.nan


def reported_confusion(conf: Tensor, assignment: Sequence[int], names: Sequence[str]) -> Tensor:
    """A confusion matrix over the reported classes; their predictions as anything else are in one more column.

    Args:
        conf (Tensor): int64, (C, C), rows are labels.
        assignment (Sequence[int]): of :meth:`udatools.evaluation.protocols.Protocol.assignment`.
        names (Sequence[str]): the P reported classes.

    Returns:
        Tensor: int64, (P, P + 1).
    """
    return apply_protocol(conf, assignment, len(names))[:len(names)]


def largest_confusions(conf: Tensor, names: Sequence[str], count: int, *, by: str = 'share', least: int = 1) -> list[Confusion]:
    """The pairs of classes that are confused most, in one direction each.

    Args:
        conf (Tensor): int64, (P, P + k), rows are labels; columns past P are predictions that are not reported.
        names (Sequence[str]): the P reported classes.
        count (int): at most this many pairs.
        by (str): ``share`` of the true class, or ``pixels``.
        least (int): classes with fewer labelled pixels are left out, as are pairs without a pixel.

    Returns:
        list[Confusion]: greatest first, ties in the order of the classes.

    Raises:
        ValueError: for another ``by``.
    """
    if by not in ('share', 'pixels'):
        raise ValueError(f"by is {by!r}; expected 'share' or 'pixels'")
    wrong = conf.clone()
    wrong.diagonal().zero_()
    total = conf.sum(1, keepdim=True)
    wrong = torch.where(total >= max(1, least), wrong, torch.zeros_like(wrong))
    share = wrong.double() / total.clamp(min=1)
    order = torch.sort((share if by == 'share' else wrong).flatten(), descending=True, stable=True).indices[:count]
    columns = [*names, *['other'] * (conf.shape[1] - len(names))]
    pairs = [divmod(index, conf.shape[1]) for index in order.tolist()]
    return [Confusion(names[row], columns[column], int(wrong[row, column]), float(share[row, column]))
            for row, column in pairs if wrong[row, column] > 0]


def class_precision(conf: Tensor) -> Tensor:
    """Share of the pixels predicted as a class that are of it.

    Args:
        conf (Tensor): int64, (C, C), rows are labels.

    Returns:
        Tensor: float64, (C,), in [0, 1], nan for classes that are never predicted on labelled pixels.
    """
    predicted = conf.sum(0).double()
    return torch.where(predicted > 0, conf.diagonal() / predicted, torch.full_like(predicted, math.nan))
