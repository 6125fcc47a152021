# SPDX-License-Identifier: Apache-2.0
"""Selectors that score pixels, against pixel loops; randomness only from the generator; blind to labels."""
import inspect
import json

import numpy as np
import pytest
import torch

from udatools.active import LabORSPLSelector, RandomSelector
from udatools.registry import SELECTORS

HEIGHT, WIDTH = 10, 13
SCORES = {
    'EntropySelector': lambda p, p1, p2: -(p * np.log(p)).sum(0),
    'MarginSelector': lambda p, p1, p2: 1 - (np.sort(p, 0)[-1] - np.sort(p, 0)[-2]),
    'ConfidenceSelector': lambda p, p1, p2: 1 - p.max(0),
    'MCDALSelector': lambda p, p1, p2: sum(np.abs(a - b).sum(0) for a, b in ((p1, p2), (p, p1), (p, p2))),
}
EVERY = ['LabORSPLSelector', 'LabORPPLSelector', 'RandomSelector', *SCORES, 'RIPUPixelSelector', 'RIPURegionSelector',
         'RegionSelector']


@pytest.fixture
def outputs():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(4, HEIGHT, WIDTH, generator=generator).softmax(0) for name in ('prob', 'prob1', 'prob2')}


def rng(seed=0):
    return np.random.default_rng(seed)


def build(name, **arguments):
    return SELECTORS.build(dict(type=name, **arguments))


def greedy(value, count, spacing, allowed):
    """One pixel after the other, each at least `spacing` from those before."""
    order = sorted((-float(np.float16(value[y, x])), y, x) for y in range(value.shape[0]) for x in range(value.shape[1])
                   if allowed[y, x])
    chosen = []
    for _, y, x in order:
        if len(chosen) < count and all((y - v)**2 + (x - u)**2 >= spacing**2 for v, u in chosen):
            chosen.append((y, x))
    return sorted(y * value.shape[1] + x for y, x in chosen)


@pytest.mark.parametrize('score', ['l1', 'mcdal'])
def test_labor_offers_the_inconsistent_pixels_with_their_discrepancy(outputs, score):
    selector = SELECTORS.build(dict(type='LabORSPLSelector', score=score))
    found = selector.candidates({name: outputs[name] for name in selector.inputs}, 'a', rng())
    p, p1, p2 = (outputs[name].numpy() for name in ('prob', 'prob1', 'prob2'))
    expected = [y * 13 + x for y in range(10) for x in range(13) if p1[:, y, x].argmax() != p2[:, y, x].argmax()]
    assert found.flat_index.dtype == np.int32 and found.flat_index.tolist() == expected and len(expected) > 10
    value = np.abs(p1 - p2).sum(0)
    if score == 'mcdal':
        value = value + np.abs(p - p1).sum(0) + np.abs(p - p2).sum(0)
    assert found.score.dtype == np.float16 and found.region is None
    np.testing.assert_allclose(found.score, value.ravel()[expected], rtol=1e-3)


def test_labor_uniform_draws_evenly_from_the_same_mask(outputs):
    pair = {name: outputs[name] for name in ('prob1', 'prob2')}
    by_distance = LabORSPLSelector('l1').candidates(pair, 'a', rng())
    draws = [LabORSPLSelector('uniform').candidates(pair, 'a', rng(seed)) for seed in range(400)]
    assert all(np.array_equal(draw.flat_index, by_distance.flat_index) for draw in draws)
    assert np.array_equal(draws[0].score, LabORSPLSelector('uniform').candidates(pair, 'a', rng(0)).score)
    # Each pixel is among the better half about half of the time, whatever its discrepancy.
    half = len(by_distance.flat_index) // 2
    chosen = np.mean([np.argsort(np.argsort(-draw.score.astype(float))) < half for draw in draws], axis=0)
    assert chosen.min() > 0.35 and chosen.max() < 0.65


def test_labor_reads_the_main_model_only_when_its_score_does():
    assert LabORSPLSelector('l1').inputs == ('prob1', 'prob2')
    assert LabORSPLSelector('mcdal').inputs == ('prob', 'prob1', 'prob2')
    with pytest.raises(ValueError, match='score'):
        LabORSPLSelector('l2')


def test_classifiers_that_agree_offer_nothing(outputs):
    agreeing = dict(prob=outputs['prob'], prob1=outputs['prob'], prob2=outputs['prob'])
    for name in ('LabORSPLSelector', 'LabORPPLSelector'):
        found = build(name).candidates(agreeing, 'a', rng())
        assert found.flat_index.size == found.score.size == 0
        assert (found.flat_index.dtype, found.score.dtype) == (np.int32, np.float16)


def test_random_is_a_function_of_the_generator(outputs):
    selector = RandomSelector(portion=0.2)
    first, again, other = (selector.candidates(outputs, 'a', rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.flat_index, again.flat_index) and np.array_equal(first.score, again.score)
    assert not np.array_equal(first.flat_index, other.flat_index)
    assert len(np.unique(first.flat_index)) == 26 and first.flat_index.max() < 130


def test_random_reaches_every_pixel_that_is_not_excluded(outputs):
    excluded = torch.from_numpy(rng(3).random((HEIGHT, WIDTH)) < .5)
    seen = set()
    for seed in range(60):
        seen |= set(RandomSelector(0.2).candidates(dict(outputs, excluded=excluded), 'a', rng(seed)).flat_index.tolist())
    assert seen == set(np.flatnonzero(~excluded.numpy()).tolist())
    whole = RandomSelector(1.0).candidates(dict(outputs, excluded=excluded), 'a', rng())
    assert whole.flat_index.tolist() == sorted(seen)


@pytest.mark.parametrize('name', SCORES)
@pytest.mark.parametrize('spacing', [0, 3])
def test_scores_take_the_largest_that_keep_their_distance(outputs, name, spacing):
    value = SCORES[name](*(outputs[key].double().numpy() for key in ('prob', 'prob1', 'prob2')))
    found = build(name, portion=0.1, spacing=spacing).candidates(outputs, 'a', rng())
    assert found.flat_index.tolist() == greedy(value, 13, spacing, np.ones_like(value, bool))
    assert (found.flat_index.dtype, found.score.dtype, found.region) == (np.int32, np.float16, None)
    np.testing.assert_allclose(found.score, value.ravel()[found.flat_index], rtol=2e-3)


@pytest.mark.parametrize('spacing', [0, 3])
def test_the_portion_is_filled_from_what_is_not_excluded(outputs, spacing):
    value = SCORES['EntropySelector'](outputs['prob'].double().numpy(), None, None)
    excluded = value > np.sort(value.ravel())[-30]
    found = build('EntropySelector', portion=0.1, spacing=spacing).candidates(
        dict(outputs, excluded=torch.from_numpy(excluded)), 'a', rng())
    assert found.flat_index.tolist() == greedy(value, 13, spacing, ~excluded)


def test_random_points_with_spacing_keep_it(outputs):
    found = RandomSelector(1.0, kind='points', spacing=4).candidates(outputs, 'a', rng())
    y, x = np.divmod(found.flat_index.astype(int), WIDTH)
    squared = (y[:, None] - y)**2 + (x[:, None] - x)**2 + 99 * np.eye(len(y), dtype=int)
    assert len(y) > 4 and squared.min() >= 16
    v, u = np.indices((HEIGHT, WIDTH)).reshape(2, -1, 1)
    assert ((v - y)**2 + (u - x)**2).min(1).max() < 16  # and there is no room for one more


@pytest.mark.parametrize('name', [*SCORES, 'RandomSelector', 'RIPUPixelSelector'])
def test_constant_predictions_are_ties_that_go_to_the_first_pixels(name):
    flat = torch.full((4, HEIGHT, WIDTH), .25)
    found = build(name, portion=0.1).candidates(dict(prob=flat, prob1=flat, prob2=flat), 'a', rng())
    assert len(found.flat_index) == 13
    if name != 'RandomSelector':
        assert found.flat_index.tolist() == list(range(13)) and len(set(found.score.tolist())) == 1


@pytest.mark.parametrize('name', EVERY)
def test_an_image_of_one_pixel(name):
    prob = torch.tensor([.6, .4]).view(2, 1, 1)
    outputs = dict(prob=prob, prob1=prob, prob2=prob.flip(0), excluded=torch.zeros(1, 1, dtype=torch.bool))
    selector = build(name)
    found = selector.candidates(outputs, 'a', rng())
    assert found.flat_index.tolist() == [0] and np.isfinite(found.score).all()
    outputs['excluded'][:] = True
    if 'excluded' in selector.inputs:
        assert selector.candidates(outputs, 'a', rng()).flat_index.size == 0


@pytest.mark.parametrize('name', ['RandomSelector', *SCORES, 'RIPUPixelSelector', 'RIPURegionSelector', 'RegionSelector'])
@pytest.mark.parametrize('portion', [0, 1.5])
def test_portion_outside_its_range_is_refused(name, portion):
    with pytest.raises(ValueError, match='portion'):
        build(name, portion=portion)


@pytest.mark.parametrize('arguments, message', [(dict(kind='regions'), 'kind'), (dict(spacing=-1), 'spacing')])
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build('EntropySelector', **arguments)


@pytest.mark.parametrize('name', EVERY)
def test_every_selector_is_blind_and_states_its_settings(name):
    selector = build(name)
    assert list(inspect.signature(selector.candidates).parameters) == ['outputs', 'key', 'generator']
    assert set(selector.inputs) <= {'prob', 'prob1', 'prob2', 'image', 'excluded'} and set(selector.inputs) != {'excluded'}
    assert selector.settings()['type'] == name and selector.kind in ('segments', 'points', 'regions')
    again = SELECTORS.build(json.loads(json.dumps(selector.settings())))
    assert again.settings() == selector.settings()


def test_settings_of_the_first_release_are_the_same_for_ever():
    # They are part of the identity of rounds that are paid for.
    assert LabORSPLSelector().settings() == dict(type='LabORSPLSelector', score='l1')
    assert RandomSelector().settings() == dict(type='RandomSelector', portion=0.05)
    assert build('EntropySelector', portion=.1).settings() == dict(type='EntropySelector', portion=0.1)
    assert build('EntropySelector', kind='points', spacing=2).settings() == dict(
        type='EntropySelector', portion=0.05, kind='points', spacing=2)
