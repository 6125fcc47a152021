# SPDX-License-Identifier: Apache-2.0
"""Ledgers of earlier and later versions, and files that are none."""
import sqlite3
from hashlib import sha256

import cv2
import numpy as np
import pytest

from udatools.active import LabelLedger, LedgerError, Limits
from udatools.active.ledger_schema import SCHEMA_VERSION

VERSION_1 = """
CREATE TABLE campaign (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, unit TEXT, budget INTEGER, settings TEXT NOT NULL);
CREATE TABLE requests (
    request_id TEXT PRIMARY KEY, created_at TEXT NOT NULL, round INTEGER NOT NULL, kind TEXT NOT NULL,
    asked INTEGER NOT NULL, images INTEGER NOT NULL, header TEXT NOT NULL);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, created_at TEXT NOT NULL, request_id TEXT NOT NULL REFERENCES requests(request_id),
    round INTEGER NOT NULL, key TEXT NOT NULL, annotator TEXT NOT NULL, tool TEXT NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL, pixels INTEGER NOT NULL, points INTEGER NOT NULL,
    clicks INTEGER NOT NULL, components INTEGER NOT NULL, seconds REAL NOT NULL, void INTEGER NOT NULL,
    rejected INTEGER NOT NULL, histogram TEXT NOT NULL, digest TEXT NOT NULL, answer BLOB NOT NULL,
    UNIQUE (request_id, key, annotator));
CREATE TRIGGER answers_no_UPDATE BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""
ROW = np.ones((1, 4), bool)


def tables_of(path):
    with sqlite3.connect(path) as db:
        return {name: db.execute(f'SELECT * FROM {name}').fetchall()
                for (name, ) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}


@pytest.fixture
def version_1(tmp_path, make_request):
    """A ledger as version 1 wrote it, with one answer in round 1; and the request."""
    path, request = tmp_path / 'ledger.sqlite', make_request({'a': ROW, 'b': ROW})
    answer = np.array([[0, 1, 254, 255]], np.uint8)
    with sqlite3.connect(path) as db:
        db.executescript(VERSION_1)
        db.execute("INSERT INTO campaign VALUES (1, '2024', 'pixels', 9, '{}')")
        db.execute("INSERT INTO requests VALUES (?, '2024', 1, 'segments', 8, 2, '{}')", (request.request_id, ))
        db.execute("INSERT INTO answers VALUES (7, '2024', ?, 1, 'a', 'oracle', 'Oracle', 1, 4, 3, 0, 2, 1, 4.5, 1, 0, "
                   "'{\"0\": 1, \"1\": 1}', ?, ?)",
                   (request.request_id, sha256(answer.tobytes()).hexdigest(), cv2.imencode('.png', answer)[1].tobytes()))
    db.close()
    return path, request


def check_reading(ledger, request):
    assert ledger.budget() == ('pixels', 9) and ledger.limits().of_image is None and ledger.policy() == 'first'
    assert ledger.label('a').tolist() == [[0, 1, 254, 255]] and ledger.closures() == []
    assert ledger.spent() == dict(pixels=3, points=0, clicks=2, components=1, seconds=4.5, void=1, images=1)
    assert ledger.coverage() == {0: dict(pixels=1, images=1), 1: dict(pixels=1, images=1), 254: dict(pixels=1, images=1)}
    assert ledger.answered_keys(request.request_id, 'oracle') == {'a'}
    return ledger.content_digest()


def test_an_old_ledger_is_extended_and_what_it_holds_is_untouched(version_1, make_answer):
    path, request = version_1
    before = tables_of(path)
    with LabelLedger(path, read_only=True) as ledger:
        digest = check_reading(ledger, request)
    assert tables_of(path) == before  # reading changes nothing
    for _ in range(2):
        with LabelLedger(path) as ledger:
            assert check_reading(ledger, request) == digest  # a round that was selected from it stays the same round
            assert ledger.record(request, [make_answer('a', [[0, 1, 254, 255]], 'oracle')]).known == 1
            assert ledger.content_digest() == digest
    after = tables_of(path)
    assert after['answers'] == before['answers'] and after['requests'] == before['requests']
    assert after['campaign'] == [(*row, None, 'first', None, None) for row in before['campaign']]
    assert after['entries'] == after['closures'] == []


def test_a_ledger_of_version_2_is_read_as_it_is_and_gets_its_new_columns(tmp_path, make_request, make_answer):
    path, request = tmp_path / 'ledger.sqlite', make_request({'a': ROW, 'b': ROW})
    with LabelLedger(path) as ledger:
        ledger.open_campaign({}, unit='pixels', limits=Limits(9, of_image=4))
        ledger.add_request(request)
        ledger.record(request, [make_answer('a', [[0, 1, 254, 255]])])
        digest = ledger.content_digest()
    with sqlite3.connect(path) as db:
        db.executescript('ALTER TABLE entries DROP COLUMN asked; ALTER TABLE entries DROP COLUMN answered_at; '
                         'ALTER TABLE entries DROP COLUMN tags; '
                         'ALTER TABLE campaign DROP COLUMN round_budget; ALTER TABLE campaign DROP COLUMN image_round_budget; '
                         'PRAGMA user_version = 2')
    db.close()
    for read_only in (True, False):
        with LabelLedger(path, read_only=read_only) as ledger:
            assert ledger.limits() == Limits(9, of_image=4) and ledger.content_digest() == digest
            row, = ledger.rows()
            assert (row['asked'], row['answered_at'], row['pixels']) == (None, '', 3)
    with LabelLedger(path) as ledger:
        ledger.record(request, [make_answer('b', [[0, 255, 255, 255]], answered_at='2026-01-02T03:04:05+00:00')])
        row = list(ledger.rows())[1]
        assert (row['asked'], row['answered_at']) == (4, '2026-01-02T03:04:05+00:00')
        ledger.export_csv(tmp_path / 'rows.csv')
        head, _, last = (tmp_path / 'rows.csv').read_text().splitlines()
        assert head.endswith(',asked_pixels,answered_at,tags') and last.endswith(',4,2026-01-02T03:04:05+00:00,')


def test_answers_go_on_in_an_old_ledger(version_1, make_answer):
    path, request = version_1
    with LabelLedger(path) as ledger:
        ledger.record(request, [make_answer('a', [[2, 255, 255, 2]], 'anna'), make_answer('a', [[1, 255, 255, 255]], 'oracle')])
        assert [(row['id'], row['annotator']) for row in ledger.rows()] == [(7, 'oracle'), (8, 'anna'), (9, 'oracle')]
        assert ledger.label('a').tolist() == [[1, 1, 254, 2]]  # the oracle was first, and corrected itself
        assert ledger.spent()['pixels'] == 4 and [row['conflicts'] for row in ledger.rows()] == [0, 1, 1]
    with sqlite3.connect(path) as db, pytest.raises(sqlite3.IntegrityError, match='append-only'):
        db.execute('DELETE FROM entries')
    db.close()


def test_a_new_ledger_says_its_version_and_a_later_one_is_left_alone(tmp_path):
    path = tmp_path / 'ledger.sqlite'
    LabelLedger(path).close()
    with sqlite3.connect(path) as db:
        assert db.execute('PRAGMA user_version').fetchone() == (SCHEMA_VERSION, )
        db.execute(f'PRAGMA user_version = {SCHEMA_VERSION + 1}')
    db.close()
    for read_only in (True, False):
        with pytest.raises(LedgerError, match='upgrade udatools'):
            LabelLedger(path, read_only=read_only)


def test_a_database_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / 'answers.sqlite'
    with sqlite3.connect(path) as db:
        db.execute('CREATE TABLE events (id INTEGER)')
    db.close()
    before = tables_of(path)
    for read_only in (True, False):
        with pytest.raises(LedgerError, match='cannot be opened as a label ledger'):
            LabelLedger(path, read_only=read_only)
    assert tables_of(path) == before


def test_answers_that_a_killed_writer_left_in_the_log_are_read(tmp_path, make_request, make_answer):
    path, request = tmp_path / 'ledger.sqlite', make_request({'a': ROW})
    with LabelLedger(path) as writer:
        writer.add_request(request)
        writer.record(request, [make_answer('a', [[0, 1, 254, 255]])])
        assert path.with_name('ledger.sqlite-wal').stat().st_size > 0
        with LabelLedger(path, read_only=True) as reader:
            assert reader.spent()['pixels'] == 3
