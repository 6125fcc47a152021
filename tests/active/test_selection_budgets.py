# SPDX-License-Identifier: Apache-2.0
"""Rounds with every unit of budget: what is asked equals a literal greedy loop, whatever the number of ranks."""
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from udatools.active import (
    Budget,
    Candidates,
    EntropySelector,
    LabelLedger,
    LabORPPLSelector,
    LabORSPLSelector,
    RegionSelector,
    Request,
    RIPURegionSelector,
    Selector,
)

HEIGHT, WIDTH = 12, 17


def literal_units(found, selector, unit):
    """[(score, [pixels])] of one image, in (y, x) order of their first pixel."""
    pairs = sorted(zip(found.flat_index.tolist(), found.score.astype(float).tolist(),
                       [None] * len(found.score) if found.region is None else found.region.tolist()))
    if found.region is not None:
        groups = {}
        for pixel, score, region in pairs:
            groups.setdefault(region, (score, []))[1].append(pixel)
        return list(groups.values())
    if selector.kind == 'segments' and unit in ('regions', 'clicks', 'seconds'):
        mask = np.zeros(HEIGHT * WIDTH, bool)
        mask[found.flat_index] = True
        part, count = ndimage.label(mask.reshape(HEIGHT, WIDTH), np.ones((3, 3)))
        score_of = {pixel: score for pixel, score, _ in pairs}
        groups = [np.flatnonzero(part == n).tolist() for n in range(1, count + 1)]
        return sorted(((float(np.float16(np.mean([score_of[p] for p in g]))), g) for g in groups), key=lambda unit: unit[1][0])
    return [(score, [pixel]) for pixel, score, _ in pairs]


def literal_selection(campaign, selector, unit, limit, per='set'):
    """{key: set of pixels}: unit by unit, best score first, ties by (key, y, x); the first that does not fit ends it."""
    order = []
    for key, outputs in campaign.outputs.items():
        found = selector.candidates(outputs, key, np.random.default_rng(0))
        order += [(-score, key, pixels[0], pixels) for score, pixels in literal_units(found, selector, unit)]
    asked, spent, ended = {key: set() for key in campaign.outputs}, {}, set()
    for _, key, _, pixels in sorted(order):
        account = key if per == 'image' else 'set'
        cost = dict(pixels=len(pixels), seconds=1.875 if selector.kind != 'segments' else
                    len(pixels) / (HEIGHT * WIDTH) / .022 * 1210).get(unit, 1)
        if account in ended or spent.get(account, 0) + cost > limit:
            ended.add(account)
            continue
        spent[account] = spent.get(account, 0) + cost
        asked[key] |= set(pixels)
    return asked


def asked_of(request):
    return {item.key: set(np.flatnonzero(request.regions(item.key)).tolist()) for item in request.items}


CASES = [
    (LabORSPLSelector(), 'pixels', 41), (LabORSPLSelector(), 'regions', 7), (LabORSPLSelector(), 'clicks', 11),
    (LabORSPLSelector(), 'seconds', 5000), (LabORPPLSelector(points_per_class=3), 'points', 13),
    (LabORPPLSelector(points_per_class=3), 'seconds', 20), (LabORPPLSelector(points_per_class=3), 'regions', 9),
    (EntropySelector(.3, kind='points'), 'clicks', 17), (RegionSelector(portion=.8), 'regions', 9),
    (RegionSelector(portion=.8), 'pixels', 60), (RegionSelector(portion=.8), 'seconds', 12),
    (RIPURegionSelector(.6), 'pixels', 100), (RIPURegionSelector(.6), 'clicks', 10),
]


@pytest.mark.parametrize('selector, unit, amount', CASES, ids=lambda value: getattr(value, 'kind', str(value)))
@pytest.mark.parametrize('per', ['set', 'image'])
def test_what_is_asked_equals_the_literal_loop(campaign, tmp_path, selector, unit, amount, per):
    amount = amount if per == 'set' else max(1, amount // 4)
    result = campaign.ask(tmp_path, num_rounds=1, selector=selector, budget=Budget(unit=unit, amount=amount, per=per))
    expected = literal_selection(campaign, selector, unit, amount, per)
    assert asked_of(result.request) == expected and any(expected.values())
    header = result.request.header
    budget = header['budget']
    assert (header['kind'], budget['unit'], budget['per'], budget['spent']) == (selector.kind, unit, per, 0)
    assert budget['limit'] == amount * (5 if per == 'image' else 1) and budget['asked'] == sum(map(len, expected.values()))
    assert 0 < budget['planned'] <= budget['limit'] and budget['left'] == pytest.approx(budget['limit'] - budget['planned'])


class Scripted(Selector):
    """Offers what the test says."""

    inputs = ('prob', )

    def __init__(self, offers, kind):
        self.offers, self.kind = offers, kind

    def candidates(self, outputs, key, generator):
        return self.offers[key]

    def settings(self):
        return dict(type='Scripted', kind=self.kind)


def random_offers(keys, seed, kind):
    rng = np.random.default_rng(seed)
    levels, offers = rng.random(3).astype(np.float16), {}
    for key in keys:
        pixels = np.sort(rng.permutation(HEIGHT * WIDTH)[:rng.integers(0, 60)]).astype(np.int32)
        region = rng.integers(0, 9, pixels.size).astype(np.int32)
        if kind == 'regions':
            offers[key] = Candidates(pixels, rng.choice(levels, 9)[region], region)
        else:
            offers[key] = Candidates(pixels, rng.choice(levels, pixels.size))
    return offers


@given(st.integers(0, 10**6), st.sampled_from(['segments', 'points', 'regions']),
       st.sampled_from(['pixels', 'regions', 'clicks', 'seconds']), st.integers(0, 60), st.sampled_from(['set', 'image']))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_candidates_are_cut_as_the_literal_loop_says(campaign, tmp_path_factory, seed, kind, unit, amount, per):
    amount *= 60 if unit == 'seconds' and kind == 'segments' else 1
    selector = Scripted(random_offers(campaign.outputs, seed, kind), kind)
    result = campaign.ask(tmp_path_factory.mktemp('any'), num_rounds=1, selector=selector,
                          budget=Budget(unit=unit, amount=amount, per=per))
    assert asked_of(result.request) == literal_selection(campaign, selector, unit, amount, per)
    assert result.request.header['budget']['planned'] <= amount * (5 if per == 'image' else 1)


def test_regions_keep_their_own_ids_next_to_each_other(campaign, tmp_path):
    offers = {key: Candidates(np.arange(40, dtype=np.int32), np.full(40, .5, np.float16),
                              np.repeat(np.arange(4, dtype=np.int32), 10)[::-1].copy()) for key in campaign.outputs}
    result = campaign.ask(tmp_path, num_rounds=1, selector=Scripted(offers, 'regions'), budget=Budget(unit='regions', amount=6))
    first, second, third = sorted(campaign.outputs)[:3]
    region = result.request.regions(first).ravel()
    assert region[:40].tolist() == [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10 and not region[40:].any()
    assert result.request.regions(second).max() == 2 and result.request.regions(third).max() == 0
    assert [result.request[key].components for key in (first, second, third)] == [4, 2, 0]


def test_points_next_to_each_other_are_points_of_their_own(campaign, tmp_path):
    offers = {key: Candidates(np.arange(5, dtype=np.int32), np.full(5, .5, np.float16)) for key in campaign.outputs}
    result = campaign.ask(tmp_path, num_rounds=1, selector=Scripted(offers, 'points'), budget=Budget(unit='points', amount=7))
    assert result.request.regions('city_a/frame_0').ravel()[:6].tolist() == [1, 2, 3, 4, 5, 0]
    assert [item.components for item in result.request.items if item.asked] == [2, 5]  # a/1, a/0: the order of the set


@pytest.mark.parametrize('unit, amount, per_round', [('points', 40, [13, 13, 14]), ('clicks', 40, [13, 13, 14])])
def test_forty_points_an_image_over_three_rounds(campaign, tmp_path, unit, amount, per_round):
    selector, spent = EntropySelector(1.0, kind='points'), {key: [] for key in campaign.outputs}
    for round in (1, 2, 3):
        result = campaign.ask(tmp_path, round, selector=selector, budget=Budget(unit=unit, amount=amount, per='image'))
        for item in result.request.items:
            spent[item.key].append(item.asked)
        assert result.request.header['budget']['spent'] == 5 * sum(per_round[:round - 1])
    assert list(spent.values()) == [per_round] * 5
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        assert all(int(ledger.answered_mask(key).sum()) == 40 for key in spent)
        assert ledger.spent()['points'] == 200


def test_what_an_image_did_not_use_is_its_own_in_the_next_round(campaign, tmp_path):
    poor = 'city_a/frame_0'
    offers = {key: Candidates(np.arange(3 if key == poor else 50, dtype=np.int32), np.ones(3 if key == poor else 50, np.float16))
              for key in campaign.outputs}
    campaign.ask(tmp_path, 1, num_rounds=2, selector=Scripted(offers, 'points'), budget=Budget(amount=20, per='image'))
    for key in offers:
        offers[key] = Candidates(np.arange(50, 100, dtype=np.int32), np.ones(50, np.float16))
    result = campaign.ask(tmp_path, 2, num_rounds=2, selector=Scripted(offers, 'points'), budget=Budget(amount=20, per='image'))
    assert {item.key: item.asked for item in result.request.items} == {key: 17 if key == poor else 10 for key in offers}


def test_seconds_of_an_oracle_never_exceed_the_plan(campaign, tmp_path):
    selector, spent = LabORPPLSelector(points_per_class=3), []
    for round in (1, 2):
        result = campaign.ask(tmp_path, round, num_rounds=2, selector=selector, budget=Budget(unit='seconds', amount=60))
        spent.append(result.spent['seconds'])
        assert result.request.header['budget']['planned'] == pytest.approx(spent[-1] - sum(spent[:-1]))
    assert spent == [30.0, 60.0]


def test_answered_pixels_are_not_offered_and_their_places_are_filled(campaign, tmp_path):
    first = campaign.ask(tmp_path, 1, selector=EntropySelector(.1), num_rounds=2).request
    second = campaign.ask(tmp_path, 2, selector=EntropySelector(.1), num_rounds=2).request
    one, two = asked_of(first), asked_of(second)
    assert all(len(one[key]) == len(two[key]) == 20 and not one[key] & two[key] for key in one)


def test_candidates_of_regions_survive_a_stop(campaign, tmp_path):

    def stopping(i, names):
        if i == 3:
            raise KeyboardInterrupt
        return campaign.predict(i, names)

    arguments = dict(selector=RegionSelector(portion=.8), num_rounds=1, budget=Budget(unit='regions', amount=9))
    with pytest.raises(KeyboardInterrupt):
        campaign.ask(tmp_path / 'a', predict=stopping, **arguments)
    campaign.calls.clear()
    stopped = campaign.ask(tmp_path / 'a', **arguments).request
    assert [i for i, names in campaign.calls if names == ('prob', )][:2] == [3, 4]
    assert stopped.request_id == campaign.ask(tmp_path / 'b', **arguments).request.request_id


def test_a_budget_that_does_not_count_the_kind_is_refused_before_anything_is_predicted(campaign, tmp_path):
    with pytest.raises(ValueError, match='budget is in points'):
        campaign.ask(tmp_path, budget=Budget(unit='points', amount=5))
    assert campaign.calls == [] and Request.load(tmp_path / 'requests' / 'round_1') is None


def test_more_regions_than_ids_are_refused(campaign, tmp_path, monkeypatch):
    monkeypatch.setattr('udatools.active.selection.MAX_REGION', 8)
    selector = Scripted(random_offers(campaign.outputs, 0, 'regions'), 'regions')
    with pytest.raises(ValueError, match=r"9 regions are asked in 'city_"):
        campaign.ask(tmp_path, selector=selector)


@pytest.mark.distributed
@pytest.mark.parametrize('world, per', [(2, 'set'), (3, 'image')])
def test_any_number_of_ranks_asks_the_same(campaign, tmp_path, tree, run_ranks, world, per):
    cases = [(LabORSPLSelector(), 'clicks', 9), (RegionSelector(portion=.8), 'pixels', 90), (LabORPPLSelector(), 'seconds', 17)]

    def rounds(root):
        return [campaign.ask(root / unit, round, num_rounds=2, selector=selector, budget=Budget(unit=unit, amount=amount, per=per)
                             ).request.header['budget'] for selector, unit, amount in cases for round in (1, 2)]

    expected = rounds(tmp_path / 'one')
    assert run_ranks(lambda rank: rounds(tmp_path / 'many'), world) == [(expected, None)] * world
    requests = [{name: data for name, data in tree(tmp_path / root).items() if '/requests/' in name} for root in ('one', 'many')]
    assert requests[0] == requests[1]
