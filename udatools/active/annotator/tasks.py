# SPDX-License-Identifier: Apache-2.0
"""Who answers what next, what is answered, how fast, and how long it will take.

The board is a view of the log: it reads what is new before every decision, so several servers on one package agree. A task
is an image (or, for points, some points of one); it is leased to one person for a while, and comes back when the lease runs
out. Work on an image goes on in one hand as long as there are other images for the others.
"""
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from threading import RLock
from typing import Any

import numpy as np

from ..request import NOT_ANSWERED, RequestItem
from .allowance import Allowance
from .events import Event, EventError, effective, places, replay, seconds_of
from .images import PackageImages
from .store import AnswerStore, now_ms

ORDERS = ('raster', 'largest', 'shuffled')
#: Points handed out at once: small, so that several people can share an image.
POINTS_AT_ONCE = 16
#: Speed is measured over this time.
_WINDOW_MS = 5 * 60 * 1000


@dataclass
class _ImageState:
    """What is known of an image with events.

    Attributes:
        labels (dict): by person, uint8, (N,), labels of the asked pixels.
        skipped (dict): by person, {region id or 0: number of the latest skip}.
        done (dict): by person (None: all people together), answered regions and pixels.
        clicks (dict): by person, of the events that hold.
        seconds (dict): by person, of all events.
    """
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: dict[str, dict[int, int]] = field(default_factory=dict)
    done: dict[str | None, tuple[int, int]] = field(default_factory=dict)
    clicks: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class TaskBoard:
    """Hands out tasks and keeps count.

    Args:
        images (PackageImages): the package.
        store (AnswerStore): its log.
        order (str): ``'raster'``: images as in the package, regions from top to bottom; ``'largest'``: large regions of an
            image first; ``'shuffled'``: images in a mixed order, the same for everybody.
        lease_seconds (float): how long a task stays with somebody who does nothing.
        blind (bool): everybody answers everything, without seeing what others answered; for measuring disagreement.
        budget (float | None): clicks or seconds, in the unit of the request's budget, that all answers together may take;
            None: what the request was planned to cost. Without a budget in one of these there is no limit.
    """

    def __init__(self, images: PackageImages, store: AnswerStore, *, order: str = 'raster', lease_seconds: float = 600.0,
                 blind: bool = False, budget: float | None = None) -> None:
        if order not in ORDERS:
            raise ValueError(f'order is {order!r}; expected one of {", ".join(ORDERS)}')
        if not (isfinite(lease_seconds) and lease_seconds > 0):
            raise ValueError(f'the lease is {lease_seconds:g} seconds; expected a number above 0')
        self.images, self.store, self.order, self.blind = images, store, order, blind
        self.lease_ms = int(lease_seconds * 1000)
        self._lock = RLock()
        self.request = images.request
        self.allowance = Allowance.of(self.request, budget)
        self.position = {item.key: i for i, item in enumerate(self.request.items)}
        self._asked = [item for item in self.request.items if item.asked]
        if order == 'shuffled':
            self._asked.sort(key=lambda item: hashlib.sha256(f'{self.request.request_id}/{item.key}'.encode()).digest())
        self._reset()

    def _reset(self) -> None:
        self._seen = 0
        self._states: dict[str, _ImageState] = {}
        self._recent: deque[tuple[int, str, int, float]] = deque()
        self._longest = 0.0

    # ---- following the log -----------------------------------------------------------------------------------

    def _sync(self) -> None:
        for event in self.store.events(after=self._seen):
            self._apply(event)

    def _apply(self, event: Event) -> None:
        self._seen = max(self._seen, event.number)
        if event.key not in self.position:
            return
        asked, state = self.images.asked(event.key), self._states.setdefault(event.key, _ImageState())
        before = state.done.get(None, (0, 0))[0]
        target = self.store.find(event.undoes) if event.undoes else None
        state.seconds[event.who] = state.seconds.get(event.who, 0.0) + seconds_of([event])
        self._longest = max(self._longest, seconds_of([event]))
        story = [] if target is None else [other for other in self.store.events(key=event.key, who=event.who)
                                           if other.number <= event.number]
        state.clicks[event.who] = (sum(other.clicks for other in effective(story)) if story
                                   else state.clicks.get(event.who, 0) + event.clicks)
        if event.answers and event.value is not None:
            labels = state.labels.setdefault(event.who, np.full(asked.flat.size, NOT_ANSWERED, np.uint8))
            labels[places(event, asked)] = event.value
        elif event.kind == 'skip':
            state.skipped.setdefault(event.who, {})[event.region] = event.number
        elif target is not None and target.kind == 'skip':
            state.skipped.get(event.who, {}).pop(target.region, None)
        elif target is not None and target.answers:
            state.labels[event.who] = replay(story, asked)
        if event.who in state.labels:
            for who, labels in ((event.who, state.labels[event.who]), (None, self._union(state, asked.flat.size))):
                state.done[who] = (asked.ids.size - asked.open_ids(labels).size, int((labels != NOT_ANSWERED).sum()))
        self._recent.append((event.time_ms, event.who, state.done.get(None, (0, 0))[0] - before, event.seconds))
        while self._recent[0][0] < event.time_ms - _WINDOW_MS:
            self._recent.popleft()

    @staticmethod
    def _union(state: _ImageState, size: int, without: str | None = None) -> np.ndarray:
        merged = np.full(size, NOT_ANSWERED, np.uint8)
        for who, labels in state.labels.items():
            if who != without:
                merged = np.where(merged == NOT_ANSWERED, labels, merged)
        return merged

    def _is_duplicate(self, event: Event) -> bool:
        self._sync()
        state = self._states.get(event.key)
        if self.blind or not event.answers or state is None:
            return False
        asked = self.images.asked(event.key)
        meant = places(event, asked)
        others, own = self._union(state, asked.flat.size, without=event.who)[meant], state.labels.get(event.who)
        return bool((others != NOT_ANSWERED).all()) and (own is None or bool((own[meant] == NOT_ANSWERED).all()))

    def append(self, event: Event) -> Event:
        """Store an event and renew the person's lease on its image.

        Returns:
            Event: as stored; an answer to what somebody else had answered is kept and marked as a duplicate.

        Raises:
            EventError: if an undo names something else than an event of this person in this image.
            StoreError: if the disk does not take it.
        """
        with self._lock:
            if event.kind == 'undo':
                target = self.store.find(event.undoes or '')
                if target is None or (target.who, target.key) != (event.who, event.key) or target.kind == 'undo':
                    raise EventError(f'{event.who} has nothing to take back under {event.undoes!r} in this image')
            try:
                (stored, ) = self.store.append([event], self._is_duplicate, self._apply)
            except BaseException:
                self._reset()  # what was applied and then rolled back must not stay; the log is read again
                raise
            self.renew(event.who, [event.key])
            return stored

    # ---- what is open ----------------------------------------------------------------------------------------

    def _done(self, item: RequestItem, who: str) -> tuple[int, int]:
        state = self._states.get(item.key)
        return (0, 0) if state is None else state.done.get(who if self.blind else None, (0, 0))

    def _open(self, item: RequestItem, who: str) -> list[int]:
        """Region ids that are still to be answered, in the order of asking; those skipped by the person last."""
        asked, state = self.images.asked(item.key), self._states.get(item.key)
        if state is None:
            ids = asked.ids
        elif self.blind:
            ids = asked.open_ids(state.labels.get(who, np.full(asked.flat.size, NOT_ANSWERED, np.uint8)))
        else:
            ids = asked.open_ids(self._union(state, asked.flat.size))
        if self.order == 'largest':
            sizes = np.bincount(asked.slot)[np.searchsorted(asked.ids, ids)]
            ids = ids[np.argsort(-sizes, kind='stable')]
        skipped = self._skipped(item, who)
        return sorted(ids.tolist(), key=lambda region: skipped.get(region, 0))

    def _leases(self) -> dict[str, dict[int, str]]:
        found: dict[str, dict[int, str]] = {}
        with self.store.transaction() as db:
            db.execute('DELETE FROM leases WHERE until_ms < ?', (now_ms(), ))
            for key, region, who in db.execute('SELECT key, region, who FROM leases'):
                found.setdefault(key, {})[region] = who
        return found

    def renew(self, who: str, keys: Iterable[str]) -> None:
        """Keep what a person has on these images for another while."""
        with self.store.transaction() as db:
            for key in keys:
                db.execute('UPDATE leases SET until_ms = ? WHERE key = ? AND who = ?', (now_ms() + self.lease_ms, key, who))

    def release(self, who: str, key: str) -> None:
        """Give an image back."""
        with self.store.transaction() as db:
            db.execute('DELETE FROM leases WHERE key = ? AND who = ?', (key, who))

    def _skipped(self, item: RequestItem, who: str) -> dict[int, int]:
        state = self._states.get(item.key)
        return {} if state is None else state.skipped.get(who, {})

    def _candidates(self, who: str, leases: dict[str, dict[int, str]], exclude: set[str]) -> Iterator[RequestItem]:
        """Images with something open: those begun, those nobody is at, those that others are at, those skipped.

        None once the budget is used up: the import would leave out what goes over it.
        """
        if self.allowance is not None and self.allowance.used_up(self._spent(self.allowance.unit), self._longest):
            return
        mine: list[RequestItem] = []
        free: list[RequestItem] = []
        shared: list[RequestItem] = []
        later: list[tuple[int, RequestItem]] = []
        for item in self._asked:
            if item.key in exclude or self._done(item, who)[0] >= item.components:
                continue
            holders, skipped = set(leases.get(item.key, {}).values()), self._skipped(item, who)
            if skipped and (0 in skipped or set(self._open(item, who)) <= set(skipped)):
                later.append((max(skipped.values()), item))
            else:
                (mine if who in holders else shared if holders else free).append(item)
        yield from mine
        yield from free
        yield from shared
        yield from (item for _, item in sorted(later, key=lambda pair: pair[0]))

    def grant(self, who: str, *, exclude: Iterable[str] = (), key: str | None = None,
              region: int = 0) -> tuple[str, list[int]] | None:
        """Lease the next task to a person.

        Args:
            who (str): the person.
            exclude (Iterable[str]): images that the page has already.
            key (str | None): this image, also if it is finished or with somebody else: to see or correct it.
            region (int): the region to begin with, if it is open.

        Returns:
            tuple | None: image and its regions that are open and free, in the order of asking; None if there is no image.
        """
        with self._lock:
            self._sync()
            leases = {} if self.blind else self._leases()
            wanted = [item for item in self._asked if item.key == key]
            for item in wanted if key is not None else self._candidates(who, leases, set(exclude)):
                free = self._lease(item, who, self._free(item, who, leases.get(item.key, {}), region))
                if free or key is not None:
                    return item.key, free
            return None

    def upcoming(self, who: str, *, exclude: Iterable[str] = ()) -> str | None:
        """The image that :meth:`grant` would give with the same arguments, without a lease; None if there is none."""
        with self._lock:
            self._sync()
            leases = {} if self.blind else self._leases()
            return next((item.key for item in self._candidates(who, leases, set(exclude))
                         if self._free(item, who, leases.get(item.key, {}), 0)), None)

    def _free(self, item: RequestItem, who: str, holders: dict[int, str], first: int) -> list[int]:
        """Open regions of an image that the person may hold; none if somebody else has them."""
        points, skipped = self.request.kind == 'points', self._skipped(item, who)
        free = [region for region in self._open(item, who) if holders.get(region if points else 0, who) == who]
        free.sort(key=lambda region: region != first)
        if points:
            fresh = [region for region in free if region == first or region not in skipped]
            free = (fresh or free)[:POINTS_AT_ONCE]
        return free

    def _lease(self, item: RequestItem, who: str, free: list[int]) -> list[int]:
        """Of regions that nobody held a moment ago, those that the person holds from now on."""
        if self.blind or not free:
            return free
        points = self.request.kind == 'points'
        with self.store.transaction() as db:
            until = now_ms() + self.lease_ms
            db.executemany('INSERT OR IGNORE INTO leases VALUES (?, ?, ?, ?)',
                           [(item.key, region, who, until) for region in (free if points else [0])])
            # Of two servers the faster has it.
            mine = {row[0] for row in db.execute('SELECT region FROM leases WHERE key = ? AND who = ?', (item.key, who))}
        self.renew(who, [item.key])
        return [region for region in free if (region if points else 0) in mine]

    def others(self, key: str, who: str) -> np.ndarray | None:
        """What other people answered: uint8, (N,) labels of the asked pixels; None in a blind campaign or if nothing."""
        with self._lock:
            state = self._states.get(key)
            if self.blind or state is None or not set(state.labels) - {who}:
                return None
            return self._union(state, self.images.asked(key).flat.size, without=who)

    # ---- counting --------------------------------------------------------------------------------------------

    def _spent(self, unit: str) -> float:
        """Clicks or seconds of the answers, as the import counts them: of every person who answered something of an image."""
        return sum(getattr(state, unit)[who] for state in self._states.values() for who in state.labels if state.done[who][1])

    def progress(self, who: str) -> dict[str, Any]:
        """Answered and asked regions and pixels, what of the budget is spent and left, speed in regions a minute of work,
        seconds left for all at work now."""
        with self._lock:
            self._sync()
            return self._progress(who)

    def _progress(self, who: str) -> dict[str, Any]:
        done = [self._done(item, who) for item in self._asked]
        total, answered = sum(item.components for item in self._asked), sum(regions for regions, _ in done)
        since = now_ms() - _WINDOW_MS
        recent = [row for row in self._recent if row[0] >= since]
        speeds = {}
        for name in {row[1] for row in recent}:
            units = sum(row[2] for row in recent if row[1] == name)
            seconds = sum(row[3] for row in recent if row[1] == name)
            if units > 0 and seconds > 1:
                speeds[name] = 60 * units / seconds
        together = speeds.get(who, 0.0) if self.blind else sum(speeds.values())
        allowance = self.allowance
        budget = None if allowance is None else allowance.report(self._spent(allowance.unit), self._longest)
        return dict(
            budget=budget, regions=dict(done=answered, asked=total), pixels=dict(done=sum(pixels for _, pixels in done),
                                                                  asked=sum(item.asked for item in self._asked)),
            images=dict(done=sum(regions >= item.components for (regions, _), item in zip(done, self._asked)),
                        asked=len(self._asked)),
            speed=speeds.get(who), people=len({row[1] for row in recent}),
            seconds_left=60 * (total - answered) / together if together else None)

    def waiting(self, who: str) -> list[dict[str, Any]]:
        """What other people have in front of them: their names and how many seconds their leases still run."""
        now = now_ms()
        with self.store.transaction() as db:
            rows = db.execute('SELECT who, MAX(until_ms) FROM leases WHERE who != ? AND until_ms >= ? GROUP BY who ORDER BY who',
                              (who, now)).fetchall()
        return [dict(who=name, seconds=round((until - now) / 1000)) for name, until in rows]
