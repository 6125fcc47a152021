# SPDX-License-Identifier: Apache-2.0
"""Budgets and the cost model, by hand."""
import pytest

from udatools.active import Budget, CostModel


def test_equal_rest_spends_all_and_never_more():
    budget, spent = Budget(amount=100), 0
    given = []
    for round in (1, 2, 3):
        given.append(budget.allowance(10**6, spent, round, 3))
        spent += given[-1]
    assert given == [33, 33, 34] and spent == 100


def test_what_a_round_leaves_goes_to_the_later_ones():
    assert Budget(amount=100).allowance(10**6, 10, 2, 3) == 45
    assert Budget(amount=100).allowance(10**6, 120, 3, 3) == 0


def test_portion_is_rounded_down():
    assert Budget(portion=0.025).limit(1999) == 49


def test_a_round_may_take_all_that_is_left():
    assert Budget(amount=100, per_round=None).allowance(10**6, 40, 2, 3) == 60


def test_scope_round_is_a_limit_of_each_round():
    budget = Budget(amount=10, scope='round')
    assert budget.limit(10**6, 3) == 30
    assert [budget.allowance(10**6, spent, r, 3) for r, spent in ((1, 0), (2, 10), (3, 25))] == [10, 10, 5]


@pytest.mark.parametrize('arguments, message', [
    (dict(), 'exactly one'), (dict(portion=.1, amount=3), 'exactly one'), (dict(unit='clicks', amount=3), 'unit'),
    (dict(portion=0.), r'\(0, 1\]'), (dict(portion=2.), r'\(0, 1\]'),
    (dict(unit='points', portion=.1), 'share of pixels'),
    (dict(amount=-1), 'amount'), (dict(amount=1.5), 'amount'), (dict(amount=1, scope='image'), 'scope'),
    (dict(amount=1, per_round='half'), 'per_round')])
def test_bad_budgets_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Budget(**arguments)


def test_costs_go_through_the_numbers_of_the_slides():
    costs, pixels = CostModel(), 2048 * 1024
    assert costs.seconds('segments', round(0.022 * pixels), pixels) == pytest.approx(1210, rel=1e-4)
    assert costs.seconds('points', 40, pixels) == pytest.approx(75)
    assert costs.seconds('segments', round(0.011 * pixels), pixels) == pytest.approx(605, rel=1e-4)
    assert costs.seconds('segments', pixels, pixels) == 5400
    assert costs.seconds('segments', 0, pixels) == 0


@pytest.mark.parametrize('arguments', [dict(point_seconds=-1), dict(segment_portion=0), dict(segment_portion=2)])
def test_bad_costs_are_refused(arguments):
    with pytest.raises(ValueError, match='CostModel'):
        CostModel(**arguments)
