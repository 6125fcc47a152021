# SPDX-License-Identifier: Apache-2.0
"""The policy classes: defaults of the paper, a share of confident pixels a round, clear errors."""
import numpy as np
import pytest

from udatools.ops.histograms import class_histogram
from udatools.ops.thresholds import instance_adaptive_step
from udatools.pseudo_labels import InstanceAdaptivePolicy
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
