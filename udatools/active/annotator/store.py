# SPDX-License-Identifier: Apache-2.0
"""``answers.sqlite`` of a request package: everything that people did on the annotator page, append-only.

An event is committed with full fsync before its sender is told, so an answer that the page shows as saved survives a kill
and a power cut. Triggers refuse to change or delete events. Several processes may write; nobody waits long. The table of
leases is the only one that changes: who has which task in front of them, and until when.
"""
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..request import Request
from .events import Event

FILENAME = 'answers.sqlite'
_VERSION = 1
_SCHEMA = (
    'CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID',
    'CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, '
    'time_ms INTEGER NOT NULL, who TEXT NOT NULL, session TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, '
    'region INTEGER NOT NULL, value INTEGER, runs BLOB, seconds REAL NOT NULL, clicks INTEGER NOT NULL, undoes TEXT, '
    'duplicate INTEGER NOT NULL)',
    'CREATE INDEX IF NOT EXISTS events_of_key ON events (key, who)',
    'CREATE TABLE IF NOT EXISTS leases (key TEXT NOT NULL, region INTEGER NOT NULL, who TEXT NOT NULL, '
    'until_ms INTEGER NOT NULL, PRIMARY KEY (key, region)) WITHOUT ROWID',
    "CREATE TRIGGER IF NOT EXISTS events_no_update BEFORE UPDATE ON events "
    "BEGIN SELECT RAISE(ABORT, 'the log of answers is append-only: UPDATE is refused'); END",
    "CREATE TRIGGER IF NOT EXISTS events_no_delete BEFORE DELETE ON events "
    "BEGIN SELECT RAISE(ABORT, 'the log of answers is append-only: DELETE is refused'); END",
)
_COLUMNS = 'event_id, who, session, key, kind, region, value, runs, seconds, clicks, undoes, number, time_ms, duplicate'


class StoreError(RuntimeError):
    """The log of answers cannot be used; nothing was stored or lost."""


def now_ms() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _event(row: tuple) -> Event:
    content = dict(zip(_COLUMNS.split(', '), row))
    if content['runs'] is not None:
        content['runs'] = np.frombuffer(content['runs'], '<u4').reshape(-1, 2).astype(np.uint32)
    return Event(**{**content, 'duplicate': bool(content['duplicate'])})


class AnswerStore:
    """The log of one request package.

    Args:
        path (str | Path): the SQLite file.
        request_id (str | None): the request that it must belong to, noted in a new file; None takes what is there.
            Not looked at when reading only.
        read_only (bool): open without making, migrating or locking anything.

    Raises:
        StoreError: if the file is no log of answers, or belongs to another request.
    """

    def __init__(self, path: str | Path, request_id: str | None = None, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        uri = self.path.absolute().as_uri()
        try:
            if read_only and not self.path.is_file():
                raise StoreError(f'{self.path} does not exist: nobody has answered on the annotator page yet')
            self._db = sqlite3.connect(uri + ('?mode=ro' if read_only else ''), uri=True, isolation_level=None, timeout=30,
                                       check_same_thread=False)
            if read_only:
                try:
                    self._db.execute('SELECT 1 FROM events LIMIT 1').fetchone()
                except sqlite3.OperationalError:
                    # A folder that cannot be written has no place for the lock file; without a writer none is needed.
                    self._db.close()
                    self._db = sqlite3.connect(uri + '?mode=ro&immutable=1', uri=True, isolation_level=None,
                                               check_same_thread=False)
                    self._db.execute('SELECT 1 FROM events LIMIT 1').fetchone()
            else:
                self._prepare(request_id)
            self.request_id = self._owner() or ''
        except sqlite3.Error as error:
            raise StoreError(f'{self.path} cannot be opened as the log of the annotator page ({error}); check that the folder '
                             'is writable. If the file is damaged restore a copy: it is the only record of these answers, so '
                             'it is never replaced') from error

    def _owner(self) -> str | None:
        """The request that the file belongs to, None in a new file."""
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            return None
        row = self._db.execute("SELECT value FROM meta WHERE name = 'request_id'").fetchone()
        return None if row is None else str(row[0])

    def _prepare(self, request_id: str | None) -> None:
        version, owner = self._db.execute('PRAGMA user_version').fetchone()[0], self._owner()
        if version > _VERSION:
            self._db.close()
            raise StoreError(f'{self.path} was written by a newer udatools (format {version}, this one knows {_VERSION}); '
                             'use that version')
        if None not in (owner, request_id) and owner != request_id:
            self._db.close()
            raise StoreError(f'{self.path} holds answers to request {str(owner)[:12]}, this package is request '
                             f'{str(request_id)[:12]}: it was written anew after people had answered. Move the file to another '
                             'folder, together with the package that it belongs to; nothing in it was changed')
        self._db.execute('PRAGMA journal_mode=WAL')
        self._db.execute('PRAGMA synchronous=FULL')
        # Every answer moves into the one file at once: people send it back, also after a crash, without the log beside it.
        self._db.execute('PRAGMA wal_autocheckpoint=1')
        with self.transaction():
            for statement in _SCHEMA:
                self._db.execute(statement)
            if request_id is not None:
                self._db.execute("INSERT OR IGNORE INTO meta VALUES ('request_id', ?)", (request_id, ))
            self._db.execute(f'PRAGMA user_version={_VERSION}')

    def close(self) -> None:
        """Move everything into the one file and close it."""
        with self._lock:
            try:
                self._db.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
            except sqlite3.Error:
                pass  # read only, or somebody is reading: the log next to the file is complete, too
            self._db.close()

    def __enter__(self) -> 'AnswerStore':
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, against threads and other processes.

        Raises:
            StoreError: if the disk does not take it.
        """
        with self._lock:
            try:
                self._db.execute('BEGIN IMMEDIATE')
                try:
                    yield self._db
                    self._db.execute('COMMIT')
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute('ROLLBACK')
                    raise
            except sqlite3.OperationalError as error:
                raise StoreError(f'cannot write {self.path}: {error}; nothing was stored. Check that the disk is writable and '
                                 'not full; the page keeps unsent answers and sends them again') from error

    def append(self, events: Sequence[Event], judge: Callable[[Event], bool] = lambda event: False,
               stored: Callable[[Event], None] = lambda event: None) -> list[Event]:
        """Store events in one transaction; one that is there already is not stored again.

        Args:
            events (Sequence[Event]): in the order in which they happened.
            judge (Callable): tells whether an event answers what somebody else has answered; asked inside the transaction.
            stored (Callable): told every event that is new, inside the transaction.

        Returns:
            list[Event]: as stored, in the order of ``events``.
        """
        result = []
        with self.transaction() as db:
            for event in events:
                known = db.execute(f'SELECT {_COLUMNS} FROM events WHERE event_id = ?', (event.event_id, )).fetchone()
                if known is None:
                    runs = None if event.runs is None else np.ascontiguousarray(event.runs, '<u4').tobytes()
                    row = (event.event_id, event.who, event.session, event.key, event.kind, event.region, event.value, runs,
                           event.seconds, event.clicks, event.undoes, now_ms(), int(judge(event)))
                    columns = _COLUMNS.replace('number, ', '')
                    number = db.execute(f'INSERT INTO events ({columns}) VALUES ({", ".join("?" * 13)})', row).lastrowid
                    known = (*row[:11], number, *row[11:])
                    stored(_event(known))
                result.append(_event(known))
        return result

    def events(self, *, after: int = 0, key: str | None = None, who: str | None = None) -> list[Event]:
        """Events in the order of the log.

        Args:
            after (int): those with a higher number.
            key (str | None): of one image.
            who (str | None): of one person.
        """
        where, values = 'number > ?', [after]  # type: tuple[str, list[object]]
        for name, value in (('key', key), ('who', who)):
            if value is not None:
                where, values = f'{where} AND {name} = ?', [*values, value]
        with self._lock:
            return [_event(row) for row in self._db.execute(f'SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY number',
                                                            values)]

    def find(self, event_id: str) -> Event | None:
        """The event of that id."""
        with self._lock:
            row = self._db.execute(f'SELECT {_COLUMNS} FROM events WHERE event_id = ?', (event_id, )).fetchone()
        return None if row is None else _event(row)

    def keys(self) -> list[str]:
        """Images with events, in the order of the first."""
        with self._lock:
            return [row[0] for row in self._db.execute('SELECT key FROM events GROUP BY key ORDER BY MIN(number)')]


def store_path(request: Request) -> Path:
    """Where the answers to a request package are kept."""
    return request.root / FILENAME
