# SPDX-License-Identifier: Apache-2.0
"""The ledger: append-only, idempotent, hard budgets, all or nothing, rebuilds labels."""
import multiprocessing
import sqlite3
import time

import cv2
import numpy as np
import pytest

from udatools.active import BudgetExceeded, LabelLedger, LedgerError, Limits

ALL = np.ones((4, 5), bool)


def mixed(seed=0, shape=(4, 5)):
    return np.random.default_rng(seed).choice([0, 1, 2, 254, 255], shape).astype(np.uint8)


@pytest.fixture
def ledger(tmp_path):
    with LabelLedger(tmp_path / 'ledger.sqlite') as opened:
        yield opened


def test_recorded_counts_are_those_of_the_answer(ledger, make_request, make_answer):
    request = make_request({'a': ALL, 'b': ALL})
    ledger.add_request(request)
    first, second = mixed(0), mixed(1)
    summary = ledger.record(request, [make_answer('a', first, clicks=3, seconds=1.5),
                                      make_answer('b', second, clicks=1, seconds=2.0)])
    assert (summary.recorded, summary.known, summary.rejected, summary.over_budget) == (2, 0, 0, 0)
    both = np.concatenate([first, second])
    assert ledger.spent() == dict(pixels=int((both != 255).sum()), points=0, clicks=4, components=2, seconds=3.5,
                                  void=int((both == 254).sum()), images=2)
    assert ledger.class_histogram() == {c: int((both == c).sum()) for c in range(3)}
    assert np.array_equal(ledger.label('a'), first)
    assert np.array_equal(ledger.answered_mask('a'), first != 255)
    assert ledger.label('c') is None and ledger.answered_mask('c') is None
    assert ledger.answered_keys(request.request_id) == {'a', 'b'} == ledger.answered_keys(request.request_id, 'anna')
    assert ledger.answered_keys(request.request_id, 'bob') == set()


def test_pixels_outside_the_request_are_left_out_and_counted(ledger, make_request, make_answer):
    request = make_request({'a': np.eye(4, dtype=bool)})
    ledger.add_request(request)
    assert ledger.record(request, [make_answer('a', np.ones((4, 4)))]).rejected == 12
    assert np.array_equal(ledger.label('a') == 1, np.eye(4, dtype=bool)) and ledger.spent()['pixels'] == 4


def test_importing_again_changes_nothing_and_a_batch_with_a_bad_answer_is_refused(ledger, make_request, make_answer):
    request = make_request({'a': ALL, 'b': ALL})
    ledger.add_request(request)
    ledger.add_request(request)
    ledger.record(request, [make_answer('a', mixed())])
    before = ledger.content_digest()
    summary = ledger.record(request, [make_answer('a', mixed())])
    assert (summary.recorded, summary.known) == (0, 1)
    assert ledger.content_digest() == before
    with pytest.raises(LedgerError, match='class 3'):
        ledger.record(request, [make_answer('b', mixed()), make_answer('a', np.full((4, 5), 3))])
    assert ledger.content_digest() == before  # 'b' of the refused batch is not there either


@pytest.mark.parametrize('answer, message', [
    (np.zeros((4, 4), np.uint8), 'native size'), (np.full((4, 5), 3, np.uint8), 'holds class 3')])
def test_answers_that_do_not_fit_are_refused(ledger, make_request, make_answer, answer, message):
    request = make_request({'a': ALL})
    ledger.add_request(request)
    with pytest.raises(LedgerError, match=message):
        ledger.record(request, [make_answer('a', answer)])
    with pytest.raises(LedgerError, match='does not contain'):
        ledger.record(request, [make_answer('z', mixed())])
    assert ledger.spent()['images'] == 0


def test_budget_is_hard_and_the_batch_is_one(ledger, make_request, make_answer):
    request = make_request({'a': ALL, 'b': ALL, 'c': ALL})
    ledger.open_campaign({}, unit='pixels', limits=Limits(45))
    ledger.add_request(request)
    full = np.ones((4, 5))
    full[0, 0] = 254  # void is billed too
    ledger.record(request, [make_answer('a', full)])
    before = ledger.content_digest()
    with pytest.raises(BudgetExceeded, match='60 pixels; its budget is 45'):
        ledger.record(request, [make_answer('b', full), make_answer('c', full)])
    assert ledger.content_digest() == before and ledger.spent()['pixels'] == 20
    ledger.record(request, [make_answer('b', full)])
    with pytest.raises(BudgetExceeded):
        ledger.open_campaign({}, unit='pixels', limits=Limits(39))
    ledger.open_campaign({}, unit='pixels', limits=Limits(60))
    ledger.record(request, [make_answer('c', full)])
    assert ledger.spent()['pixels'] == 60 == ledger.budget()[1]


def test_budget_in_points(ledger, make_request, make_answer):
    request = make_request({'a': ALL, 'b': ALL}, kind='points')
    ledger.open_campaign({}, unit='points', limits=Limits(20))
    ledger.add_request(request)
    ledger.record(request, [make_answer('a', np.zeros((4, 5)))])
    assert ledger.spent()['points'] == 20 == ledger.spent()['components']
    with pytest.raises(BudgetExceeded, match='points'):
        ledger.record(request, [make_answer('b', np.where(np.arange(20).reshape(4, 5) == 3, 1, 255))])


def test_campaign_settings_are_stated_once(ledger, tmp_path):
    for _ in range(3):
        ledger.open_campaign(dict(classes=['road']), unit='pixels', limits=Limits(7))
    assert ledger.settings() == dict(classes=['road']) and ledger.budget() == ('pixels', 7)
    rows = sqlite3.connect(tmp_path / 'ledger.sqlite').execute('SELECT COUNT(*) FROM campaign').fetchone()
    assert rows == (1, )


@pytest.mark.parametrize('table', ['campaign', 'requests', 'entries', 'closures'])
@pytest.mark.parametrize('verb', ['DELETE FROM {}', 'UPDATE {} SET created_at = 0'])
def test_nothing_can_be_changed_or_deleted(ledger, make_request, make_answer, tmp_path, table, verb):
    request = make_request({'a': ALL})
    ledger.open_campaign({})
    ledger.add_request(request)
    ledger.record(request, [make_answer('a', mixed())])
    ledger.close_round(request, 'anna', 'enough', asked=1, answered=0)
    other = sqlite3.connect(tmp_path / 'ledger.sqlite')
    with pytest.raises(sqlite3.IntegrityError, match='append-only'):
        other.execute(verb.format(table))
    assert other.execute(f'SELECT COUNT(*) FROM {table}').fetchone() == (1, )


def test_a_round_has_one_request(ledger, make_request):
    ledger.add_request(make_request({'a': ALL}))
    with pytest.raises(LedgerError, match='round 1 was asked'):
        ledger.add_request(make_request({'a': ~ALL}, name='other'))
    ledger.add_request(make_request({'a': ~ALL}, round=2))
    assert ledger.rounds() == [1, 2]


def test_labels_of_all_rounds_are_exported_and_equal_files_left_alone(ledger, make_request, make_answer, tmp_path):
    left, right = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    left[:, :2], right[:, 2:] = True, True
    for round, (masks, value) in enumerate([({'x/a': left, 'x/b': left}, 1), ({'x/a': right}, 2)], 1):
        request = make_request(masks, round=round)
        ledger.add_request(request)
        for key, mask in masks.items():
            answer = np.where(mask, value, 255)
            answer[1, 1 if round == 1 else 3] = 254
            ledger.record(request, [make_answer(key, answer)])
        changed = ledger.export_labels(tmp_path / 'labels')
        assert changed == {1: 2, 2: 1}[round]
    label = cv2.imread(str(tmp_path / 'labels' / 'x' / 'a.png'), cv2.IMREAD_UNCHANGED)
    assert label.dtype == np.uint8 and label.tolist() == [[1, 1, 2, 2], [1, 255, 2, 255]]
    assert ledger.export_labels(tmp_path / 'labels') == 0
    assert ledger.export_labels(tmp_path / 'some', keys=['x/b', 'x/none']) == 1
    (tmp_path / 'labels' / 'x' / 'a.png').write_bytes(b'damaged')
    assert ledger.export_labels(tmp_path / 'labels') == 1
    assert ledger.spent(before_round=2)['images'] == 2 and ledger.spent(round=2)['images'] == 1
    assert ledger.class_histogram(2) == {2: 3} and ledger.class_histogram(before_round=2) == {1: 6}
    assert ledger.class_histogram() == {1: 6, 2: 3}
    assert (ledger.answered_mask('x/a', before_round=2) == left).all() and ledger.answered_mask('x/a').all()


def test_where_people_overlap_the_first_holds(ledger, make_request, make_answer):
    request = make_request({'a': np.ones((1, 3), bool)})
    ledger.add_request(request)
    ledger.record(request, [make_answer('a', [[0, 255, 255]], 'zoe'), make_answer('a', [[1, 2, 255]], 'anna')])
    assert ledger.label('a').tolist() == [[0, 2, 255]]


def test_digest_follows_content_not_time_or_order(tmp_path, make_request, make_answer):
    request = make_request({'a': ALL, 'b': ALL})
    digests = []
    for name, order in (('one', 'ab'), ('two', 'ba'), ('three', 'a')):
        with LabelLedger(tmp_path / name) as ledger:
            ledger.add_request(request)
            for key in order:
                ledger.record(request, [make_answer(key, mixed())])
            digests.append(ledger.content_digest())
            assert ledger.content_digest(before_round=1) != digests[-1]
    assert digests[0] == digests[1] != digests[2]


def test_read_only_sees_what_was_checkpointed(ledger, make_request, make_answer, tmp_path):
    request = make_request({'a': ALL})
    ledger.add_request(request)
    ledger.record(request, [make_answer('a', mixed())])
    ledger.checkpoint()
    with LabelLedger(tmp_path / 'ledger.sqlite', read_only=True) as reader:
        assert np.array_equal(reader.label('a'), mixed())
        with pytest.raises(LedgerError, match='cannot write'):
            reader.add_request(make_request({'a': ALL}, round=2))


def test_a_file_that_is_no_ledger_is_left_alone(tmp_path):
    path = tmp_path / 'ledger.sqlite'
    path.write_bytes(b'not a database' * 100)
    with pytest.raises(LedgerError, match='cannot be opened'):
        LabelLedger(path)
    assert path.read_bytes() == b'not a database' * 100


def test_a_full_disk_loses_nothing_that_was_stored(ledger, make_request, make_answer):
    request = make_request({'a': ALL, 'b': np.ones((300, 300), bool)})
    ledger.add_request(request)
    ledger.record(request, [make_answer('a', mixed())])
    before = ledger.content_digest()
    pages, = ledger._db.execute('PRAGMA page_count').fetchone()
    ledger._db.execute(f'PRAGMA max_page_count = {pages}')
    noise = make_answer('b', mixed(3, (300, 300)))
    with pytest.raises(LedgerError, match='full.*nothing was stored.*run again'):
        ledger.record(request, [noise])
    assert ledger.content_digest() == before
    ledger._db.execute('PRAGMA max_page_count = 100000')
    assert ledger.record(request, [noise]).recorded == 1


def _record_all(path, request, answers):
    with LabelLedger(path) as ledger:
        ledger.add_request(request)
        for i in range(0, len(answers), 3):
            ledger.record(request, answers[i:i + 3])


def test_killed_at_random_moments_it_holds_whole_batches_and_ends_the_same(tmp_path, make_request, make_answer):
    """Two people, the second of whom answers more, and corrects some, in a second sheet."""
    masks = {f'k{i:02d}': np.ones((30, 40), bool) for i in range(24)}
    request = make_request(masks)
    answers = [make_answer(key, mixed(i, (30, 40)), who) for i, key in enumerate(masks) for who in ('anna', 'bob')]
    answers += [make_answer(key, mixed(99, (30, 40)), 'bob', seconds=2) for key in masks]
    order = [(answer.key, answer.annotator) for answer in answers]
    started = time.monotonic()
    _record_all(tmp_path / 'whole', request, answers)
    duration = time.monotonic() - started
    with LabelLedger(tmp_path / 'whole') as whole:
        expected, corrected = whole.content_digest(), sum(row['corrections'] for row in whole.rows())
    rng, unfinished, path = np.random.default_rng(0), 0, tmp_path / 'killed'
    context = multiprocessing.get_context('fork')
    for _ in range(12):
        process = context.Process(target=_record_all, args=(path, request, answers))
        process.start()
        process.join(rng.uniform(0, duration))
        unfinished += process.is_alive()
        process.kill()
        process.join()
        with LabelLedger(path) as ledger:
            stored = [(row['key'], row['annotator']) for row in ledger.rows()]
            assert len(stored) % 3 == 0 and stored == order[:len(stored)]
    _record_all(path, request, answers)
    with LabelLedger(path) as ledger:
        assert ledger.content_digest() == expected
    assert corrected > 0 and unfinished, 'no kill came in time: the timing of this test is wrong'
