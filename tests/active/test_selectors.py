# SPDX-License-Identifier: Apache-2.0
"""Selectors against pixel loops; randomness only from the generator; blind to labels."""
import inspect

import numpy as np
import pytest
import torch

from udatools.active import EntropySelector, LabORSPLSelector, RandomSelector
from udatools.registry import SELECTORS


@pytest.fixture
def outputs():
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(4, 10, 13, generator=generator).softmax(0) for name in ('prob', 'prob1', 'prob2')}


def rng(seed=0):
    return np.random.default_rng(seed)


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
    assert found.score.dtype == np.float16
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
    found = LabORSPLSelector().candidates(dict(prob1=outputs['prob'], prob2=outputs['prob']), 'a', rng())
    assert found.flat_index.size == found.score.size == 0


def test_random_is_a_function_of_the_generator(outputs):
    selector = RandomSelector(portion=0.2)
    first, again, other = (selector.candidates(outputs, 'a', rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.flat_index, again.flat_index) and np.array_equal(first.score, again.score)
    assert not np.array_equal(first.flat_index, other.flat_index)
    assert len(np.unique(first.flat_index)) == 26 and first.flat_index.max() < 130


def test_entropy_takes_the_most_uncertain(outputs):
    found = EntropySelector(portion=0.1).candidates(outputs, 'a', rng())
    p = outputs['prob'].double().numpy()
    value = -(p * np.log(p)).sum(0).ravel()
    assert sorted(found.flat_index) == sorted(np.argsort(-value)[:13])
    np.testing.assert_allclose(found.score, value[found.flat_index], rtol=2e-3)


@pytest.mark.parametrize('name', ['RandomSelector', 'EntropySelector'])
@pytest.mark.parametrize('portion', [0, 1.5])
def test_portion_outside_its_range_is_refused(name, portion):
    with pytest.raises(ValueError, match='portion'):
        SELECTORS.build(dict(type=name, portion=portion))


@pytest.mark.parametrize('name', ['LabORSPLSelector', 'RandomSelector', 'EntropySelector'])
def test_every_selector_is_blind_and_states_its_settings(name):
    selector = SELECTORS.build(dict(type=name))
    assert list(inspect.signature(selector.candidates).parameters) == ['outputs', 'key', 'generator']
    assert set(selector.inputs) <= {'prob', 'prob1', 'prob2'} and selector.inputs
    assert selector.settings()['type'] == name
