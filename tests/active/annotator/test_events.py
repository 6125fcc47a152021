# SPDX-License-Identifier: Apache-2.0
"""Events: what a page may send, and the label map that any sequence of them amounts to."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active.annotator import events as module
from udatools.active.annotator.events import Asked, Event, EventError, parse_event, pixels_of_runs, runs_of_pixels

MASK = np.array([[1, 1, 0, 2], [0, 1, 0, 2], [3, 0, 4, 0]], np.uint16)
ASKED = Asked.of(MASK)


def parse(content, request='segments'):
    """A valid event with some fields changed, or no object at all."""
    if isinstance(content, dict):
        content = {'event_id': 'abcdefgh', 'kind': 'label', 'region': 1, 'value': 0, **content}
    return parse_event(content, who='anna', session='s', key='k', asked=ASKED, num_classes=3, kind=request)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 60)))
def test_runs_and_pixels_are_the_same_thing(pixels):
    flat = np.array(sorted(pixels), np.int64)
    runs = runs_of_pixels(flat)
    assert np.array_equal(pixels_of_runs(runs), flat)
    assert all(a + n < b for (a, n), (b, _) in zip(runs.tolist(), runs.tolist()[1:]))  # as few as possible


def test_asked_pixels_by_hand():
    assert ASKED.flat.tolist() == [0, 1, 3, 5, 7, 8, 10] and ASKED.region.tolist() == [1, 1, 2, 1, 2, 3, 4]
    labels = np.array([0, 254, 255, 1, 2, 255, 0], np.uint8)
    assert ASKED.full(labels).tolist() == [[0, 254, 255, 255], [255, 1, 255, 2], [255, 255, 0, 255]]
    assert ASKED.open_ids(labels).tolist() == [2, 3]


def test_labels_by_hand(event):
    events = [event(region=1, value=2), event('paint', runs=[[1, 2]], value=0), event('void', region=3)]
    assert module.replay(events, ASKED).tolist() == [2, 0, 255, 2, 255, 254, 255]
    events.append(event('undo', undoes=events[0].event_id))
    assert module.replay(events, ASKED).tolist() == [255, 0, 255, 255, 255, 254, 255]
    events.append(event('paint', runs=[[0, 12]], value=255))
    assert (module.replay(events, ASKED) == 255).all()


def test_what_was_taken_back_by_hand(event):
    events = [event(region=1, value=2), event('paint', runs=[[1, 2]], value=0), event('void', region=3)]
    assert not module.taken_back(events, ASKED).any()
    events.append(event('undo', undoes=events[0].event_id))
    assert module.taken_back(events, ASKED).tolist() == [True, False, False, True, False, False, False]
    assert ASKED.mask(module.taken_back(events, ASKED)).tolist() == [
        [True, False, False, False], [False, True, False, False], [False] * 4]
    events.append(event('paint', runs=[[0, 12]], value=255))
    assert module.taken_back(events, ASKED).tolist() == [True, True, False, True, False, True, False]


EVENTS = st.lists(st.one_of(
    st.tuples(st.just('label'), st.integers(1, 4), st.integers(0, 2)),
    st.tuples(st.just('void'), st.integers(1, 4), st.just(254)),
    st.tuples(st.just('paint'), st.sets(st.integers(0, 11), min_size=1), st.sampled_from([0, 1, 2, 254, 255])),
    st.tuples(st.just('split'), st.sets(st.integers(0, 11), min_size=1), st.none()),
    st.tuples(st.just('skip'), st.just(0), st.none()),
    st.tuples(st.just('undo'), st.integers(0, 30), st.none())), max_size=25)


def build(steps):
    """Events, and the labels by the slowest means: every pixel asks the surviving events from the last to the first."""
    events, undone = [], set()
    for i, (kind, what, value) in enumerate(steps):
        fields = dict(event_id=f'event-{i:03d}', who='anna', session='s', key='k', kind=kind, value=value, number=i + 1)
        if kind in ('label', 'void'):
            fields['region'] = what
        elif kind in ('paint', 'split'):
            fields['runs'] = np.array([[p, 1] for p in sorted(what)], np.uint32)
        elif kind == 'undo':
            if not i:
                continue
            fields['undoes'] = f'event-{what % i:03d}'
            undone.add(what % i)
        events.append(Event(**fields))
    expected = {}
    for pixel, region in zip(ASKED.flat.tolist(), ASKED.region.tolist()):
        expected[pixel] = 255
        for i, (kind, what, value) in reversed(list(enumerate(steps))):
            hit = (kind in ('label', 'void') and what == region) or (kind == 'paint' and pixel in what)
            if hit and i not in undone:
                expected[pixel] = value
                break
    return events, list(expected.values())


@settings(max_examples=80, deadline=None)
@given(EVENTS)
def test_any_sequence_of_events_equals_the_slow_reference(steps):
    events, expected = build(steps)
    assert module.replay(events, ASKED).tolist() == expected


def test_pixels_that_were_not_asked_are_left_out():
    stored = parse(dict(kind='paint', region=0, runs=[0, 12]))
    assert pixels_of_runs(stored.runs).tolist() == ASKED.flat.tolist()
    assert module.places(stored, ASKED).tolist() == list(range(7))


def test_breaks_are_no_work():
    long = parse(dict(kind='skip', seconds=4000))
    assert parse(dict(kind='skip', seconds=10**400)).seconds == 60.0
    assert long.seconds == 60 and module.seconds_of([long, Event('x' * 8, 'a', 's', 'k', 'skip', seconds=2.5)]) == 62.5


@pytest.mark.parametrize('content, message', [
    ([], 'JSON object'),
    (dict(event_id='short'), 'event_id'),
    (dict(event_id='../../../etc/passwd'), 'event_id'),
    (dict(kind='drop'), 'kind'),
    (dict(seconds=-1), 'seconds'),
    (dict(seconds=float('inf')), 'seconds'),
    (dict(seconds=float('nan')), 'seconds'),
    (dict(seconds='5'), 'seconds'),
    (dict(clicks=1.5), 'clicks'),
    (dict(clicks=10**9), 'clicks'),
    (dict(region=5), 'region 5 was not asked'),
    (dict(region='1'), 'region'),
    (dict(region=0), 'needs a region'),
    (dict(value=3), 'value is 3; expected a whole number from 0 to 2'),
    (dict(value=None), 'value'),
    (dict(value=True), 'value'),
    (dict(kind='paint'), 'needs the pixels'),
    (dict(kind='paint', runs=[0, 1], value=100), 'value is 100'),
    (dict(kind='split', runs=None), 'needs the pixels'),
    (dict(runs=[0]), 'pairs'),
    (dict(runs=[]), 'pairs'),
    (dict(runs='0,1'), 'pairs'),
    (dict(runs=[0, 1.5]), 'no whole number'),
    (dict(runs=[0, '1']), 'no whole number'),
    (dict(runs=[-1, 2]), 'runs hold -1'),
    (dict(runs=[0, 2**70]), 'the image has 12 pixels'),
    (dict(runs=[8, 5]), 'reach pixel 12'),
    (dict(runs=[0, 0]), 'at least one pixel'),
    (dict(runs=[3, 1, 0, 1]), 'ascend'),
    (dict(runs=[0, 3, 2, 1]), 'ascend'),
    (dict(runs=[2, 1]), 'none of the pixels was asked'),
    (dict(kind='undo'), 'undoes'),
    (dict(kind='undo', undoes=7), 'undoes'),
])
def test_what_cannot_be_an_event_is_refused_with_the_reason(content, message):
    with pytest.raises(EventError, match=message):
        parse(content)


@pytest.mark.parametrize('kind', ['points', 'regions'])
def test_one_label_a_region_takes_no_parts(kind):
    assert parse(dict(region=2), kind).region == 2
    with pytest.raises(EventError, match='one label a region'):
        parse(dict(region=2, runs=[3, 1]), kind)
