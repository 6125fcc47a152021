# SPDX-License-Identifier: Apache-2.0
"""Easy and hard images: scores by hand and by loops, where a set is cut, and the file of the generator that labels it."""
import json
import math

import numpy as np
import pytest
import torch

from udatools.ops.histograms import winning_prediction
from udatools.pseudo_labels import (
    ClassBalancedPolicy,
    ClipAdaptivePolicy,
    ConfidenceRanking,
    EntropyRanking,
    InstanceAdaptivePolicy,
    PseudoLabelStore,
    TopPortionPolicy,
    generate_pseudo_labels,
)
from udatools.registry import IMAGE_RANKINGS

THETA = np.array([0.8, 0.4, 0.5, 1.0])


def score(ranking, prob, theta=THETA):
    return ranking.difficulty(prob, winning_prediction(prob), theta)


def literal_confidence(prob, theta):
    """Eq. of TPLD on lists, a class after the other."""
    shares = []
    for c in range(prob.shape[0]):
        pixels = [at for at in np.ndindex(tuple(prob.shape[1:])) if int(prob[(slice(None), *at)].argmax()) == c]
        values = [float(np.float16(prob[(c, *at)])) for at in pixels]
        if values:
            shares.append(sum(value >= theta[c] for value in values) / len(values) / theta[c])
    return sum(shares) / len(shares)


def literal_entropy(prob):
    total = -sum(float(p) * math.log(float(p)) for p in prob.flatten() if p > 0)
    return total / (prob.shape[1] * prob.shape[2] * math.log(prob.shape[0]))


def test_scores_equal_loops(predictions):
    confident = [score(ConfidenceRanking(), prob) for prob in predictions]
    assert confident == pytest.approx([-literal_confidence(prob, THETA) for prob in predictions], rel=1e-12)
    entropies = [score(EntropyRanking(), prob) for prob in predictions]
    assert entropies == pytest.approx(list(map(literal_entropy, predictions)), rel=1e-5)
    assert len(set(confident)) > 3


def test_scores_by_hand():
    prob = torch.tensor([[0.9, 0.6, 0.1, 0.5], [0.1, 0.4, 0.9, 0.5]])[:, None]  # winners 0, 0, 1, 0
    # Class 0: one of three pixels reaches 0.8; class 1: its only one reaches 0.5.
    assert score(ConfidenceRanking(), prob, np.array([0.8, 0.5])) == pytest.approx(-(1 / 3 / 0.8 + 1 / 0.5) / 2)
    # Class 1 is not there, and the float16 of 0.9 is below 0.9.
    assert score(ConfidenceRanking(), prob[..., :2], np.array([0.9, 0.5])) == 0
    assert score(EntropyRanking(), torch.full((4, 2, 3), 0.25)) == pytest.approx(1.0)
    certain = torch.zeros(4, 2, 3)
    certain[2] = 1
    assert score(EntropyRanking(), certain) == 0


@pytest.mark.parametrize('portion, count, easy', [
    (0.67, 3, 2), (0.3, 3, 1), (0.3, 10, 3), (0.01, 10, 1), (0.99, 10, 9), (0.5, 2, 1)])
def test_where_a_set_is_cut(portion, count, easy):
    difficulties = {f'image_{i:02d}': -i / 7 for i in range(count)}
    split = EntropyRanking(portion).split(difficulties)
    assert split['easy'] == [f'image_{i:02d}' for i in range(count - 1, count - 1 - easy, -1)]
    assert sorted(split['easy'] + split['hard']) == list(difficulties) and split['difficulty'] == difficulties


def test_ties_are_cut_by_key_whatever_the_order():
    assert ConfidenceRanking(0.5).split(dict(d=0.0, b=0.0, c=0.0, a=0.5))['easy'] == ['b', 'c']
    assert ConfidenceRanking(0.5).split(dict(a=0.5, c=0.0, b=0.0, d=0.0))['easy'] == ['b', 'c']


def test_refuses():
    for portion in (0, 1, -0.2, 1.5):
        with pytest.raises(ValueError, match=rf'portion is {portion}'):
            IMAGE_RANKINGS.build(dict(type='EntropyRanking', portion=portion))
    with pytest.raises(ValueError, match='1 image cannot be cut'):
        EntropyRanking().split(dict(a=0.1))
    assert [IMAGE_RANKINGS.build(dict(type=name)).portion for name in ('EntropyRanking', 'ConfidenceRanking')] == [0.67, 0.3]


@pytest.mark.parametrize('policy', [InstanceAdaptivePolicy, ClassBalancedPolicy])
def test_the_pass_that_labels_writes_the_split(tmp_path, predictor, predictions, keys, policy):
    """With the thresholds that label each image."""
    store = PseudoLabelStore(tmp_path)
    generate_pseudo_labels(predictor, keys, policy(), store, 4, ranking=ConfidenceRanking(0.4), class_names='abcd')
    assert predictor.inferred == list(range(7))
    thresholds = json.loads((tmp_path / 'thresholds.json').read_text())
    split = store.read_split()
    for key, prob in zip(keys, predictions):
        theta = thresholds['images'].get(key, list(thresholds['final'].values()))
        assert split['difficulty'][key] == pytest.approx(-literal_confidence(prob, theta))
    assert split['ranking'] == dict(type='ConfidenceRanking', portion=0.4)
    assert len(split['easy']) == 3 and sorted(split['easy'] + split['hard']) == keys


def test_every_pixel_can_be_labelled(tmp_path, predictor, predictions, keys):
    """IntraDA: the labels of easy images are the argmax."""
    store = PseudoLabelStore(tmp_path)
    generate_pseudo_labels(predictor, keys, TopPortionPolicy(portion=1.0, cap=None), store, 4, ranking=EntropyRanking())
    for key, prob in zip(keys, predictions):
        assert np.array_equal(store.read_label(key), prob.argmax(0).numpy())
    order = sorted(keys, key=lambda key: literal_entropy(predictions[keys.index(key)]))
    split = store.read_split()
    assert split['easy'] == order[:5] and split['hard'] == order[5:]


@pytest.mark.distributed
@pytest.mark.parametrize('policy', [InstanceAdaptivePolicy, ClassBalancedPolicy])
def test_the_split_does_not_depend_on_the_number_of_ranks(tmp_path, predictor, keys, tree, run_ranks, policy):

    def generate(out_dir):
        generate_pseudo_labels(
            predictor, keys, policy(), PseudoLabelStore(out_dir), 4, ranking=ConfidenceRanking(), input_hash='h')

    generate(tmp_path / 'one')
    assert [error for _, error in run_ranks(lambda rank: generate(tmp_path / 'many'), 3)] == [None] * 3
    assert tree(tmp_path / 'one') == tree(tmp_path / 'many') and 'split.json' in tree(tmp_path / 'one')


def test_without_its_split_a_generation_is_redone(tmp_path, predictor, keys, tree):

    def generate(**arguments):
        store = PseudoLabelStore(tmp_path)
        return generate_pseudo_labels(predictor, keys, ClassBalancedPolicy(), store, 4, **arguments).generated

    assert generate(ranking=EntropyRanking()) and not generate(ranking=EntropyRanking())
    before = tree(tmp_path)
    (tmp_path / 'split.json').unlink()
    assert not generate() and generate(ranking=EntropyRanking())
    assert tree(tmp_path) == before


def test_clips_are_not_ranked(tmp_path, predictor, keys):
    with pytest.raises(ValueError, match='EntropyRanking ranks images by their probabilities; use a policy for images'):
        generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), PseudoLabelStore(tmp_path), 4, clips=dict(a=range(7)),
                               ranking=EntropyRanking())
