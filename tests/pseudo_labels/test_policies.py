# SPDX-License-Identifier: Apache-2.0
"""The policy classes: defaults of the paper, a share of confident pixels a round, clear errors."""
import numpy as np
import pytest
import torch

from udatools.ops.histograms import class_histogram, winning_prediction
from udatools.ops.thresholds import instance_adaptive_step
from udatools.pseudo_labels import ClassBalancedPolicy, InstanceAdaptivePolicy
from udatools.registry import PSEUDO_LABEL_POLICIES


def test_defaults_are_those_of_the_paper_and_step_is_the_rule():
    policy = PSEUDO_LABEL_POLICIES.build(dict(type='InstanceAdaptivePolicy'))
    assert isinstance(policy, InstanceAdaptivePolicy) and not policy.needs_whole_set
    theta = policy.initial_thresholds(3)
    assert theta.tolist() == [0.9, 0.9, 0.9]
    histogram = class_histogram(np.array([0, 1, 1], np.uint8), np.array([0.2, 0.6, 0.95], np.float16), 3)
    assert np.array_equal(policy.step(theta, histogram), instance_adaptive_step(theta, histogram, 0.2, 0.9, 8.0))


@pytest.mark.parametrize('round, alpha', [(1, 0.2), (2, 0.25), (3, 0.3), (4, 0.3), ('2', 0.25)])
def test_alpha_of_the_round(round, alpha):
    assert InstanceAdaptivePolicy(alpha=[0.2, 0.25, 0.3], round=round).alpha == alpha


@pytest.mark.parametrize('arguments', [dict(alpha=0), dict(alpha=1.1), dict(alpha=[]), dict(beta=1.5), dict(gamma=-1),
                                       dict(initial=1.0), dict(round=0)])
def test_values_outside_their_range_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        InstanceAdaptivePolicy(**arguments)


def test_settings_follow_what_the_labels_depend_on():
    assert InstanceAdaptivePolicy(0.2).settings() != InstanceAdaptivePolicy(0.25).settings()
    assert InstanceAdaptivePolicy([0.2, 0.3]).settings() == InstanceAdaptivePolicy(0.2).settings()


@pytest.mark.parametrize('round, portion', [(1, 0.2), ('2', 0.25), (3, 0.3), (7, 0.5), (40, 0.5)])
def test_portion_of_the_round(round, portion):
    assert ClassBalancedPolicy(round=round).portion == portion


def test_a_portion_above_the_maximum_stays():
    assert ClassBalancedPolicy(0.66).portion == 0.66 == ClassBalancedPolicy(0.66, round=3).portion


@pytest.mark.parametrize('arguments', [dict(portion=0), dict(portion=1.1), dict(maximum=0), dict(step=-0.1), dict(stride=0),
                                       dict(round=0)])
def test_class_balanced_values_outside_their_range_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        ClassBalancedPolicy(**arguments)


def test_class_balanced_counts_every_fourth_pixel_in_raster_order():
    policy = PSEUDO_LABEL_POLICIES.build(dict(type='ClassBalancedPolicy'))
    label = np.arange(15, dtype=np.uint8).reshape(3, 5)
    confidence = (np.arange(15) / 16).astype(np.float16).reshape(3, 5)
    histogram = policy.statistics(type(winning_prediction(torch.ones(1, 1, 1)))(label, confidence), 15)
    assert histogram.classes.tolist() == [0, 4, 8, 12] and policy.needs_whole_set


def test_thresholds_by_hand():
    label, confidence = np.array([0, 0, 1, 1], np.uint8), np.array([0.95, 0.95, 0.5, 0.6], np.float16)
    histogram = class_histogram(label, confidence, 3)
    assert ClassBalancedPolicy(0.5).fit(histogram, 3).tolist() == [float(np.float16(0.95)), float(np.float16(0.6)), 1.0]


def test_class_balanced_settings_follow_what_the_labels_depend_on():
    settings = [ClassBalancedPolicy(**kwargs).settings() for kwargs in ({}, dict(round=2), dict(stride=1))]
    assert len({str(each) for each in settings}) == 3
    assert ClassBalancedPolicy(0.25).settings() == ClassBalancedPolicy(round=2).settings()
