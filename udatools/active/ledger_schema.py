# SPDX-License-Identifier: Apache-2.0
"""Tables of the label ledger, and how its file is opened.

``PRAGMA user_version`` is the version of the schema. Version 1 kept one answer of a person to an image in ``answers``;
version 2 adds to such a file the table ``entries``, where a person may add to an answer or correct it, and ``closures``;
version 3 adds to entries what was asked of the image and when it was answered, to the campaign limits of a single round;
version 4 adds tags of the image to entries.
What is stored is left as it is: all versions are read through the temporary views ``records`` and ``statements``.
"""
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA_VERSION = 4

_CAMPAIGN = """
CREATE TABLE IF NOT EXISTS campaign (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, unit TEXT, budget INTEGER, settings TEXT NOT NULL)"""
_REQUESTS = """
CREATE TABLE IF NOT EXISTS requests (
    request_id TEXT PRIMARY KEY, created_at TEXT NOT NULL, round INTEGER NOT NULL, kind TEXT NOT NULL,
    asked INTEGER NOT NULL, images INTEGER NOT NULL, header TEXT NOT NULL)"""
_ENTRIES = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, request_id TEXT NOT NULL REFERENCES requests(request_id),
    round INTEGER NOT NULL, key TEXT NOT NULL, annotator TEXT NOT NULL, tool TEXT NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL, pixels INTEGER NOT NULL, points INTEGER NOT NULL,
    clicks INTEGER NOT NULL, components INTEGER NOT NULL, seconds REAL NOT NULL, void INTEGER NOT NULL,
    rejected INTEGER NOT NULL, overlap INTEGER NOT NULL, conflicts INTEGER NOT NULL, corrections INTEGER NOT NULL,
    histogram TEXT NOT NULL, digest TEXT NOT NULL, answer BLOB NOT NULL)"""
_CLOSURES = """
CREATE TABLE IF NOT EXISTS closures (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, request_id TEXT NOT NULL REFERENCES requests(request_id),
    round INTEGER NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL, asked INTEGER NOT NULL, answered INTEGER NOT NULL,
    UNIQUE (request_id))"""
_APPEND_ONLY = """
CREATE TRIGGER IF NOT EXISTS {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'the label ledger is append-only: {verb} of {table} is refused'); END"""
# Columns that later versions add: their type, and their value in what was stored before.
_NEW_COLUMNS = {
    'campaign': {'image_budget': ('REAL', 'NULL'), 'policy': ("TEXT NOT NULL DEFAULT 'first'", "'first'"),
                 'round_budget': ('REAL', 'NULL'), 'image_round_budget': ('REAL', 'NULL')},
    'entries': {'asked': ('INTEGER', 'NULL'), 'answered_at': ("TEXT NOT NULL DEFAULT ''", "''"),
                'tags': ('TEXT', 'NULL')},
}
_SHARED = ('{id} AS id, created_at, request_id, round, key, annotator, tool, height, width, pixels, points, clicks, components, '
           'seconds, void, rejected, {extra}, histogram, digest, answer')


class LedgerError(RuntimeError):
    """The ledger cannot do what was asked; nothing was stored."""


class BudgetExceeded(LedgerError):
    """The answers would cost more than the campaign's budget; nothing was stored."""


class RoundClosed(LedgerError):
    """The round takes no answers any more; nothing was stored."""


def open_database(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open a ledger, made or brought to :data:`SCHEMA_VERSION` unless it is only read.

    Raises:
        LedgerError: if the file is no ledger, damaged, or written by a later version.
    """
    if not read_only:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        db = sqlite3.connect(path.absolute().as_uri() + (_reading_mode(path) if read_only else ''), uri=True,
                             isolation_level=None, timeout=60)
        try:
            _prepare(db, read_only)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise LedgerError(f'{path} cannot be opened as a label ledger ({error}); if it is damaged, restore a copy; it is '
                          'the only record of paid labels, so it is never replaced silently') from error
    return db


def _reading_mode(path: Path) -> str:
    """Without locks, unless answers of a stopped writer still wait in the file beside it."""
    log = path.with_name(path.name + '-wal')
    return '?mode=ro' if log.is_file() and log.stat().st_size else '?mode=ro&immutable=1'


def _prepare(db: sqlite3.Connection, read_only: bool) -> None:
    version = db.execute('PRAGMA user_version').fetchone()[0]
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f'it has schema version {version}, this udatools knows up to {SCHEMA_VERSION}: '
                                    'upgrade udatools')
    if not read_only:
        db.execute('PRAGMA journal_mode=WAL')
        db.execute('PRAGMA synchronous=FULL')
        db.execute('PRAGMA foreign_keys=ON')
        if version < SCHEMA_VERSION:
            with transaction(db):
                _upgrade(db)
    tables = _tables(db)
    if not {'campaign', 'requests'} <= tables or not {'answers', 'entries'} & tables:
        raise sqlite3.DatabaseError('it has no table of requests and answers')
    parts, first = [], 0
    if 'answers' in tables:  # of version 1; nothing is added to it any more
        extra = "0 AS overlap, 0 AS conflicts, 0 AS corrections, NULL AS asked, '' AS answered_at, NULL AS tags"
        parts.append(f'SELECT {_SHARED.format(id="id", extra=extra)} FROM answers')
        first = db.execute('SELECT COALESCE(MAX(id), 0) FROM answers').fetchone()[0]
    if 'entries' in tables:
        extra = 'overlap, conflicts, corrections, asked, answered_at, tags'
        parts.append(f'SELECT {_SHARED.format(id=f"id + {first}", extra=extra)} FROM ({_complete(db, "entries")})')
    db.execute(f'CREATE TEMP VIEW records AS {" UNION ALL ".join(parts)}')
    if 'closures' not in tables:  # version 1, only read
        db.execute("CREATE TEMP VIEW closures AS SELECT 0 id, '' created_at, '' request_id, 0 round, '' who, '' reason, "
                   '0 asked, 0 answered WHERE 0')
    db.execute(f'CREATE TEMP VIEW statements AS {_complete(db, "campaign")}')


def _tables(db: sqlite3.Connection) -> set[str]:
    return {name for (name, ) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in db.execute(f'PRAGMA table_info({table})')}


def _complete(db: sqlite3.Connection, table: str) -> str:
    """A table with the columns that its version does not have yet."""
    missing = (f', {before} AS {column}' for column, (_, before) in _NEW_COLUMNS[table].items()
               if column not in _columns(db, table))
    return f'SELECT *{"".join(missing)} FROM {table}'


def _upgrade(db: sqlite3.Connection) -> None:
    tables = _tables(db)
    if tables and not {'campaign', 'requests'} <= tables:
        raise sqlite3.DatabaseError(f'it holds tables of something else: {", ".join(sorted(tables))}')
    for statement in (_CAMPAIGN, _REQUESTS, _ENTRIES, _CLOSURES,
                      'CREATE INDEX IF NOT EXISTS entries_of_key ON entries (key, round)'):
        db.execute(statement)
    for table, columns in _NEW_COLUMNS.items():
        there = _columns(db, table)
        for column, (kind, _) in columns.items():
            if column not in there:
                db.execute(f'ALTER TABLE {table} ADD COLUMN {column} {kind}')
    for table in ('campaign', 'requests', 'entries', 'closures'):
        for verb in ('UPDATE', 'DELETE'):
            db.execute(_APPEND_ONLY.format(table=table, verb=verb))
    db.execute(f'PRAGMA user_version = {SCHEMA_VERSION}')


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing of it; other writers wait."""
    db.execute('BEGIN IMMEDIATE')
    try:
        yield
        db.execute('COMMIT')
    except BaseException:
        if db.in_transaction:
            db.execute('ROLLBACK')
        raise
