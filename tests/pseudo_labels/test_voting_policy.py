# SPDX-License-Identifier: Apache-2.0
"""The policy of TPLD's first phase: labels of the class-balanced one and more, of either of the two likeliest classes."""
import numpy as np
import pytest
import torch

from udatools.ops.histograms import winning_prediction
from udatools.ops.voting import densify_by_voting
from udatools.pseudo_labels import ClassBalancedPolicy, PseudoLabelStore, generate_pseudo_labels
from udatools.registry import PSEUDO_LABEL_POLICIES

THETA = np.array([0.8, 0.4, 0.5, 1.0])


def build(**arguments):
    return PSEUDO_LABEL_POLICIES.build(dict(type='VotedClassBalancedPolicy', **arguments))


def test_without_votes_it_is_the_class_balanced_policy(predictions):
    for prob in predictions:
        winner = winning_prediction(prob)
        voted, plain = (policy.label(prob, winner, THETA) for policy in (build(iterations=0), ClassBalancedPolicy()))
        assert np.array_equal(voted.label, plain.label) and np.array_equal(voted.confidence, plain.confidence)


def test_labels_are_votes_on_the_ratios_of_rounded_probabilities(predictions):
    policy, added, seconds = build(window=5, weight=0.25, iterations=2), 0, 0
    for prob in predictions:
        rounded = prob.half()
        order = (rounded.double() / torch.from_numpy(THETA).view(4, 1, 1)).sort(dim=0, descending=True, stable=True).indices[:2]
        ratios = (rounded.float() / torch.from_numpy(THETA).float().view(4, 1, 1)).gather(0, order)
        expected = densify_by_voting(order, ratios, window=5, weight=0.25, iterations=2).numpy()
        label, confidence = policy.label(prob, winning_prediction(prob), THETA)
        assert np.array_equal(label, expected)
        kept = label != 255
        chosen = np.where(kept, label, order[0].numpy())
        assert np.array_equal(confidence, np.take_along_axis(rounded.numpy(), chosen[None].astype(np.int64), 0)[0])
        added += int((kept & (ratios[0].numpy() < 1)).sum())
        seconds += int((label == order[1].numpy())[kept].sum())
    assert added > 0 and seconds > 0


def test_settings_tell_the_votes():
    policy = build(round=2)
    assert policy.settings() == dict(type='VotedClassBalancedPolicy', portion=0.25, stride=4, window=57, weight=0.7, iterations=3)


def test_through_the_generator_coverage_counts_the_votes(tmp_path, predictor, keys):
    plain = generate_pseudo_labels(predictor, keys, ClassBalancedPolicy(), PseudoLabelStore(tmp_path / 'plain'), 4)
    voted = generate_pseudo_labels(predictor, keys, build(window=5, weight=0.2), PseudoLabelStore(tmp_path / 'voted'), 4)
    assert 0 < plain.coverage['kept_pixels'] < voted.coverage['kept_pixels'] < voted.coverage['pixels']
    for key in keys:
        before, after = (PseudoLabelStore(tmp_path / name).read_label(key) for name in ('plain', 'voted'))
        assert np.array_equal(after[before != 255], before[before != 255])


@pytest.mark.parametrize('arguments', [dict(window=6), dict(weight=-0.1), dict(iterations=-1)])
def test_refuses(arguments):
    with pytest.raises(ValueError, match='expected an odd window'):
        build(**arguments)
