# SPDX-License-Identifier: Apache-2.0
"""The rule of FDA's pseudo-labels against sorted lists."""
import math

import numpy as np
import pytest
import torch

from udatools.ops.histograms import merge_histograms, winning_prediction
from udatools.pseudo_labels import ClassBalancedPolicy
from udatools.registry import PSEUDO_LABEL_POLICIES


def labels_of(policy, predictions):
    winners = [winning_prediction(prob) for prob in predictions]
    theta = policy.fit(merge_histograms([policy.statistics(winner, 4) for winner in winners]), 4)
    return theta, [policy.label(prob, winner, theta).label for prob, winner in zip(predictions, winners, strict=True)]


def reference(predictions, portion, cap):
    """Lists of probabilities a class, every pixel in its place."""
    lists = [[] for _ in range(4)]
    pixels = [[[(float(np.float16(prob[:, y, x].max())), int(prob[:, y, x].argmax())) for x in range(prob.shape[2])]
               for y in range(prob.shape[1])] for prob in predictions]
    for rows in pixels:
        for row in rows:
            for value, winner in row:
                lists[winner].append(value)
    theta = [1.0] * 4
    for winner, values in enumerate(lists):
        count = math.floor(portion * len(values) + 1e-9)
        if count:
            theta[winner] = sorted(values, reverse=True)[count - 1]
    theta = [min(value, cap) for value in theta]
    return theta, [np.array([[winner if value >= theta[winner] else 255 for value, winner in row] for row in rows])
                   for rows in pixels]


@pytest.mark.parametrize('portion, cap', [(0.66, 0.9), (0.34, 0.9), (0.05, 0.6), (1.0, 1.0)])
def test_equals_the_rule(predictions, portion, cap):
    policy = PSEUDO_LABEL_POLICIES.build(dict(type='TopPortionPolicy', portion=portion, cap=cap))
    theta, labels = labels_of(policy, predictions)
    expected_theta, expected = reference(predictions, portion, cap)
    np.testing.assert_array_equal(theta, expected_theta)
    for label, truth in zip(labels, expected, strict=True):
        np.testing.assert_array_equal(label, truth)


def test_a_class_is_never_given_to_a_pixel_of_another(predictions):
    """Where ClassBalancedPolicy prefers the class with the larger ratio."""
    prob = torch.tensor([0.55, 0.45, 0, 0]).view(4, 1, 1)
    theta = np.array([0.9, 0.4, 1, 1])
    winner = winning_prediction(prob)
    assert ClassBalancedPolicy().label(prob, winner, theta).label.item() == 1
    assert PSEUDO_LABEL_POLICIES.build(dict(type='TopPortionPolicy')).label(prob, winner, theta).label.item() == 255


def test_settings_tell_it_from_class_balanced():
    policy = PSEUDO_LABEL_POLICIES.build(dict(type='TopPortionPolicy'))
    assert policy.settings() == dict(type='TopPortionPolicy', portion=0.66, stride=1, cap=0.9)
    with pytest.raises(ValueError, match='portion=1.2'):
        PSEUDO_LABEL_POLICIES.build(dict(type='TopPortionPolicy', portion=1.2))


@pytest.mark.parametrize('cap', [0, 1.5])
def test_a_cap_outside_its_range_is_refused(cap):
    with pytest.raises(ValueError, match=f'cap is {cap}'):
        PSEUDO_LABEL_POLICIES.build(dict(type='TopPortionPolicy', cap=cap))
