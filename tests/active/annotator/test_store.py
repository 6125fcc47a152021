# SPDX-License-Identifier: Apache-2.0
"""The log of answers: append-only, once each, on disk before it is confirmed, never mixed with another request's."""
import os
import signal
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest

from udatools.active.annotator.store import AnswerStore, StoreError

WRITER = """
import sys
from udatools.active.annotator.events import Event
from udatools.active.annotator.store import AnswerStore
store = AnswerStore(sys.argv[1], 'r')
for i in range(100000):
    store.append([Event(f'event-{i:06d}', 'anna', 's', f'k{i % 3}', 'label', 1, i % 5)])
    print(i, flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'answers.sqlite'


def test_events_come_back_as_they_were(path, event):
    events = [event(), event('paint', key='k/ü', who='Änna', value=254, runs=[[3, 2], [9, 1]], seconds=1.25, clicks=2),
              event('skip'), event('undo', undoes='event-000000')]
    with AnswerStore(path, 'r') as store:
        stored = store.append(events)
        assert [e.number for e in stored] == [1, 2, 3, 4]
        for back in (stored, store.events()):
            for old, new in zip(events, back, strict=True):
                for name in ('event_id', 'who', 'session', 'key', 'kind', 'region', 'value', 'seconds', 'clicks', 'undoes'):
                    assert getattr(new, name) == getattr(old, name)
                assert new.time_ms > 1.5e12 and not new.duplicate
        assert store.events(key='k/ü')[0].runs.tolist() == [[3, 2], [9, 1]] and store.events()[0].runs is None
        assert [e.number for e in store.events(after=2)] == [3, 4] and len(store.events(who='Änna')) == 1
        assert store.keys() == ['a/1', 'k/ü'] and store.find('event-000001').who == 'Änna' and store.find('nothing') is None


def test_the_same_event_is_stored_once_and_keeps_its_first_content(path, event):
    first, told = event(value=1), []
    with AnswerStore(path, 'r') as store:
        store.append([first], stored=told.append)
        changed = event(event_id=first.event_id, value=2)
        (again, ) = store.append([changed], judge=lambda e: True, stored=told.append)
        assert (again.number, again.value, again.duplicate) == (1, 1, False)
        assert len(store.events()) == 1 and len(told) == 1


def test_nothing_can_be_changed_or_deleted(path, event):
    with AnswerStore(path, 'r') as store:
        store.append([event()])
    database = sqlite3.connect(path)
    for statement in ('DELETE FROM events', "UPDATE events SET who = 'x'"):
        with pytest.raises(sqlite3.IntegrityError, match='append-only'):
            database.execute(statement)
    database.close()


def test_a_batch_is_stored_whole_or_not_at_all(path, event):
    def judge(e):
        if e.value == 2:
            raise RuntimeError('stop')
        return False
    with AnswerStore(path, 'r') as store:
        with pytest.raises(RuntimeError, match='stop'):
            store.append([event(value=1), event(value=2)], judge)
        assert store.events() == []


def test_answers_to_another_request_are_not_touched(path, event):
    with AnswerStore(path, 'request-one') as store:
        store.append([event()])
    before = path.read_bytes()
    with pytest.raises(StoreError, match='holds answers to request request-one.*Move the file'):
        AnswerStore(path, 'request-two')
    assert path.read_bytes() == before
    with AnswerStore(path, read_only=True) as store:
        assert store.request_id == 'request-one' and len(store.events()) == 1


@pytest.mark.parametrize('damage', ['not a database', 'newer', 'a folder'])
def test_a_file_that_is_no_log_is_told_and_kept(path, damage):
    if damage == 'not a database':
        path.write_bytes(b'precious' * 1000)
    elif damage == 'newer':
        AnswerStore(path, 'r').close()
        database = sqlite3.connect(path)
        database.execute('PRAGMA user_version=99')
        database.close()
    else:
        path.mkdir()
    with pytest.raises(StoreError, match=r'answers\.sqlite'):
        AnswerStore(path, 'r')
    assert damage != 'not a database' or path.read_bytes() == b'precious' * 1000


def test_reading_makes_nothing(path):
    with pytest.raises(StoreError, match='nobody has answered'):
        AnswerStore(path, read_only=True)
    assert not path.exists()


def test_a_closed_log_is_one_file(path, event):
    store = AnswerStore(path, 'r')
    store.append([event()])
    store.close()
    copy = path.parent / 'copy.sqlite'
    copy.write_bytes(path.read_bytes())
    with AnswerStore(copy, read_only=True) as other:
        assert len(other.events()) == 1


def test_every_confirmed_answer_is_in_the_one_file(path, event):
    """Whoever sends the file back after a crash does not know of the log beside it."""
    with AnswerStore(path, 'r') as store:
        for count in (1, 2, 3):
            store.append([event()])
            copy = path.parent / f'copy_{count}.sqlite'
            copy.write_bytes(path.read_bytes())
            with AnswerStore(copy, read_only=True) as other:
                assert len(other.events()) == count


def test_threads_and_processes_share_it(path, event):
    stores = [AnswerStore(path, 'r'), AnswerStore(path, 'r')]
    batches = [[event(who=f'w{i}') for _ in range(5)] for i in range(4)]
    threads = [threading.Thread(target=lambda i=i: [stores[i % 2].append([e]) for e in batches[i]]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].events()) == 20 and np.all(np.diff([e.number for e in stores[1].events()]) == 1)
    for store in stores:
        store.close()


@pytest.mark.slow
def test_what_was_confirmed_survives_a_kill(path):
    writer = subprocess.Popen([sys.executable, '-c', WRITER, str(path)], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    confirmed = [int(writer.stdout.readline()) for _ in range(25)]
    writer.send_signal(signal.SIGKILL)
    confirmed += [int(line) for line in writer.stdout.read().split('\n')[:-1]]
    writer.wait()
    with AnswerStore(path, 'r') as store:
        stored = store.events()
        assert [e.event_id for e in stored[:len(confirmed)]] == [f'event-{i:06d}' for i in confirmed]
        assert len(stored) - len(confirmed) in (0, 1)  # one may have been stored and not yet confirmed
        assert [e.value for e in stored] == [i % 5 for i in range(len(stored))]
