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
    assert [Budget(portion=n / 100).limit(100) for n in range(1, 101)] == list(range(1, 101))  # not 28 for 0.29


def test_a_round_may_take_all_that_is_left():
    assert Budget(amount=100, per_round=None).allowance(10**6, 40, 2, 3) == 60


def test_scope_round_is_a_limit_of_each_round():
    budget = Budget(amount=10, scope='round')
    assert budget.limit(10**6, 3) == 30
    assert [budget.allowance(10**6, spent, r, 3) for r, spent in ((1, 0), (2, 10), (3, 25))] == [10, 10, 5]


def test_seconds_are_kept_in_milliseconds_and_what_is_left_of_one_is_spent():
    budget = Budget(unit='seconds', amount=10)
    assert budget.limit(10**6) == 10
    assert [budget.allowance(10**6, spent, 2, 3) for spent in (0, 1.875, 4.0001, 9.9999, 10.2)] == [5000, 4062, 2999, 0, 0]
    tenths = sum([.1] * 30)  # 3.0000000000000013
    assert Budget(unit='seconds', amount=10, per_round=None).allowance(1, tenths, 1, 1) == 7000


def test_a_budget_per_image_is_of_the_pixels_of_the_image():
    budget = Budget(portion=0.1, per='image')
    assert [budget.allowance(pixels, spent, 2, 2) for pixels, spent in ((95, 0), (95, 4), (200, 20))] == [9, 5, 0]


def test_points_cannot_limit_segments_or_regions():
    Budget(unit='points', amount=3).check_kind('points')
    for unit in ('pixels', 'regions', 'clicks', 'seconds'):
        for kind in ('points', 'segments', 'regions'):
            Budget(unit=unit, amount=3).check_kind(kind)
    for kind in ('segments', 'regions'):
        with pytest.raises(ValueError, match=f'asks for {kind}'):
            Budget(unit='points', amount=3).check_kind(kind)


def test_settings_of_the_first_release_are_the_same_for_ever():
    # They are part of the identity of rounds that are paid for.
    assert Budget(portion=.1).settings() == dict(unit='pixels', portion=0.1, amount=None, scope='total', per_round='equal_rest')
    later = Budget(unit='seconds', amount=5, per='image', costs=dict(point_seconds=2.0)).settings()
    assert later['per'] == 'image' and later['costs'] == dict(point_seconds=2.0)


@pytest.mark.parametrize('arguments, message', [
    (dict(), 'exactly one'), (dict(portion=.1, amount=3), 'exactly one'), (dict(unit='hours', amount=3), 'unit'),
    (dict(portion=0.), r'\(0, 1\]'), (dict(portion=2.), r'\(0, 1\]'),
    (dict(unit='points', portion=.1), 'share of pixels'),
    (dict(amount=-1), 'amount'), (dict(amount=1.5), 'amount'), (dict(amount=float('nan')), 'amount is nan'),
    (dict(amount=float('inf')), 'amount is inf'), (dict(amount=True), 'amount is True'), (dict(amount='40'), "amount is '40'"),
    (dict(amount=1, scope='image'), 'scope'),
    (dict(amount=1, per_round='half'), 'per_round'), (dict(amount=1, per='city'), "'set' or 'image'"),
    (dict(amount=1, costs=dict(point_seconds=2)), "unit='seconds'"),
    (dict(unit='seconds', amount=1, costs=dict(point_seconds=-2)), 'CostModel')])
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
