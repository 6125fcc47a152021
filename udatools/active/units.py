# SPDX-License-Identifier: Apache-2.0
"""What is asked at once and what it is planned to cost: from candidate pixels to units that a budget can cut.

A unit is one pixel, unless the selector names regions, or the budget counts regions, clicks or seconds of a request for
segments: then it is a region, or a connected component of the candidates. A question about an image is one unit.
"""
from typing import NamedTuple

import numpy as np

from udatools.ops.regions import components_of, members_of, unit_scores

from .budget import Budget
from .image_questions import IMAGE_KINDS
from .selectors import Candidates, Selector


class Units(NamedTuple):
    """The units of one image, in (y, x) order of their first pixel.

    Attributes:
        size (tuple[int, int]): native (H, W) of the image.
        score (np.ndarray): float16, (U,), finite, >= 0.
        cost (np.ndarray): int64, (U,), >= 1, in steps of the budget (pixels without a budget).
        flat_index (np.ndarray): int32, (N,), candidate pixels, ascending.
        member (np.ndarray): int64, (N,), unit of every candidate pixel, 0..U-1.
        regions (bool): whether units are regions that keep their ids in the request.
    """
    size: tuple[int, int]
    score: np.ndarray
    cost: np.ndarray
    flat_index: np.ndarray
    member: np.ndarray
    regions: bool


def units_of(found: Candidates, size: tuple[int, int], selector: Selector, budget: Budget | None, num_classes: int) -> Units:
    """Units of one image.

    Args:
        found (Candidates): what the selector offers, without answered pixels.
        size (tuple[int, int]): native (H, W).
        selector (Selector): says the kind of request, and how pixels score a component.
        budget (Budget | None): says what is counted.
        num_classes (int): classes that a question about an image is about.
    """
    order = np.argsort(found.flat_index, kind='stable')
    flat_index, score = found.flat_index[order], found.score[order]
    unit = budget.unit if budget else 'pixels'
    if found.region is not None:
        region: np.ndarray | None = found.region[order]
    elif selector.kind == 'segments' and unit in ('regions', 'clicks', 'seconds'):
        region = components_of(flat_index, size)
    else:
        region = None
    if region is None:
        member = np.arange(flat_index.size)
        pixels = np.ones(flat_index.size, np.int64)
    else:
        member, pixels = members_of(region)
        score = unit_scores(score, member, pixels, 'first' if found.region is not None else selector.unit_score)
    cost = _cost(pixels, size, selector.kind, budget, num_classes)
    return Units(size, score, cost, flat_index, member, found.region is not None)


def _cost(pixels: np.ndarray, size: tuple[int, int], kind: str, budget: Budget | None, num_classes: int) -> np.ndarray:
    if budget is None or budget.unit == 'pixels':
        return pixels
    if budget.unit != 'seconds':
        return np.full_like(pixels, num_classes if kind in IMAGE_KINDS and budget.unit != 'regions' else 1)
    costs = budget.cost_model()
    if kind == 'segments':
        seconds = pixels / (size[0] * size[1]) / costs.segment_portion * costs.segment_seconds
    else:
        asked = num_classes if kind in IMAGE_KINDS else 1
        seconds = np.full(pixels.shape, costs.seconds(kind, asked, size[0] * size[1]))
    # Rounded up, so that the plan is never below what the answers are billed; 1e-6 takes rounding errors back.
    return np.maximum(np.ceil(seconds * budget.steps - 1e-6), 1).astype(np.int64)
