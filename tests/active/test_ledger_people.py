# SPDX-License-Identifier: Apache-2.0
"""Several answers of one person, answers of several people, budgets in every unit, rounds that end."""
import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from udatools.active import BudgetExceeded, LabelLedger, LedgerError, Limits
from udatools.active.ledger import RoundClosed, column_of

ROW = np.ones((1, 4), bool)
TWO = np.array([[True, True, False, True]])  # two segments


@pytest.fixture
def ledger(tmp_path):
    with LabelLedger(tmp_path / 'ledger.sqlite') as opened:
        yield opened


@pytest.fixture
def asked(ledger, make_request):
    """Function: a request that the ledger knows."""

    def ask(masks, **kwargs):
        request = make_request(masks, **kwargs)
        ledger.add_request(request)
        return request

    return ask


def test_a_person_answers_more_later_and_only_that_is_added(ledger, asked, make_answer):
    request = asked({'a': ROW}, kind='points')
    first = ledger.record(request, [make_answer('a', [[0, 255, 255, 255]], clicks=1, seconds=2)]).outcomes[0]
    assert (first.pixels, first.points, first.components, first.clicks, first.seconds) == (1, 1, 1, 1, 2)
    more = ledger.record(request, [make_answer('a', [[0, 1, 254, 255]], clicks=3, seconds=7)]).outcomes[0]
    assert (more.status, more.pixels, more.points, more.void, more.corrections) == ('recorded', 2, 2, 1, 0)
    assert (more.clicks, more.seconds) == (2, 5)  # totals of the same sheet
    assert ledger.label('a').tolist() == [[0, 1, 254, 255]]
    assert ledger.spent() == dict(pixels=3, points=3, clicks=3, components=3, seconds=7, void=1, images=1)
    rest = ledger.record(request, [make_answer('a', [[255, 255, 255, 2]], clicks=1, seconds=4)]).outcomes[0]
    assert (rest.pixels, rest.clicks, rest.seconds) == (1, 1, 4)  # repeats nothing: work of its own
    assert len(list(ledger.rows())) == 3 and ledger.class_histogram() == {0: 1, 1: 1, 2: 1}


def test_the_same_sheet_again_is_paid_once_also_after_a_longer_round(ledger, asked, make_answer):
    """Answers of the same person to the same image in an earlier round are no part of this round's sheet."""
    first, second = np.zeros((1, 8), bool), np.zeros((1, 8), bool)
    first[:, :6], second[:, 6:] = True, True
    ledger.record(asked({'a': first}, kind='points'), [make_answer('a', [[0] * 6 + [255] * 2], clicks=6, seconds=6)])
    request = asked({'a': second}, kind='points', round=2)
    ledger.record(request, [make_answer('a', [[255] * 6 + [1, 255]], clicks=1, seconds=1)])
    more = ledger.record(request, [make_answer('a', [[255] * 6 + [1, 1]], clicks=2, seconds=3)]).outcomes[0]
    assert (more.pixels, more.clicks, more.seconds) == (1, 1, 2)
    assert [ledger.spent(round=number)['clicks'] for number in (1, 2)] == [6, 2]


def test_a_correction_is_kept_beside_what_it_corrects(ledger, asked, make_answer):
    request = asked({'a': ROW})
    ledger.record(request, [make_answer('a', [[0, 0, 254, 1]])])
    changed = ledger.record(request, [make_answer('a', [[0, 2, 2, 1]])]).outcomes[0]
    assert (changed.pixels, changed.corrections, changed.conflicts, changed.components) == (0, 2, 0, 0)
    assert ledger.label('a').tolist() == [[0, 2, 2, 1]] and ledger.spent()['pixels'] == 4
    assert ledger.coverage() == {c: dict(pixels=n, images=1) for c, n in ((0, 1), (1, 1), (2, 2))}
    assert [row['corrections'] for row in ledger.rows()] == [0, 2]


def test_an_old_file_imported_again_does_not_undo_a_correction(ledger, asked, make_answer):
    request = asked({'a': ROW})
    old, new = (make_answer('a', [[label, 0, 0, 0]], seconds=seconds) for label, seconds in ((1, 5), (2, 6)))
    ledger.record(request, [old])
    ledger.record(request, [new])
    before = ledger.content_digest()
    assert [ledger.record(request, [answer]).known for answer in (old, new, old)] == [1, 1, 1]
    assert ledger.label('a').tolist() == [[2, 0, 0, 0]] and ledger.content_digest() == before


def test_people_on_the_same_pixels_are_both_kept_and_counted_once(ledger, asked, make_answer):
    request = asked({'a': ROW}, kind='points')
    ledger.record(request, [make_answer('a', [[0, 1, 255, 255]], 'anna', clicks=2, seconds=3)])
    bob = ledger.record(request, [make_answer('a', [[0, 2, 2, 255]], 'bob', clicks=3, seconds=4)]).outcomes[0]
    assert (bob.pixels, bob.points, bob.overlap, bob.conflicts, bob.components) == (1, 1, 2, 1, 1)
    assert ledger.spent() == dict(pixels=3, points=3, clicks=5, components=3, seconds=7, void=0, images=1)
    assert ledger.spent(annotator='bob')['clicks'] == 3 and ledger.annotators() == ['anna', 'bob']
    assert {who: label.tolist() for who, label in ledger.labels_by_person('a').items()} == {
        'anna': [[0, 1, 255, 255]], 'bob': [[0, 2, 2, 255]]}
    pair, = ledger.disagreement()
    assert pair == dict(people=['anna', 'bob'], pixels=2, differ=1, share=0.5,
                        classes={0: dict(either=1, differ=0), 1: dict(either=1, differ=1), 2: dict(either=1, differ=1)})


@pytest.mark.parametrize('policy, label, counts', [('first', [[0, 1, 2, 255]], {0: 1, 1: 1, 2: 1}),
                                                   ('last', [[0, 2, 2, 255]], {0: 1, 2: 2}),
                                                   ('majority', [[0, 254, 2, 255]], {0: 1, 2: 1})])
def test_the_policy_of_the_campaign_holds(ledger, asked, make_answer, tmp_path, policy, label, counts):
    import cv2
    ledger.open_campaign({}, policy=policy)
    request = asked({'a': ROW})
    ledger.record(request, [make_answer('a', [[0, 1, 255, 255]], 'anna'), make_answer('a', [[0, 2, 2, 255]], 'bob')])
    assert ledger.policy() == policy and ledger.label('a').tolist() == label
    assert ledger.class_histogram() == counts == ledger.class_histogram(1)
    ledger.export_labels(tmp_path / 'labels')
    written = cv2.imread(str(tmp_path / 'labels' / 'a.png'), cv2.IMREAD_UNCHANGED)
    assert written.tolist() == [[255 if value == 254 else value for value in label[0]]]


def test_answers_after_the_next_round_was_asked_are_refused(ledger, asked, make_answer):
    first = asked({'a': ROW})
    ledger.record(first, [make_answer('a', [[0, 255, 255, 255]])])
    asked({'a': ROW}, round=2)
    before = ledger.content_digest()
    assert ledger.record(first, [make_answer('a', [[0, 255, 255, 255]])]).known == 1
    with pytest.raises(RoundClosed, match='round 1 takes no answers any more: round 2 was selected from its answers'):
        ledger.record(first, [make_answer('a', [[0, 1, 255, 255]])])
    assert ledger.content_digest() == before


def test_a_closed_round_takes_no_answers_and_is_closed_once(ledger, asked, make_answer):
    request = asked({'a': ROW})
    assert ledger.why_closed(1) is None and ledger.closures() == []
    assert ledger.close_round(request, 'anna', 'enough', asked=2, answered=1)
    assert not ledger.close_round(request, 'bob', 'really', asked=2, answered=2)
    closure, = ledger.closures()
    assert (closure['who'], closure['reason'], closure['asked'], closure['answered']) == ('anna', 'enough', 2, 1)
    with pytest.raises(RoundClosed, match='enough .closed by anna'):
        ledger.record(request, [make_answer('a', [[0, 1, 255, 255]])])
    assert ledger.spent()['images'] == 0


def test_a_request_that_was_not_asked_is_refused(ledger, make_request, make_answer):
    with pytest.raises(LedgerError, match='was asked nothing in round 1'):
        ledger.record(make_request({'a': ROW}), [make_answer('a', [[0, 1, 255, 255]])])
    with pytest.raises(LedgerError, match='was asked nothing'):
        ledger.close_round(make_request({'a': ROW}), 'anna', 'enough', asked=1, answered=0)


@pytest.mark.parametrize('changes', [dict(annotator=''), dict(clicks=-1), dict(seconds=float('nan'))])
def test_costs_that_cannot_be_are_refused(ledger, asked, make_answer, changes):
    request = asked({'a': ROW})
    with pytest.raises(LedgerError, match='expected a name, and numbers'):
        ledger.record(request, [make_answer('a', [[0, 1, 255, 255]], **changes)])


def test_an_empty_answer_is_noted_once(ledger, asked, make_answer):
    request = asked({'a': ROW})
    nothing = np.full((1, 4), 255)
    assert ledger.record(request, [make_answer('a', nothing, seconds=3)]).recorded == 1
    assert ledger.record(request, [make_answer('a', nothing, seconds=4)]).known == 1
    assert ledger.answered_keys(request.request_id) == {'a'} and ledger.spent()['pixels'] == 0


UNITS = dict(pixels=3, points=3, regions=3, clicks=5, seconds=2.5)  # of one answer below


@pytest.mark.parametrize('unit', UNITS)
def test_a_budget_in_any_unit_is_never_passed(ledger, asked, make_answer, unit):
    request = asked(dict.fromkeys('abc', ROW), kind='points')
    answers = [make_answer(key, [[0, 1, 254, 255]], clicks=5, seconds=2.5) for key in 'abc']
    ledger.open_campaign({}, unit=unit, limits=Limits(2 * UNITS[unit]))
    with pytest.raises(BudgetExceeded, match=f'to {3 * UNITS[unit]:g} {unit}; its budget is {2 * UNITS[unit]:g}'):
        ledger.record(request, answers)
    assert ledger.spent()['images'] == 0
    summary = ledger.record(request, answers, within_budget=True)
    assert [outcome.status for outcome in summary.outcomes] == ['recorded', 'recorded', 'over budget']
    assert ledger.spent()[column_of(unit)] == 2 * UNITS[unit] and ledger.answered_keys(request.request_id) == {'a', 'b'}
    with pytest.raises(BudgetExceeded, match='raise the budget'):
        ledger.open_campaign({}, unit=unit, limits=Limits(2 * UNITS[unit] - 1))


def test_what_comes_after_the_end_of_the_budget_is_left_out_even_if_it_would_fit(ledger, asked, make_answer):
    request = asked(dict.fromkeys('abc', ROW))
    ledger.open_campaign({}, unit='clicks', limits=Limits(5))
    answers = [make_answer(key, [[0, 255, 255, 255]], clicks=clicks) for key, clicks in (('a', 2), ('b', 4), ('c', 1))]
    summary = ledger.record(request, answers, within_budget=True)
    assert [outcome.status for outcome in summary.outcomes] == ['recorded', 'over budget', 'over budget']
    assert ledger.spent()['clicks'] == 2


def test_a_budget_of_every_image(ledger, asked, make_answer):
    request = asked(dict.fromkeys('abc', ROW))
    ledger.open_campaign({}, unit='clicks', limits=Limits(9, of_image=3))
    answers = [make_answer(key, [[0, 255, 255, 255]], clicks=clicks) for key, clicks in (('a', 3), ('b', 4), ('c', 2))]
    with pytest.raises(BudgetExceeded, match="bring 'b' to 4 clicks; its budget is 3"):
        ledger.record(request, answers)
    summary = ledger.record(request, answers, within_budget=True)
    assert [outcome.status for outcome in summary.outcomes] == ['recorded', 'over budget', 'recorded']
    assert ledger.spent_by_image('clicks') == dict(a=3, c=2) and ledger.limits().of_image == 3
    more = make_answer('c', [[255, 1, 255, 255]], 'bob', clicks=2)
    assert ledger.record(request, [more], within_budget=True).over_budget == 1


def test_seconds_add_up_without_rounding_errors(ledger, asked, make_answer):
    request = asked(dict.fromkeys('abc', ROW))
    ledger.open_campaign({}, unit='seconds', limits=Limits(0.3))
    ledger.record(request, [make_answer(key, [[0, 255, 255, 255]], seconds=0.1) for key in 'abc'])
    assert sum([0.1] * 3) > 0.3 and ledger.spent()['seconds'] == pytest.approx(0.3)


def test_regions_count_when_they_are_first_touched(ledger, asked, make_answer):
    request = asked({'a': TWO})
    counts = [ledger.record(request, [make_answer('a', answer, who)]).outcomes[0].components for answer, who in (
        ([[0, 255, 255, 255]], 'anna'), ([[0, 1, 255, 255]], 'anna'), ([[1, 255, 255, 2]], 'bob'))]
    assert counts == [1, 0, 1]
    assert ledger.spent_by_image('regions') == dict(a=2.0) == ledger.spent_by_image('components')
    assert ledger.spent_by_image('pixels', before_round=1) == {}
    with pytest.raises(ValueError, match="unit is 'images'"):
        ledger.spent_by_image('images')


def test_a_dry_run_says_the_same_and_stores_nothing(ledger, asked, make_answer):
    request = asked({'a': ROW, 'b': ROW})
    answers = [make_answer('a', [[0, 1, 255, 255]]), make_answer('b', [[0, 0, 0, 0]])]
    before = ledger.content_digest()
    dry = ledger.record(request, answers, dry_run=True)
    assert ledger.content_digest() == before and ledger.spent()['images'] == 0
    assert ledger.record(request, answers) == dry


def test_requests_that_share_pixels_count_them_once(ledger, asked, make_answer):
    for number, answer in ((1, [[0, 0, 255, 255]]), (2, [[255, 1, 1, 255]])):
        ledger.record(asked({'a': ROW}, round=number), [make_answer('a', answer, f'person {number}')])
    assert ledger.spent()['pixels'] == 3 == sum(entry['pixels'] for entry in ledger.coverage().values())
    assert ledger.class_histogram() == {0: 2, 1: 1} and ledger.class_histogram(2) == {1: 2}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.tuples(st.sampled_from(['anna', 'bob']), st.lists(st.sampled_from([0, 1, 2, 254, 255]), min_size=4,
                                                                             max_size=4)), min_size=1, max_size=6))
def test_any_sequence_of_answers_keeps_the_books(tmp_path_factory, make_request, make_answer, batches):
    """Pixels are counted once, everybody's latest word is theirs, coverage is that of the label."""
    request = make_request({'a': ROW}, kind='points')
    latest = {}
    with LabelLedger(tmp_path_factory.mktemp('any') / 'ledger.sqlite') as ledger:
        ledger.add_request(request)
        for number, (person, words) in enumerate(batches):
            ledger.record(request, [make_answer('a', [words], person, seconds=number)])
            said = latest.setdefault(person, [255] * 4)
            latest[person] = [word if word != 255 else old for word, old in zip(words, said)]
        covered = [any(said[i] != 255 for said in latest.values()) for i in range(4)]
        assert ledger.spent()['pixels'] == ledger.spent()['points'] == ledger.spent()['components'] == sum(covered)
        assert {who: said.tolist()[0] for who, said in ledger.labels_by_person('a').items()} == latest
        label = ledger.label('a')
        counts = {c: dict(pixels=int((label == c).sum()), images=1) for c in (0, 1, 2, 254) if (label == c).any()}
        assert ledger.coverage() == counts
        assert ((label != 255)[0] == covered).all()


def test_every_entry_goes_to_the_csv(ledger, asked, make_answer, tmp_path):
    request = asked({'strasse/ä b': ROW})
    ledger.record(request, [make_answer('strasse/ä b', [[0, 1, 254, 255]], 'Zoë, "Z"', clicks=2, seconds=1.5)])
    ledger.record(request, [make_answer('strasse/ä b', [[2, 1, 255, 255]], 'bob')])
    assert ledger.export_csv(tmp_path / 'out.csv') == 2
    with open(tmp_path / 'out.csv', newline='', encoding='utf-8') as stream:
        first, second = csv.DictReader(stream)
    assert first['who'] == 'Zoë, "Z"' and first['image'] == 'strasse/ä b' and first['request'] == request.request_id
    assert [first[name] for name in ('tool', 'pixels', 'points', 'clicks', 'components', 'seconds', 'void', 'conflicts')] == [
        'test', '3', '0', '2', '1', '1.5', '1', '0']
    assert first['histogram'] == '0:1 1:1' and second['conflicts'] == '1' and first['when'].startswith('20')
