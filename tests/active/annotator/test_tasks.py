# SPDX-License-Identifier: Apache-2.0
"""Tasks: nobody is asked twice, nothing is forgotten, and the board is what the log says."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active.annotator import store, tasks
from udatools.active.annotator.events import EventError
from udatools.active.annotator.tasks import TaskBoard
from udatools.active.codecs import CODECS


@pytest.fixture
def clock(monkeypatch):
    """The board's time, in milliseconds: a list whose entry can be set."""
    now = [10**12]
    monkeypatch.setattr(tasks, 'now_ms', lambda: now[0])
    monkeypatch.setattr(store, 'now_ms', lambda: now[0])
    return now


def test_two_people_get_different_images(make_board):
    board = make_board()
    assert board.grant('anna') == ('a/1', [1, 2, 3])
    assert board.grant('ben')[0] == 'a/2'
    assert board.grant('anna')[0] == 'a/1'  # after a reload or in a second tab she has the same one
    assert board.grant('carl') is None
    assert [row['who'] for row in board.waiting('carl')] == ['anna', 'ben']
    assert board.grant('carl', key='a/1') == ('a/1', [])  # to look at, not to do


def test_looking_ahead_leases_nothing(make_board, event):
    board = make_board()
    assert board.upcoming('anna') == 'a/1' == board.upcoming('ben')
    board.grant('anna')
    assert board.upcoming('anna', exclude=['a/1']) == 'a/2' == board.grant('ben')[0]
    assert board.upcoming('anna', exclude=['a/1']) is None and [row['who'] for row in board.waiting('carl')] == ['anna', 'ben']


def test_a_lease_runs_out_unless_there_is_a_sign_of_life(make_board, event, clock):
    board = make_board(lease_seconds=600)
    board.grant('anna')
    board.grant('ben')
    clock[0] += 599_000
    board.append(event())  # anna answers
    board.renew('ben', ['a/1'])  # which is not his
    clock[0] += 2_000
    assert board.grant('carl')[0] == 'a/2'
    clock[0] += 599_000
    assert board.grant('dora')[0] == 'a/1'
    board.release('carl', 'a/1')
    board.release('carl', 'a/2')
    assert board.grant('emil')[0] == 'a/2'


def test_people_share_the_points_of_an_image_only_when_there_is_no_other(make_board, make_package, monkeypatch):
    monkeypatch.setattr(tasks, 'POINTS_AT_ONCE', 2)
    board = make_board(make_package({'a': [[1, 1, 1, 1, 1]], 'b': [[1, 1, 1]]}, 'points'))
    assert board.grant('anna') == ('a', [1, 2]) and board.grant('ben') == ('b', [1, 2])
    assert board.grant('carl') == ('a', [3, 4]) and board.grant('dora') == ('a', [5])
    assert board.grant('emil') == ('b', [3]) and board.grant('fay') is None


def test_answered_is_done_and_skipped_comes_last(make_board, make_package, event):
    board = make_board(make_package({'a': [[1, 1, 1]], 'b': [[1]]}, 'points'))
    board.append(event('skip', key='a', region=1))
    board.append(event(key='a', region=2))
    assert board.grant('anna') == ('a', [3])
    board.append(event(key='a', region=3))
    assert board.grant('anna') == ('b', [1])
    board.append(event(key='b', region=1))
    assert board.grant('anna') == ('a', [1])
    assert board.progress('anna')['regions'] == dict(done=3, asked=4)
    board.append(event('void', key='a', region=1))
    assert board.grant('anna') is None


def test_what_one_skips_another_gets_first(make_board, make_package, event):
    board = make_board(make_package({'a': [[1]], 'b': [[1]]}, 'points'))
    skip = board.append(event('skip', key='a', region=1))
    assert board.grant('anna')[0] == 'b' and board.grant('ben')[0] == 'a'
    board.release('ben', 'a')
    board.release('anna', 'b')
    board.append(event('undo', key='a', undoes=skip.event_id))
    assert board.grant('anna')[0] == 'a'


def test_an_undone_point_is_asked_first(make_board, make_package):
    board = make_board(make_package({'a': [[1, 1, 1]]}, 'points'))
    assert board.grant('anna', key='a', region=3) == ('a', [3, 1, 2])


def test_an_image_that_was_left_comes_back_at_the_end(make_board, event):
    board = make_board()
    board.append(event('skip', key='a/1'))
    assert board.grant('anna')[0] == 'a/2'
    for region in (1, 2, 3):
        board.append(event(key='a/2', region=region))
    assert board.grant('anna')[0] == 'a/1'


def test_a_second_answer_is_kept_and_marked(make_board, event):
    board = make_board()
    assert not board.append(event(region=1, value=0)).duplicate
    late = board.append(event(who='ben', region=1, value=2))
    assert late.duplicate and board.store.events(who='ben')[0].value == 2
    assert not board.append(event(who='anna', region=1, value=1)).duplicate  # a correction of her own
    # A stroke over an answered and an open region is no duplicate.
    assert not board.append(event('paint', who='ben', value=2, runs=[[0, 1], [5, 1]])).duplicate
    assert board.others('a/1', 'ben').tolist() == [1, 1, 255, 1, 1, 255, 255, 255, 255, 255]
    assert board.progress('ben')['pixels'] == dict(done=5, asked=20)


def test_blind_people_answer_everything(make_board, event):
    board = make_board(blind=True)
    for region in (1, 2, 3):
        board.append(event(region=region))
    assert board.grant('anna')[0] == 'a/2' and board.grant('ben')[0] == 'a/1'
    assert not board.append(event(who='ben', region=1)).duplicate
    assert board.others('a/1', 'ben') is None
    assert board.progress('anna')['regions']['done'] == 3 and board.progress('ben')['regions']['done'] == 1


def test_only_ones_own_events_can_be_taken_back(make_board, event):
    board = make_board()
    first = board.append(event())
    undo = event('undo', undoes=first.event_id)
    for wrong in (event('undo', who='ben', undoes=first.event_id), event('undo', key='a/2', undoes=first.event_id),
                  event('undo', undoes='nothing-there')):
        with pytest.raises(EventError, match='nothing to take back'):
            board.append(wrong)
    board.append(undo)
    with pytest.raises(EventError, match='nothing to take back'):
        board.append(event('undo', undoes=undo.event_id))
    assert board.append(undo).number == 2  # sent again after a lost reply
    assert board.progress('anna')['regions']['done'] == 0


def test_orders(make_board, make_package):
    mask = [[1, 0, 2, 2, 0, 3, 3, 3]]
    assert make_board(make_package({'a': mask}, name='x'), order='largest').grant('anna')[1] == [3, 2, 1]
    many = make_package({f'{i:02d}': [[1]] for i in range(30)}, name='y')
    shuffled = [item.key for item in make_board(many, order='shuffled')._asked]
    assert shuffled != sorted(shuffled) and sorted(shuffled) == [f'{i:02d}' for i in range(30)]
    with pytest.raises(ValueError, match="order is 'best'"):
        make_board(many, order='best')


def test_speed_and_time_left(make_board, event, clock):
    board = make_board()
    assert board.progress('anna')['speed'] is None and board.progress('anna')['seconds_left'] is None
    for region, seconds in ((1, 4), (2, 8)):
        board.append(event(region=region, seconds=seconds))
    progress = board.progress('anna')
    assert progress['speed'] == pytest.approx(2 / 12 * 60) and progress['seconds_left'] == pytest.approx(4 * 6)
    board.append(event(who='ben', key='a/2', region=1, seconds=6))
    together = board.progress('ben')
    assert together['people'] == 2 and together['seconds_left'] == pytest.approx(3 / (2 / 12 + 1 / 6))
    clock[0] += 6 * 60_000
    assert board.progress('anna')['speed'] is None


def paid(unit, planned, **fields):
    return {**dict(unit=unit, per='set', limit=10 * planned, asked=20, planned=planned, spent=0, left=9 * planned), **fields}


def test_nothing_is_handed_out_once_the_clicks_are_used_up(make_board, make_package, event):
    board = make_board(make_package(budget=paid('clicks', 4)), blind=True)
    assert board.progress('anna')['budget'] == dict(unit='clicks', limit=4, spent=0, left=4, reserve=1)
    for region in (1, 2):
        board.append(event(region=region, clicks=1))
    board.append(event(who='ben', region=1, clicks=1))
    assert board.grant('anna') == ('a/1', [3])
    last = board.append(event(who='ben', region=2, clicks=1))
    assert board.progress('anna')['budget'] == dict(unit='clicks', limit=4, spent=4, left=0, reserve=1)
    assert board.grant('anna') is None and board.upcoming('ben') is None
    assert board.grant('ben', key='a/1') == ('a/1', [3])  # to correct something
    for _ in range(2):
        board.append(event('undo', who='ben', undoes=last.event_id))
        assert board.progress('anna')['budget']['spent'] == 3 and board.grant('anna') == ('a/1', [3])
    assert len(board.store.events()) == 6


def test_seconds_end_before_one_more_answer_may_not_fit(make_board, make_package, event):
    board = make_board(make_package(budget=paid('seconds', 20.0)))
    board.append(event(region=1, seconds=4))
    board.append(event('skip', who='ben', key='a/2', seconds=5))  # answered nothing, is not paid
    assert board.progress('anna')['budget'] == dict(unit='seconds', limit=20, spent=4, left=16, reserve=5)
    board.append(event(region=2, seconds=9))
    assert board.progress('anna')['budget']['left'] == 7 and board.grant('anna') is None
    undone = board.append(event(region=3, seconds=1))
    board.append(event('undo', undoes=undone.event_id))
    assert board.progress('anna')['budget']['spent'] == 14  # the time was needed all the same


@pytest.mark.parametrize('budget', [None, paid('points', 4), paid('pixels', 4), paid('clicks', 4, limit=None),
                                    dict(unit='clicks', limit=4, asked=4, spent=0, left=0)])
def test_other_budgets_cannot_be_exceeded_here(make_board, make_package, budget):
    request = make_package(budget=budget)
    assert make_board(request).progress('anna')['budget'] is None
    if budget is None or budget['unit'] != 'clicks' or budget['limit'] is None:
        with pytest.raises(ValueError, match='budget in clicks or seconds'):
            make_board(request, budget=3)


def test_another_limit_can_be_given(make_board, make_package):
    request = make_package(budget=paid('clicks', 4))
    assert make_board(request, budget=50).progress('anna')['budget']['limit'] == 50
    with pytest.raises(ValueError, match='the budget given is 0'):
        make_board(request, budget=0)


@pytest.mark.parametrize('unit', ['clicks', 'seconds'])
def test_what_is_spent_is_what_the_import_counts(make_board, make_package, event, unit):
    board = make_board(make_package(budget=paid(unit, 100)))
    events = [event(region=1, seconds=2.5, clicks=1), event('split', runs=[5, 1], seconds=3, clicks=1), event('skip', seconds=7),
              event(region=1, value=2, seconds=1.25, clicks=1), event(region=2, seconds=80, clicks=1),
              event('paint', value=1, runs=[18, 2], seconds=1, clicks=3), event('skip', who='ben', seconds=9),
              event('split', who='ben', runs=[5, 1], seconds=3, clicks=1),
              event(who='carl', key='a/2', region=3, seconds=2, clicks=1)]
    events += [event('undo', undoes=events[4].event_id, seconds=2), event('undo', undoes=events[2].event_id, seconds=1)]
    for entry in events:
        board.append(entry)
    submission = CODECS['page'].read(board.store.path, board.request)
    expected = sum(getattr(answer, unit) for answer in submission.answers)
    assert board.progress('anna')['budget']['spent'] == pytest.approx(expected) and expected > 5
    assert TaskBoard(board.images, board.store).progress('anna')['budget'] == board.progress('anna')['budget']


STEPS = st.lists(st.tuples(st.sampled_from(['anna', 'ben']), st.sampled_from(['a/1', 'a/2']),
                           st.sampled_from(['label', 'void', 'paint', 'skip', 'undo']), st.integers(0, 30)), max_size=25)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_the_board_is_what_the_log_says(tmp_path_factory, steps):
    """Followed event by event, by two boards in turn, it is the same as a new board that reads everything."""
    from udatools.active.annotator.events import Event
    from udatools.active.annotator.images import PackageImages
    from udatools.active.annotator.store import AnswerStore
    masks = {'a/1': np.array([[1, 1, 2], [0, 3, 3]], np.uint16), 'a/2': np.array([[1], [2]], np.uint16)}
    images = PackageImages(_fake_request(masks), tmp_path_factory.getbasetemp())
    path = tmp_path_factory.mktemp('log') / 'answers.sqlite'
    stores = [AnswerStore(path, 'r'), AnswerStore(path, 'r')]
    boards, sent, labels = [TaskBoard(images, store) for store in stores], [], {}
    for i, (who, key, kind, number) in enumerate(steps):
        fields = dict(region=1 + number % int(masks[key].max()), value=number % 3)
        if kind == 'void':
            fields['value'] = 254
        elif kind == 'paint':
            flat = int(np.flatnonzero(masks[key])[number % np.count_nonzero(masks[key])])
            fields = dict(runs=np.array([[flat, 1]], np.uint32), value=[0, 255][number % 2])
        elif kind == 'undo':
            mine = [e for e in sent if (e.who, e.key) == (who, key) and e.kind != 'undo']
            if not mine:
                continue
            fields = dict(undoes=mine[number % len(mine)].event_id)
        sent.append(boards[i % 2].append(Event(f'event-{i:03d}', who, 's', key, kind, **fields)))
    for who in ('anna', 'ben'):
        for key, mask in masks.items():
            labels[who, key] = _slow_labels([e for e in sent if (e.who, e.key) == (who, key)], mask)
    new = TaskBoard(images, stores[0])
    for board in (*boards, new):
        done = pixels = 0
        for key, mask in masks.items():
            answered = (labels['anna', key] != 255) | (labels['ben', key] != 255)
            pixels += int(answered.sum())
            done += sum(bool(answered[mask == region].all()) for region in range(1, mask.max() + 1))
        progress = board.progress('anna')
        assert progress['regions'] == dict(done=done, asked=5) and progress['pixels'] == dict(done=pixels, asked=7)
        for key, mask in masks.items():
            others, expected = board.others(key, 'anna'), labels['ben', key][mask > 0]
            assert (others is None and (expected == 255).all()) or others.tolist() == expected.tolist()
    for store_ in stores:
        store_.close()


def _slow_labels(events, mask):
    label = np.full(mask.shape, 255)
    undone = {e.undoes for e in events if e.kind == 'undo'}
    for e in events:
        if e.event_id in undone or e.kind in ('undo', 'skip'):
            continue
        if e.runs is None:
            label[mask == e.region] = e.value
        else:
            label.ravel()[int(e.runs[0, 0])] = e.value
    return label


def _fake_request(masks):
    from types import SimpleNamespace
    items = [SimpleNamespace(key=key, asked=int((mask > 0).sum()), components=int(mask.max())) for key, mask in masks.items()]
    return SimpleNamespace(items=items, kind='segments', request_id='r', header={}, regions=masks.__getitem__)
