# SPDX-License-Identifier: Apache-2.0
"""What a person does on the annotator page, as events, and the label map that a list of events amounts to.

The log of events is the record; maps are computed from it. An answer always names its pixels: a whole region by its id, or
a part of one (or of several) as runs. So the map does not depend on how the page had cut regions for display.
"""
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..request import NOT_ANSWERED, VOID

#: ``label``/``void``: a region or the pixels of ``runs``. ``paint``: a brush stroke. ``split``: cuts regions for display.
#: ``skip``: later, please. ``undo``: takes back the event that it names.
KINDS = ('label', 'void', 'paint', 'split', 'skip', 'undo')
ANSWERING = ('label', 'void', 'paint')
#: Time between two events that counts as work; a longer gap was a break.
IDLE_SECONDS = 60.0
_MAX_CLICKS = 1000
_EVENT_ID = re.compile(r'[A-Za-z0-9_-]{8,64}')


class EventError(ValueError):
    """An event that cannot be stored, with the reason for the person who sent it."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The asked pixels of an image.

    Attributes:
        shape (tuple[int, int]): native height and width.
        flat (np.ndarray): int64, (N,), ascending row-major index of every asked pixel.
        region (np.ndarray): int64, (N,), their region ids, from 1.
    """
    shape: tuple[int, int]
    flat: np.ndarray
    region: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> 'Asked':
        """From a mask of region ids: uint16, (H, W), 0 = not asked."""
        flat = np.flatnonzero(mask)
        return cls((int(mask.shape[0]), int(mask.shape[1])), flat, mask.ravel()[flat].astype(np.int64))

    @cached_property
    def ids(self) -> np.ndarray:
        """int64, (R,), the region ids, ascending."""
        return np.unique(self.region)

    @cached_property
    def slot(self) -> np.ndarray:
        """int64, (N,), index into :attr:`ids` of every asked pixel."""
        return np.searchsorted(self.ids, self.region)

    def full(self, labels: np.ndarray) -> np.ndarray:
        """Spread labels of the asked pixels, uint8 (N,), to a map: uint8, (H, W), 255 elsewhere."""
        answer = np.full(self.shape[0] * self.shape[1], NOT_ANSWERED, np.uint8)
        answer[self.flat] = labels
        return answer.reshape(self.shape)

    def mask(self, chosen: np.ndarray) -> np.ndarray:
        """Spread a choice of the asked pixels, bool (N,), to a mask: bool, (H, W)."""
        found = np.zeros(self.shape[0] * self.shape[1], bool)
        found[self.flat] = chosen
        return found.reshape(self.shape)

    def open_ids(self, labels: np.ndarray) -> np.ndarray:
        """Ids of the regions with an unanswered pixel: int64, ascending; ``labels`` as in :meth:`full`."""
        return self.ids[np.bincount(self.slot[labels == NOT_ANSWERED], minlength=self.ids.size) > 0]


@dataclass(frozen=True, eq=False)
class Event:
    """One thing that a person did.

    Attributes:
        event_id (str): made by the page; the same event sent twice has the same one.
        who (str): the person.
        session (str): the browser tab.
        key (str): the image.
        kind (str): one of :data:`KINDS`.
        region (int): the region meant, 0 if ``runs`` say which pixels, or for a skipped image.
        value (int | None): train id, 254 = void, 255 = rubbed out; None where nothing is answered.
        runs (np.ndarray | None): uint32, (R, 2), start and length of runs of row-major pixels.
        seconds (float): since the person's event before, at most :data:`IDLE_SECONDS`.
        clicks (int): clicks, strokes or keys that it took.
        undoes (str | None): ``event_id`` of the event taken back.
        number (int): place in the log, 0 before it is stored.
        time_ms (int): when it was stored, milliseconds since 1970.
        duplicate (bool): somebody else had answered all of its pixels already.
    """
    event_id: str
    who: str
    session: str
    key: str
    kind: str
    region: int = 0
    value: int | None = None
    runs: np.ndarray | None = None
    seconds: float = 0.0
    clicks: int = 0
    undoes: str | None = None
    number: int = 0
    time_ms: int = 0
    duplicate: bool = False

    @property
    def answers(self) -> bool:
        """Whether it changes labels."""
        return self.kind in ANSWERING


def pixels_of_runs(runs: np.ndarray) -> np.ndarray:
    """Row-major pixels of runs: (R, 2) start and length -> int64, (sum of lengths,)."""
    start, length = runs[:, 0].astype(np.int64), runs[:, 1].astype(np.int64)
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(int(length.sum()))


def runs_of_pixels(flat: np.ndarray) -> np.ndarray:
    """Runs of ascending, distinct row-major pixels: int (N,) -> uint32, (R, 2)."""
    if flat.size == 0:
        return np.zeros((0, 2), np.uint32)
    first = np.flatnonzero(np.diff(flat, prepend=flat[0] - 2) != 1)
    length = np.diff(first, append=flat.size)
    return np.stack([flat[first], length], 1).astype(np.uint32)


def places(event: Event, asked: Asked) -> np.ndarray:
    """Asked pixels that an event names, as indices into :class:`Asked`: int64, ascending."""
    if event.runs is not None:
        return np.flatnonzero(np.isin(asked.flat, pixels_of_runs(event.runs), assume_unique=True))
    return np.flatnonzero(asked.region == event.region) if event.region else np.zeros(0, np.int64)


def effective(events: Sequence[Event]) -> list[Event]:
    """The events of one person that were not taken back, without the undos themselves."""
    undone = {event.undoes for event in events if event.kind == 'undo'}
    return [event for event in events if event.kind != 'undo' and event.event_id not in undone]


def replay(events: Sequence[Event], asked: Asked) -> np.ndarray:
    """Labels that one person's events on one image amount to, the later over the earlier.

    Args:
        events (Sequence[Event]): in the order of the log.
        asked (Asked): pixels of the image.

    Returns:
        np.ndarray: uint8, (N,), train id, 254 = void, 255 = not answered, of every asked pixel.
    """
    labels = np.full(asked.flat.size, NOT_ANSWERED, np.uint8)
    for event in effective(events):
        if event.answers and event.value is not None:
            labels[places(event, asked)] = event.value
    return labels


def taken_back(events: Sequence[Event], asked: Asked) -> np.ndarray:
    """Asked pixels that one person answered once and left open in the end: bool, (N,)."""
    named = np.zeros(asked.flat.size, bool)
    for event in events:
        if event.answers and event.value not in (None, NOT_ANSWERED):
            named[places(event, asked)] = True
    return named & (replay(events, asked) == NOT_ANSWERED)


def seconds_of(events: Iterable[Event]) -> float:
    """Working time of events in seconds, breaks left out; work that was taken back was work too."""
    return sum(min(event.seconds, IDLE_SECONDS) for event in events)


def _integer(content: Mapping[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    value = content.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise EventError(f'{name} is {value!r}; expected a whole number from {low} to {high}')
    return value


def _runs(value: Any, asked: Asked) -> np.ndarray:
    if not isinstance(value, list) or len(value) % 2 or not value:
        raise EventError('runs is not a list of start and length pairs')
    if any(type(number) is not int for number in value):
        raise EventError('runs holds something that is no whole number')
    total = asked.shape[0] * asked.shape[1]
    if min(value) < 0 or max(value) > total:
        raise EventError(f'runs hold {min(value)} to {max(value)}; the image has {total} pixels')
    pairs = np.array(value, np.int64).reshape(-1, 2)
    end = pairs.sum(1)
    if pairs[:, 1].min() < 1 or (pairs[1:, 0] < end[:-1]).any():
        raise EventError('runs must ascend without overlap, each at least one pixel long')
    if end[-1] > total:
        raise EventError(f'runs reach pixel {int(end[-1]) - 1}; the image has {total}')
    inside = asked.flat[np.isin(asked.flat, pixels_of_runs(pairs), assume_unique=True)]
    if inside.size == 0:
        raise EventError('none of the pixels was asked')
    return runs_of_pixels(inside)


def parse_event(content: Any, *, who: str, session: str, key: str, asked: Asked, num_classes: int, kind: str) -> Event:
    """Check what a page sent.

    Args:
        content (Any): the JSON of one event.
        who (str): the person.
        session (str): the tab.
        key (str): the image.
        asked (Asked): its asked pixels.
        num_classes (int): classes that may be named.
        kind (str): kind of the request: ``'points'`` and ``'regions'`` take one label a region, never a part of one.

    Returns:
        Event: ready to store; pixels that were not asked are left out.

    Raises:
        EventError: if it cannot be an event of this image.
    """
    if not isinstance(content, Mapping):
        raise EventError('an event must be a JSON object')
    name = content.get('event_id')
    if not isinstance(name, str) or not _EVENT_ID.fullmatch(name):
        raise EventError(f'event_id is {name!r}; expected 8 to 64 letters, digits, - or _')
    what = content.get('kind')
    if what not in KINDS:
        raise EventError(f'kind is {what!r}; expected one of {", ".join(KINDS)}')
    seconds = content.get('seconds', 0)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < math.inf:
        raise EventError(f'seconds is {seconds!r}; expected a number of at least 0')
    region = _integer(content, 'region', 0, 65535, 0)
    if region and not np.isin(region, asked.ids):
        raise EventError(f'region {region} was not asked in this image')
    value, runs, undoes = None, None, None
    if content.get('runs') is not None:
        if kind != 'segments':
            raise EventError(f'a request for {kind} takes one label a region; parts of a region cannot be answered')
        runs = _runs(content['runs'], asked)
    if what in ('paint', 'split') and runs is None:
        raise EventError(f'{what} needs the pixels it means, in runs')
    if what in ('label', 'void') and runs is None and not region:
        raise EventError(f'{what} needs a region or runs')
    if what == 'label':
        value = _integer(content, 'value', 0, num_classes - 1)
    elif what == 'void':
        value = VOID
    elif what == 'paint':
        value = _integer(content, 'value', 0, NOT_ANSWERED)
        if num_classes <= value < VOID:
            raise EventError(f'value is {value}; expected 0..{num_classes - 1}, {VOID} (unsure) or {NOT_ANSWERED} (rub out)')
    elif what == 'undo':
        undoes = content.get('undoes')
        if not isinstance(undoes, str) or not _EVENT_ID.fullmatch(undoes):
            raise EventError(f'undoes is {undoes!r}; expected the event_id of the event to take back')
    return Event(name, who, session, key, what, region, value, runs, float(min(seconds, IDLE_SECONDS)),
                 _integer(content, 'clicks', 0, _MAX_CLICKS, 0), undoes)
