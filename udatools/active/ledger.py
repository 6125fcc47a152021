# SPDX-License-Identifier: Apache-2.0
"""The label ledger: one SQLite file with every question and answer of a campaign, append-only.

Triggers refuse UPDATE and DELETE; a batch of answers is one transaction with full fsync, so a process killed at any
moment leaves either all of the batch or none. Importing the same answers again changes nothing. The budget is checked
inside the transaction: answers that would exceed it are refused as a whole.

Only one process writes. Others may open the file with ``read_only=True`` while nobody writes and after
:meth:`LabelLedger.checkpoint`; that needs no locks, so it works on network file systems.
"""
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from udatools.utils.atomic import write_png_atomic

from .request import NOT_ANSWERED, VOID, Answer, Request

_SCHEMA = """
CREATE TABLE IF NOT EXISTS campaign (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, unit TEXT, budget INTEGER, settings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (
    request_id TEXT PRIMARY KEY, created_at TEXT NOT NULL, round INTEGER NOT NULL, kind TEXT NOT NULL,
    asked INTEGER NOT NULL, images INTEGER NOT NULL, header TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, request_id TEXT NOT NULL REFERENCES requests(request_id),
    round INTEGER NOT NULL, key TEXT NOT NULL, annotator TEXT NOT NULL, tool TEXT NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL, pixels INTEGER NOT NULL, points INTEGER NOT NULL,
    clicks INTEGER NOT NULL, components INTEGER NOT NULL, seconds REAL NOT NULL, void INTEGER NOT NULL,
    rejected INTEGER NOT NULL, histogram TEXT NOT NULL, digest TEXT NOT NULL, answer BLOB NOT NULL,
    UNIQUE (request_id, key, annotator));
CREATE INDEX IF NOT EXISTS answers_of_key ON answers (key, round);
"""
_APPEND_ONLY = """
CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'the label ledger is append-only: {verb} of {table} is refused'); END;
"""
#: Units that :meth:`LabelLedger.spent` reports.
SPENT_COLUMNS = ('pixels', 'points', 'clicks', 'components', 'seconds', 'void')


class LedgerError(RuntimeError):
    """The ledger cannot do what was asked; nothing was stored."""


class BudgetExceeded(LedgerError):
    """The answers would cost more than the campaign's budget; nothing was stored."""


class RecordSummary(NamedTuple):
    """Outcome of :meth:`LabelLedger.record`.

    Attributes:
        recorded (int): images stored now.
        known (int): images that the ledger held already.
        rejected (int): answered pixels outside the request, left out.
    """
    recorded: int
    known: int
    rejected: int


def _encode(answer: np.ndarray) -> bytes:
    done, buffer = cv2.imencode('.png', answer)
    if not done:
        raise LedgerError(f'cannot encode an answer of shape {answer.shape}, dtype {answer.dtype}')
    return buffer.tobytes()


def _decode(blob: bytes) -> np.ndarray:
    answer = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_UNCHANGED)
    if answer is None:
        raise LedgerError('the ledger holds an answer that cannot be decoded: the file is damaged; restore a copy')
    return answer


def _before(round: int | None) -> tuple[str, tuple[int, ...]]:
    return ('', ()) if round is None else (' WHERE round < ?', (round, ))


class LabelLedger:
    """Record of a labelling campaign.

    Args:
        path (str | Path): the SQLite file; made if missing.
        read_only (bool): open for reading without locks (see the module).

    Raises:
        LedgerError: if the file is no ledger.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        if not read_only:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        mode = '?mode=ro&immutable=1' if read_only else ''
        try:
            self._db = sqlite3.connect(
                self.path.absolute().as_uri() + mode, uri=True, isolation_level=None, timeout=60)
            if not read_only:
                self._db.execute('PRAGMA journal_mode=WAL')
                self._db.execute('PRAGMA synchronous=FULL')
                self._db.execute('PRAGMA foreign_keys=ON')
                self._db.executescript(_SCHEMA + ''.join(
                    _APPEND_ONLY.format(table=table, verb=verb) for table in ('campaign', 'requests', 'answers')
                    for verb in ('UPDATE', 'DELETE')))
            else:
                self._db.execute('SELECT COUNT(*) FROM answers').fetchone()
        except sqlite3.Error as error:
            raise LedgerError(f'{self.path} cannot be opened as a label ledger ({error}); if it is damaged, restore '
                              'a copy; it is the only record of paid labels, so it is never replaced silently'
                              ) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> 'LabelLedger':
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute('BEGIN IMMEDIATE')
            try:
                yield
                self._db.execute('COMMIT')
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute('ROLLBACK')
                raise
        except sqlite3.OperationalError as error:
            raise LedgerError(f'cannot write {self.path}: {error}; nothing was stored. Check that the disk is '
                              'writable and not full, then run again: what is stored already is kept') from error

    # ---- writing ---------------------------------------------------------------------------------------------

    def open_campaign(self, settings: Mapping[str, Any], *, unit: str | None = None,
                      budget: int | None = None) -> None:
        """State the settings and the hard limit; the last statement holds, the same again adds nothing.

        Args:
            settings (Mapping): JSON-able description: classes, total pixels, ...
            unit (str | None): ``'pixels'`` or ``'points'``; None without a budget.
            budget (int | None): limit of all answers together, in units.

        Raises:
            LedgerError: if more than ``budget`` is spent already.
        """
        row = (unit, budget, json.dumps(settings, sort_keys=True))
        with self._transaction():
            last = self._db.execute('SELECT unit, budget, settings FROM campaign ORDER BY id DESC LIMIT 1').fetchone()
            if last == row:
                return
            if unit is not None and budget is not None and self.spent()[unit] > budget:
                raise BudgetExceeded(f'{self.path}: {self.spent()[unit]} {unit} are spent already, more than the '
                                     f'budget of {budget}; raise the budget')
            self._db.execute('INSERT INTO campaign (created_at, unit, budget, settings) VALUES (?, ?, ?, ?)',
                             (_now(), *row))

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

    def record(self, request: Request, answers: Iterable[Answer]) -> RecordSummary:
        """Store answers in one transaction: all of them or none.

        Pixels outside the request are left out and counted; an answer of the same annotator to the same image of the
        same request is stored once.

        Raises:
            BudgetExceeded: if the budget does not cover all of them.
            LedgerError: if an answer does not fit the request, or differs from the one stored for it.
        """
        prepared = [self._prepare(request, answer) for answer in answers]
        recorded = rejected = 0
        with self._transaction():
            for row in prepared:
                known = self._db.execute(
                    'SELECT digest FROM answers WHERE request_id = ? AND key = ? AND annotator = ?',
                    (row['request_id'], row['key'], row['annotator'])).fetchone()
                if known is not None:
                    if known[0] != row['digest']:
                        raise LedgerError(f'{row["annotator"]} answered {row["key"]!r} of request '
                                          f'{request.request_id[:12]} before, differently; the ledger keeps the first')
                    continue
                names = ', '.join(row)
                self._db.execute(f'INSERT INTO answers ({names}) VALUES ({", ".join("?" * len(row))})',
                                 tuple(row.values()))
                recorded, rejected = recorded + 1, rejected + row['rejected']
            self._check_budget()
        return RecordSummary(recorded, len(prepared) - recorded, rejected)

    def _check_budget(self) -> None:
        limit = self.budget()
        if limit is None:
            return
        unit, budget = limit
        spent = self.spent()[unit]
        if spent > budget:
            raise BudgetExceeded(f'the answers would bring the campaign to {spent} {unit}; its budget is {budget}. '
                                 'None of them was stored')

    def _prepare(self, request: Request, answer: Answer) -> dict[str, Any]:
        if answer.key not in request:
            raise LedgerError(f'{answer.annotator} answered {answer.key!r}, which request {request.request_id[:12]} '
                              'does not contain')
        item, given = request[answer.key], np.asarray(answer.answer)
        if given.dtype != np.uint8 or given.shape != (item.height, item.width):
            raise LedgerError(f'answer to {answer.key!r} is {given.dtype} {given.shape}; expected uint8 '
                              f'{(item.height, item.width)}, the native size of the image')
        asked = request.regions(answer.key) > 0
        rejected = int(((given != NOT_ANSWERED) & ~asked).sum())
        stored = np.where(asked, given, np.uint8(NOT_ANSWERED)).astype(np.uint8)
        counts = np.bincount(stored.ravel(), minlength=256)
        if counts[request.num_classes:VOID].any():
            raise LedgerError(f'answer to {answer.key!r} holds class '
                              f'{request.num_classes + int(np.flatnonzero(counts[request.num_classes:VOID])[0])}; '
                              f'expected 0..{request.num_classes - 1}, {VOID} (void) or {NOT_ANSWERED} (no answer)')
        histogram = {int(c): int(counts[c]) for c in np.flatnonzero(counts[:request.num_classes])}
        return dict(
            created_at=_now(), request_id=request.request_id, round=request.round, key=answer.key,
            annotator=answer.annotator, tool=answer.tool, height=item.height, width=item.width,
            pixels=int(counts[:NOT_ANSWERED].sum()), points=int(answer.points), clicks=int(answer.clicks),
            components=int(answer.components), seconds=float(answer.seconds), void=int(counts[VOID]),
            rejected=rejected, histogram=json.dumps(histogram, sort_keys=True),
            digest=sha256(stored.tobytes()).hexdigest(), answer=_encode(stored))

    def checkpoint(self) -> None:
        """Move everything into the main file, so that readers without locks see it."""
        self._db.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()

    # ---- reading ---------------------------------------------------------------------------------------------

    def budget(self) -> tuple[str, int] | None:
        """(unit, limit) of the campaign, None without one."""
        row = self._db.execute('SELECT unit, budget FROM campaign ORDER BY id DESC LIMIT 1').fetchone()
        return None if row is None or row[0] is None or row[1] is None else (row[0], row[1])

    def settings(self) -> dict[str, Any]:
        """Settings of the campaign as last stated, empty before."""
        row = self._db.execute('SELECT settings FROM campaign ORDER BY id DESC LIMIT 1').fetchone()
        return {} if row is None else json.loads(row[0])

    def request_of_round(self, round: int) -> str | None:
        """Id of the request of a round, None if none was asked."""
        row = self._db.execute('SELECT request_id FROM requests WHERE round = ?', (round, )).fetchone()
        return None if row is None else row[0]

    def rounds(self) -> list[int]:
        """Rounds that were asked, ascending."""
        return [row[0] for row in self._db.execute('SELECT DISTINCT round FROM requests ORDER BY round')]

    def answered_keys(self, request_id: str, annotator: str | None = None) -> set[str]:
        """Images of a request with an answer (of one annotator)."""
        rows = self._db.execute('SELECT key, annotator FROM answers WHERE request_id = ?', (request_id, ))
        return {key for key, who in rows if annotator is None or who == annotator}

    def spent(self, *, round: int | None = None, before_round: int | None = None) -> dict[str, Any]:
        """Totals of :data:`SPENT_COLUMNS` and ``images``, of all rounds, one round, or those before one."""
        where, values = _before(before_round) if round is None else (' WHERE round = ?', (round, ))
        columns = ', '.join(f'COALESCE(SUM({name}), 0)' for name in SPENT_COLUMNS)
        row = self._db.execute(f'SELECT {columns}, COUNT(DISTINCT key) FROM answers{where}', values).fetchone()
        return dict(zip((*SPENT_COLUMNS, 'images'), row))

    def class_histogram(self, round: int | None = None, *, before_round: int | None = None) -> dict[int, int]:
        """Answered pixels per train id (void left out), of one round, of those before one, or of all."""
        where, values = _before(before_round) if round is None else (' WHERE round = ?', (round, ))
        total: dict[int, int] = {}
        for (text, ) in self._db.execute(f'SELECT histogram FROM answers{where}', values):
            for class_id, count in json.loads(text).items():
                total[int(class_id)] = total.get(int(class_id), 0) + count
        return dict(sorted(total.items()))

    def label(self, key: str, *, before_round: int | None = None) -> np.ndarray | None:
        """All answers to one image: uint8, (H, W), train id, 254 = void, 255 = none; None if it has no answer.

        Where answers overlap the earliest round, then the first stored, holds.
        """
        where, values = _before(before_round)
        merged: np.ndarray | None = None
        for (blob, ) in self._db.execute(
                f'SELECT answer FROM answers{where}{" AND" if where else " WHERE"} key = ? ORDER BY round, id',
                (*values, key)):
            answer = _decode(blob)
            merged = answer if merged is None else np.where(merged == NOT_ANSWERED, answer, merged)
        return merged

    def answered_mask(self, key: str, *, before_round: int | None = None) -> np.ndarray | None:
        """Pixels answered already (void included): bool, (H, W); None if there is none."""
        label = self.label(key, before_round=before_round)
        return None if label is None else label != NOT_ANSWERED

    def export_labels(self, label_dir: str | Path, keys: Sequence[str] | None = None, *,
                      before_round: int | None = None) -> int:
        """Write the labels so far as ``<label_dir>/<key>.png``, void as 255, each atomically.

        Args:
            label_dir (str | Path): folder.
            keys (Sequence[str] | None): images to export, None = all with an answer.
            before_round (int | None): leave out the answers of this round and later ones: a round that is trained
                again sees what it saw. The file of an image without earlier answers is removed.

        Returns:
            int: number of files that changed; equal ones are left alone.
        """
        rows = self._db.execute('SELECT DISTINCT key FROM answers ORDER BY key').fetchall()
        wanted = None if keys is None else set(keys)
        changed = 0
        for (key, ) in rows:
            if wanted is not None and key not in wanted:
                continue
            label = self.label(key, before_round=before_round)
            path = Path(label_dir) / f'{key}.png'
            if label is None:
                changed += path.is_file()
                path.unlink(missing_ok=True)
                continue
            label = np.where(label == VOID, np.uint8(NOT_ANSWERED), label).astype(np.uint8)
            old = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.is_file() else None
            if old is None or old.dtype != np.uint8 or not np.array_equal(old, label):
                write_png_atomic(path, label)
                changed += 1
        return changed

    def content_digest(self, *, before_round: int | None = None) -> str:
        """sha256 over questions and answers without the times of writing and the order of storing.

        Two runs that asked and answered the same have the same digest.
        """
        digest = sha256()
        where, values = _before(before_round)
        for row in self._db.execute(f'SELECT round, request_id, kind, asked FROM requests{where} ORDER BY round',
                                    values):
            digest.update(json.dumps(row).encode())
        columns = ('request_id, key, annotator, tool, height, width, pixels, points, clicks, components, seconds, '
                   'void, rejected, digest')
        for row in self._db.execute(
                f'SELECT {columns} FROM answers{where} ORDER BY round, request_id, key, annotator', values):
            digest.update(json.dumps(row).encode())
        return digest.hexdigest()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec='milliseconds')
