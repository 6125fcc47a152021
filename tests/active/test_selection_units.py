# SPDX-License-Identifier: Apache-2.0
"""What a budget counts: units of each kind of request, their scores and planned costs, by hand."""
import numpy as np
import pytest

from udatools.active import Budget, Candidates, LabORPPLSelector, LabORSPLSelector, RegionSelector
from udatools.active.units import units_of

SIZE = (3, 5)
#   a a . . b
#   . . . . b
#   c . d . .
PIXELS = np.array([0, 1, 4, 9, 10, 12], np.int32)
SCORE = np.array([1, .5, .25, .75, .125, 2], np.float16)
SPL, POINTS, REGIONS = LabORSPLSelector(), LabORPPLSelector(), RegionSelector()


def units(selector, region=None, score=SCORE, **budget):
    """Of pixels that come in another order."""
    order = np.array([3, 0, 5, 1, 4, 2])
    found = Candidates(PIXELS[order], score[order], None if region is None else np.array(region, np.int32)[order])
    return units_of(found, SIZE, selector, Budget(**budget) if budget else None, 3)


@pytest.mark.parametrize('selector, budget', [(SPL, {}), (SPL, dict(amount=3)), (POINTS, dict(unit='points', amount=3)),
                                              (POINTS, dict(unit='regions', amount=3)), (POINTS, dict(unit='clicks', amount=3))])
def test_pixels_and_points_are_units_of_one(selector, budget):
    found = units(selector, **budget)
    assert found.flat_index.tolist() == PIXELS.tolist() and found.member.tolist() == list(range(6))
    assert found.score.tolist() == SCORE.tolist() and found.cost.tolist() == [1] * 6
    assert (found.size, found.regions) == (SIZE, False)


@pytest.mark.parametrize('unit', ['regions', 'clicks'])
def test_segments_are_counted_as_connected_components_by_their_mean(unit):
    found = units(SPL, unit=unit, amount=3)
    assert found.member.tolist() == [0, 0, 1, 1, 2, 3] and found.flat_index.tolist() == PIXELS.tolist()
    assert found.score.tolist() == [.75, .5, .125, 2] and found.score.dtype == np.float16
    assert found.cost.tolist() == [1, 1, 1, 1] and not found.regions


def test_drawn_scores_of_segments_are_those_of_the_first_pixel():
    assert units(LabORSPLSelector('uniform'), unit='clicks', amount=3).score.tolist() == [1, .25, .125, 2]


def test_regions_cost_their_pixels_or_one_click_each():
    region, score = [8, 8, 3, 8, 3, 5], np.array([1, 1, .5, 1, .5, 2], np.float16)
    by_pixel = units(REGIONS, region, score, amount=3)
    assert by_pixel.member.tolist() == [0, 0, 1, 0, 1, 2] and by_pixel.regions
    assert by_pixel.cost.tolist() == [3, 2, 1] and by_pixel.score.tolist() == [1, .5, 2]
    assert units(SPL, region, score, unit='clicks', amount=3).cost.tolist() == [1, 1, 1]  # windows are not merged
    assert units(SPL, region, score, unit='clicks', amount=3).member.tolist() == by_pixel.member.tolist()


def test_seconds_are_whole_milliseconds_rounded_up():
    assert units(POINTS, unit='seconds', amount=9).cost.tolist() == [1875] * 6
    region = [8, 8, 3, 8, 3, 5]
    exact = dict(unit='seconds', amount=9, costs=dict(region_seconds=1.2341, point_seconds=0, segment_seconds=3.0001,
                                                      segment_portion=.4))
    assert units(REGIONS, region, **exact).cost.tolist() == [1235] * 3
    assert units(POINTS, **exact).cost.tolist() == [1] * 6  # nothing is free: an order without costs has no end
    # A pixel of 15 is 1/6 of the 40 % that take 3.0001 s: 500.016... ms; two are 1000.03... ms.
    assert units(SPL, **exact).cost.tolist() == [1001, 1001, 501, 501]


def test_nothing_offered_is_no_unit():
    none = Candidates(PIXELS[:0], SCORE[:0])
    for budget in (None, Budget(unit='clicks', amount=3), Budget(unit='seconds', amount=3)):
        found = units_of(none, SIZE, SPL, budget, 3)
        assert found.score.size == found.cost.size == found.member.size == 0 and found.cost.dtype == np.int64
