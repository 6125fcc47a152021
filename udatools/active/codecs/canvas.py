# SPDX-License-Identifier: Apache-2.0
"""From shapes, in whatever format, to an answer: clipped to what was asked, nothing guessed, everything left out named.

Rules, the same for all formats. For points every asked pixel is a unit, and a shape answers those that it covers. For
segments every asked pixel that a shape covers gets its label. For regions a label that covers more than half of a region,
or a point in it, answers all of it. Two labels on one unit answer nothing; only where a tool has an order of layers, and
segments were asked, the upper one holds.
"""
from functools import cached_property
from typing import Any

import numpy as np

from ..request import MAX_REGION, NOT_ANSWERED, Answer, Request, RequestItem
from ..submission import Problem
from .shapes import unit_map

#: In a map of labels: a shape of an unknown class. It hides what lies below it.
UNKNOWN = 256
_SHOWN = 5


class Canvas:
    """Shapes of one person on one image.

    Args:
        request (Request): what was asked.
        item (RequestItem): the image.
        layers (bool): whether a later shape lies above an earlier one.
    """

    def __init__(self, request: Request, item: RequestItem, layers: bool) -> None:
        self.item = item
        self._kind, self._layers = request.kind, layers and request.kind == 'segments'
        self._unit = unit_map(request, item.key).ravel()
        self._label: np.ndarray = np.full(self._unit.size, NOT_ANSWERED, np.int16)
        self._conflict: np.ndarray = np.zeros(self._unit.size, bool)
        self._shapes: list[tuple[int, np.ndarray, bool]] = []

    def pixel(self, x: int, y: int, region: int | None = None) -> int:
        """Row-major index of an asked pixel.

        Args:
            x (int): column.
            y (int): row.
            region (int | None): the region that it must be in; points are not checked.

        Raises:
            ValueError: if it is not asked, beyond the image, or of another region.
        """
        index = y * self.item.width + x
        if not (0 <= x < self.item.width and 0 <= y < self.item.height) or self._unit[index] == 0:
            raise ValueError(f'pixel ({x}, {y}) of {self.item.path!r} is not asked; left out')
        found = min(int(self._unit[index]), MAX_REGION)
        if region is not None and self._kind != 'points' and region != found:
            raise ValueError(f'pixel ({x}, {y}) of {self.item.path!r} is in region {found}, not {region}; left out')
        return index

    def unit_pixels(self, index: int) -> np.ndarray:
        """Row-major indices of the unit that holds an asked pixel."""
        if self._kind == 'points':
            return np.array([index])
        pixels, units = self._by_unit
        first, last = np.searchsorted(units, [self._unit[index], self._unit[index] + 1])
        return pixels[first:last]

    @cached_property
    def _by_unit(self) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.flatnonzero(self._unit)
        order = np.argsort(self._unit[pixels], kind='stable')
        return pixels[order], self._unit[pixels][order]

    def add(self, label: int, pixels: np.ndarray, *, point: bool = False) -> None:
        """Add a shape.

        Args:
            label (int): train id, 254 or :data:`UNKNOWN`.
            pixels (np.ndarray): integer, (N,), distinct row-major indices in the image.
            point (bool): a point in a region stands for all of it.
        """
        pixels = pixels.astype(np.int32)
        self._shapes.append((label, pixels, point))
        before = self._label[pixels]
        if self._layers:
            self._label[pixels] = label
        else:
            self._conflict[pixels[(before != NOT_ANSWERED) & (before != label)]] = True
            self._label[pixels[before == NOT_ANSWERED]] = label

    def finish(self, problems: list[Problem], *, annotator: str, tool: str, seconds: float = 0.0,
               clicks: int | None = None) -> Answer | None:
        """The answer, None if nothing is answered.

        Args:
            problems (list[Problem]): gets what is left out.
            annotator (str): who.
            tool (str): with what.
            seconds (float): time it took.
            clicks (int | None): clicks it took; None counts the shapes that were used.
        """
        where = self.item.path + (f', {annotator}' if annotator else '')
        outside = int(np.count_nonzero((self._label != NOT_ANSWERED) & (self._unit == 0)))
        if outside:
            problems.append(Problem(where, f'{outside} pixels outside the request were left out'))
        answer = self._by_region(where, problems) if self._kind == 'regions' else self._by_pixel(where, problems)
        answered = np.flatnonzero(answer != NOT_ANSWERED)
        if answered.size == 0:
            return None
        used = sum(bool((answer[pixels] == label).any()) for label, pixels, _ in self._shapes)
        return Answer(
            key=self.item.key, answer=answer.reshape(self.item.height, self.item.width), annotator=annotator,
            tool=tool, points=int(answered.size) if self._kind == 'points' else 0,
            clicks=used if clicks is None else clicks, components=int(np.unique(self._unit[answered]).size),
            seconds=seconds)

    def _by_pixel(self, where: str, problems: list[Problem]) -> np.ndarray:
        asked = self._unit > 0
        clash = np.flatnonzero(self._conflict & asked)
        if clash.size:
            places = [f'({i % self.item.width}, {i // self.item.width})' for i in clash[:_SHOWN]]
            problems.append(Problem(where, f'{clash.size} asked pixels carry different labels and stay unanswered: '
                                           f'{_listed(places, clash.size)}'))
        known = asked & ~self._conflict & (self._label != UNKNOWN)
        return np.where(known, self._label, NOT_ANSWERED).astype(np.uint8)

    def _by_region(self, where: str, problems: list[Problem]) -> np.ndarray:
        num_units = int(self._unit.max(initial=0))
        size = np.bincount(self._unit, minlength=num_units + 1)
        votes: np.ndarray = np.zeros((num_units + 1, UNKNOWN + 1), bool)
        touched = votes.copy()
        for label in sorted({label for label, _, _ in self._shapes}):
            points = [pixels for other, pixels, point in self._shapes if other == label and point]
            drawn = [pixels for other, pixels, point in self._shapes if other == label and not point]
            if drawn:
                covered = np.bincount(self._unit[np.unique(np.concatenate(drawn))], minlength=num_units + 1)
                votes[:, label], touched[:, label] = 2 * covered > size, covered > 0
            if points:
                votes[self._unit[np.concatenate(points)], label] = True
        votes[0] = touched[0] = False
        several = np.flatnonzero(votes.sum(axis=1) > 1)
        if several.size:
            problems.append(Problem(where, f'{several.size} regions carry several labels and stay unanswered: '
                                           f'{_listed(several[:_SHOWN], several.size)}'))
        partly = np.flatnonzero((touched & ~votes).any(axis=1))
        if partly.size:
            problems.append(Problem(where, f'{partly.size} regions have a label on half of their pixels or less, which '
                                           f'was left out: {_listed(partly[:_SHOWN], partly.size)}; a label answers a '
                                           'region if it covers more than half of it'))
        value = np.where(votes.sum(axis=1) == 1, votes.argmax(axis=1), NOT_ANSWERED)
        return np.where(value == UNKNOWN, NOT_ANSWERED, value).astype(np.uint8)[self._unit]


def _listed(shown: Any, total: int) -> str:
    return ', '.join(str(one) for one in shown) + (' ...' if total > len(shown) else '')
