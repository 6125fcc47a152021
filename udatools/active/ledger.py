# SPDX-License-Identifier: Apache-2.0
"""The label ledger: one SQLite file with every question and answer of a campaign, append-only.

Triggers refuse UPDATE and DELETE; a batch of answers is one transaction with full fsync, so a process killed at any
moment leaves either all of the batch or none. Importing the same answers again changes nothing. The budget is checked
inside the transaction: answers that would exceed it are refused.

An entry holds what an answer *adds*: a person may answer more of an image later, and may correct what they said; their
latest word is theirs. Several people may answer the same pixels: all of it is kept, and the policy of the campaign says
what holds (:mod:`udatools.active.ledger_merge`). Pixels, points and regions are counted once, by whoever was first.
Clicks and seconds are counted as submitted; a submission that repeats more than half of what the same person answered
before is the same sheet filled in further, its clicks and seconds are totals, and only what they grew by is added.

Only one process writes. Others may open the file with ``read_only=True`` while nobody writes and after
:meth:`LabelLedger.checkpoint`; that needs no locks, so it works on network file systems.
"""
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from .budget import Limits
from .image_questions import CLASS_POINTS, TAGS
from .ledger_budget import BudgetGuard, check_spent
from .ledger_merge import check_policy, latest_of_each, overlay
from .ledger_reader import SPENT_COLUMNS, LedgerReader, column_of
from .ledger_schema import BudgetExceeded, LedgerError, RoundClosed, transaction
from .ledger_tags import check_answer, clicks_and_seconds, encode_tags, new_counts
from .request import NOT_ANSWERED, VOID, Answer, Request

__all__ = ['SPENT_COLUMNS', 'BudgetExceeded', 'LabelLedger', 'LedgerError', 'Outcome', 'RecordSummary', 'RoundClosed',
           'column_of']
NO_LIMITS = Limits()
RECORDED, KNOWN, OVER_BUDGET = 'recorded', 'known', 'over budget'


class Outcome(NamedTuple):
    """What became of one answer.

    Attributes:
        key (str): the image.
        annotator (str): who answered.
        status (str): ``'recorded'``, ``'known'`` (nothing in it is new) or ``'over budget'`` (not stored).
        pixels (int): answered now and by nobody before.
        points (int): the same in points, 0 for other kinds of request.
        components (int): regions of which nothing was answered before.
        clicks (int): counted now.
        seconds (float): counted now.
        void (int): of ``pixels``, those answered void.
        rejected (int): answered pixels outside the request, left out.
        overlap (int): answered now by this person, by somebody else before.
        conflicts (int): pixels of this entry where somebody else says something different.
        corrections (int): pixels where the person said something different before.
    """
    key: str
    annotator: str
    status: str
    pixels: int = 0
    points: int = 0
    components: int = 0
    clicks: int = 0
    seconds: float = 0.0
    void: int = 0
    rejected: int = 0
    overlap: int = 0
    conflicts: int = 0
    corrections: int = 0


@dataclass(frozen=True)
class RecordSummary:
    """Outcome of :meth:`LabelLedger.record`.

    Attributes:
        outcomes (tuple[Outcome, ...]): one an answer, in their order.
    """
    outcomes: tuple[Outcome, ...]

    def count(self, status: str) -> int:
        """Answers with that status."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def recorded(self) -> int:
        """Answers stored now."""
        return self.count(RECORDED)

    @property
    def known(self) -> int:
        """Answers that the ledger held already."""
        return self.count(KNOWN)

    @property
    def over_budget(self) -> int:
        """Answers that were not stored because the budget was used up."""
        return self.count(OVER_BUDGET)

    @property
    def rejected(self) -> int:
        """Answered pixels outside the request, left out."""
        return sum(outcome.rejected for outcome in self.outcomes)


class _DryRun(Exception):
    """Ends a transaction whose result was only asked for."""


class LabelLedger(LedgerReader):
    """Record of a labelling campaign.

    Args:
        path (str | Path): the SQLite file; made if missing, an older one is extended.
        read_only (bool): open for reading without locks (see the module).

    Raises:
        LedgerError: if the file is no ledger.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        super().__init__(path, read_only=read_only)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with transaction(self._db):
                yield
        except sqlite3.OperationalError as error:
            raise LedgerError(f'cannot write {self.path}: {error}; nothing was stored. Check that the disk is '
                              'writable and not full, then run again: what is stored already is kept') from error

    def open_campaign(self, settings: Mapping[str, Any], *, unit: str | None = None, limits: Limits = NO_LIMITS,
                      policy: str = 'first') -> None:
        """State the settings and the hard limits; the last statement holds, the same again adds nothing.

        Args:
            settings (Mapping): JSON-able description: classes, total pixels, ...
            unit (str | None): ``'pixels'``, ``'points'``, ``'regions'``, ``'clicks'`` or ``'seconds'``; None without a
                budget.
            limits (Limits): in units.
            policy (str): what holds where people differ, of :data:`udatools.active.ledger_merge.POLICIES`.

        Raises:
            BudgetExceeded: if more than that is spent already.
            ValueError: if ``unit`` or ``policy`` is unknown.
        """
        row = (unit, json.dumps(settings, sort_keys=True), check_policy(policy), limits.total, limits.in_round, limits.of_image,
               limits.of_image_in_round)
        columns = 'unit, settings, policy, budget, round_budget, image_budget, image_round_budget'
        with self._transaction():
            last = self._db.execute(f'SELECT {columns} FROM campaign ORDER BY id DESC LIMIT 1').fetchone()
            if last == row:
                return
            if unit is not None:
                check_spent(self, unit, limits)
            self._db.execute(f'INSERT INTO campaign (created_at, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)', (_now(), *row))

    def add_request(self, request: Request) -> None:
        """Note a request before it is answered; the same one again adds nothing.

        Raises:
            LedgerError: if another request was already asked in that round.
        """
        other = self.request_of_round(request.round)
        if other == request.request_id:
            return
        if other is not None:
            raise LedgerError(f'round {request.round} was asked with request {other[:12]}, now another one '
                              f'({request.request_id[:12]}) is given: the model, selector, data or budget changed. '
                              f'Labels of {self.path} are paid for; use a new work directory for another experiment')
        row = (request.request_id, _now(), request.round, request.kind, sum(item.asked for item in request.items),
               len(request.asked_keys()), json.dumps(request.header, sort_keys=True))
        with self._transaction():
            self._db.execute('INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?)', row)

    def close_round(self, request: Request, who: str, reason: str, *, asked: int, answered: int) -> bool:
        """Note that a round takes no more answers: what is trained on them must not change afterwards.

        Args:
            request (Request): of the round.
            who (str): who closes it.
            reason (str): why.
            asked (int): units (points, regions) asked.
            answered (int): units answered by now.

        Returns:
            bool: False if it was closed before; the first closure holds.
        """
        with self._transaction():
            self._check_asked(request)
            if self._db.execute('SELECT 1 FROM closures WHERE request_id = ?', (request.request_id, )).fetchone():
                return False
            self._db.execute(
                'INSERT INTO closures (created_at, request_id, round, who, reason, asked, answered) '
                'VALUES (?, ?, ?, ?, ?, ?, ?)',
                (_now(), request.request_id, request.round, who, reason, asked, answered))
        return True

    def record(self, request: Request, answers: Iterable[Answer], *, within_budget: bool = False,
               dry_run: bool = False) -> RecordSummary:
        """Store answers in one transaction: all of them or none.

        Pixels outside the request are left out and counted; of an answer only what is new is stored.

        Args:
            request (Request): what was asked.
            answers (Iterable[Answer]): maps may be partial. One without any answered pixel is noted the first time: the
                person looked and left everything open.
            within_budget (bool): where the budget ends, leave out the rest instead of refusing everything: from the
                first answer that does not fit on (of that image only, for a budget per image).
            dry_run (bool): store nothing, only say what would become of them.

        Raises:
            BudgetExceeded: if the budget does not cover all of them and ``within_budget`` is off.
            RoundClosed: if there is something new in them and the round takes no answers any more.
            LedgerError: if an answer does not fit the request, or the request was not asked.
        """
        checked = [(answer, *self._check(request, answer)) for answer in answers]
        outcomes: list[Outcome] = []
        try:
            with self._transaction():
                self._check_asked(request)
                budget = BudgetGuard(self, request.round)
                for answer, stored, rejected in checked:
                    row = self._difference(request, answer, stored)
                    if row is None:
                        outcomes.append(Outcome(answer.key, answer.annotator, KNOWN))
                        continue
                    if (reason := self.why_closed(request.round)) is not None:
                        raise RoundClosed(f'round {request.round} takes no answers any more: {reason}. Nothing was stored')
                    row['rejected'] = rejected
                    counts = {name: row[name] for name in Outcome._fields if name in row}
                    if not budget.take(row, within_budget):
                        outcomes.append(Outcome(answer.key, answer.annotator, OVER_BUDGET, rejected=rejected))
                        continue
                    self._db.execute(f'INSERT INTO entries ({", ".join(row)}) VALUES ({", ".join("?" * len(row))})',
                                     tuple(row.values()))
                    outcomes.append(Outcome(status=RECORDED, **counts))
                if dry_run:
                    raise _DryRun
        except _DryRun:
            pass
        return RecordSummary(tuple(outcomes))

    def _check_asked(self, request: Request) -> None:
        known = self.request_of_round(request.round)
        if known != request.request_id:
            raise LedgerError(f'{self.path} was asked {"nothing" if known is None else "request " + known[:12]} in round '
                              f'{request.round}, not request {request.request_id[:12]}; nothing was stored. Give the '
                              'request and the ledger of the same run')

    @staticmethod
    def _check(request: Request, answer: Answer) -> tuple[np.ndarray, int]:
        """The answer without what was not asked, and how many pixels that were."""
        if answer.key not in request:
            raise LedgerError(f'{answer.annotator} answered {answer.key!r}, which request {request.request_id[:12]} '
                              'does not contain')
        item, given = request[answer.key], np.asarray(answer.answer)
        if given.dtype != np.uint8 or given.shape != (item.height, item.width):
            raise LedgerError(f'answer to {answer.key!r} is {given.dtype} {given.shape}; expected uint8 '
                              f'{(item.height, item.width)}, the native size of the image')
        if not answer.annotator or min(answer.clicks, answer.seconds) < 0 or not np.isfinite(answer.seconds):
            raise LedgerError(f'answer to {answer.key!r} is by {answer.annotator!r}, with {answer.clicks} clicks in '
                              f'{answer.seconds} s; expected a name, and numbers >= 0')
        if request.kind == TAGS:
            check_answer(request, answer)
        elif answer.tags is not None:
            raise LedgerError(f'answer to {answer.key!r} holds tags of the image; request {request.request_id[:12]} asks for '
                              f'{request.kind}')
        asked = request.regions(answer.key) > 0
        stored = np.where(asked, given, np.uint8(NOT_ANSWERED)).astype(np.uint8)
        unknown = np.unique(stored[(stored >= request.num_classes) & (stored < VOID)])
        if unknown.size:
            raise LedgerError(f'answer to {answer.key!r} holds class {int(unknown[0])}; expected '
                              f'0..{request.num_classes - 1}, {VOID} (void) or {NOT_ANSWERED} (no answer)')
        return stored, int(((given != NOT_ANSWERED) & ~asked).sum())

    def _difference(self, request: Request, answer: Answer, given: np.ndarray) -> dict[str, Any] | None:
        """The entry that an answer adds; None if there is nothing new in it."""
        digest = _digest(answer, given)
        earlier = self._db.execute('SELECT clicks, seconds, digest FROM records WHERE request_id = ? AND key = ? AND '
                                   'annotator = ?', (request.request_id, answer.key, answer.annotator)).fetchall()
        if any(row[2] == digest for row in earlier):
            return None
        people = latest_of_each(self._entries(answer.key))
        if people and next(iter(people.values())).shape != given.shape:
            raise LedgerError(f'answer to {answer.key!r} is {given.shape}, earlier ones to it '
                              f'{next(iter(people.values())).shape}: the image changed; use a new work directory')
        if request.kind == TAGS:
            return self._difference_of_tags(request, answer, given, digest, earlier)
        mine = people.pop(answer.annotator, np.full_like(given, NOT_ANSWERED))
        delta = np.where(given == mine, np.uint8(NOT_ANSWERED), given)
        answered = delta != NOT_ANSWERED
        if not answered.any() and earlier:
            return None
        others: np.ndarray | None = None
        conflicts = np.zeros(given.shape, bool)
        for said in people.values():
            others = overlay(others, said)
            conflicts |= answered & (said != NOT_ANSWERED) & (said != delta)
        corrected = answered & (mine != NOT_ANSWERED)
        covered = np.zeros(given.shape, bool) if others is None else others != NOT_ANSWERED
        new = answered & ~corrected & ~covered
        counts = np.bincount(delta[answered], minlength=256)
        clicks, seconds = int(answer.clicks), float(answer.seconds)
        before = mine != NOT_ANSWERED
        on_sheet = before & (request.regions(answer.key) > 0)  # without the answers to other rounds
        if 2 * int((on_sheet & (given != NOT_ANSWERED)).sum()) > int(on_sheet.sum()):  # the same sheet, filled in further
            clicks = max(0, clicks - sum(row[0] for row in earlier))
            seconds = max(0.0, seconds - sum(row[1] for row in earlier))
        return dict(
            _entry(request, answer, delta, digest), pixels=int(new.sum()),
            points=int(new.sum()) if request.kind in ('points', CLASS_POINTS) else 0, clicks=clicks,
            components=_new_regions(request, answer.key, new, covered | before), seconds=seconds,
            void=int((delta[new] == VOID).sum()), overlap=int((answered & covered & ~corrected).sum()),
            conflicts=int(conflicts.sum()), corrections=int(corrected.sum()),
            histogram=json.dumps({int(c): int(counts[c]) for c in np.flatnonzero(counts[:request.num_classes])}))

    def _difference_of_tags(self, request: Request, answer: Answer, empty: np.ndarray, digest: str,
                            earlier: list[Any]) -> dict[str, Any] | None:
        """The same for tags of the image."""
        said = None if answer.tags is None else frozenset(answer.tags)
        entries = self._tag_entries(answer.key, round=request.round)
        counts = new_counts(said, entries, answer.annotator)
        if counts is None and earlier:
            return None
        clicks, seconds = clicks_and_seconds(answer, entries, earlier)
        return dict(_entry(request, answer, empty, digest), clicks=clicks, seconds=seconds, tags=encode_tags(said),
                    **(counts or {}))

    def checkpoint(self) -> None:
        """Move everything into the main file, so that readers without locks see it."""
        self._db.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()


def _entry(request: Request, answer: Answer, delta: np.ndarray, digest: str) -> dict[str, Any]:
    """An entry that counts nothing yet."""
    return dict(
        created_at=_now(), request_id=request.request_id, round=request.round, key=answer.key, annotator=answer.annotator,
        tool=answer.tool, height=delta.shape[0], width=delta.shape[1], pixels=0, points=0, clicks=0, components=0, seconds=0.0,
        void=0, rejected=0, overlap=0, conflicts=0, corrections=0, histogram='{}', asked=request[answer.key].asked,
        answered_at=answer.answered_at, digest=digest, answer=_encode(delta))


def _new_regions(request: Request, key: str, new: np.ndarray, before: np.ndarray) -> int:
    """Regions of which something is answered now and nothing was before; a point is a region of its own."""
    if request.kind == 'points':
        return int(new.sum())
    region = request.regions(key)
    return int(np.setdiff1d(region[new], region[before]).size)


def _digest(answer: Answer, stored: np.ndarray) -> str:
    tags = [] if answer.tags is None else [sorted(answer.tags)]  # nothing where there are none: digests stay what they were
    about = json.dumps([answer.tool, int(answer.clicks), float(answer.seconds), stored.shape, *tags])
    return sha256(about.encode() + stored.tobytes()).hexdigest()


def _encode(answer: np.ndarray) -> bytes:
    done, buffer = cv2.imencode('.png', answer)
    if not done:
        raise LedgerError(f'cannot encode an answer of shape {answer.shape}, dtype {answer.dtype}')
    return buffer.tobytes()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec='milliseconds')
