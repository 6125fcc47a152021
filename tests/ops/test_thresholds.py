# SPDX-License-Identifier: Apache-2.0
"""The instance-adaptive rule against a literal loop over lists, and the rule that keeps pixels."""
import numpy as np
import pytest

from udatools.ops.histograms import class_histogram
from udatools.ops.thresholds import instance_adaptive_step, keep_confident


def literal_step(theta, label, confidence, alpha, beta, gamma):
    updated = []
    for c, before in enumerate(theta):
        values = [before] + [float(p) for p in confidence[label == c]]
        candidate = np.percentile(values, 100 * (1 - alpha * before**gamma))
        after = beta * before + (1 - beta) * candidate
        updated.append(0.999 if after >= 1 else after)
    return np.array(updated)


@pytest.mark.parametrize('alpha', [0.2, 0.3, 1.0])
def test_recursion_over_images_equals_the_literal_loop(alpha):
    rng = np.random.default_rng(0)
    theta = expected = np.full(6, 0.9)
    for _ in range(20):
        label = rng.choice(6, (12, 15), p=[0.5, 0.3, 0.15, 0.04, 0.01, 0]).astype(np.uint8)  # class 5 never occurs
        confidence = rng.beta(6, 1, (12, 15)).astype(np.float16)
        theta = instance_adaptive_step(theta, class_histogram(label, confidence, 6), alpha, 0.9, 8.0)
        expected = literal_step(expected, label, confidence, alpha, 0.9, 8.0)
        np.testing.assert_allclose(theta, expected, rtol=1e-12)
    assert theta[5] == pytest.approx(0.9) and not np.allclose(theta[:4], 0.9)


def test_step_by_hand():
    # list = [0.5, 0.25, 0.75, 1.0], sorted 0.25 0.5 0.75 1; percentile 100 * (1 - 0.5 * 0.5) = 75 at position 2.25.
    histogram = class_histogram(np.zeros(3, np.uint8), np.array([0.25, 0.75, 1.0], np.float16), 1)
    assert instance_adaptive_step(np.array([0.5]), histogram, 0.5, 0.5, 1.0) == pytest.approx([(0.5 + 0.8125) / 2])


def test_a_threshold_never_reaches_one():
    histogram = class_histogram(np.zeros(9, np.uint8), np.ones(9, np.float16), 1)
    assert instance_adaptive_step(np.array([0.9]), histogram, 0.2, 0.0, 8.0) == 0.999


def test_input_is_not_changed():
    theta = np.array([0.9])
    instance_adaptive_step(theta, class_histogram(np.zeros(1, np.uint8), np.zeros(1, np.float16), 1), 1.0, 0.5, 0.0)
    assert theta[0] == 0.9


def test_keep_at_the_threshold_and_ignore_below():
    label = np.array([[0, 0, 1, 1]], np.uint8)
    confidence = np.array([[0.5, 0.4998, 0.75, 0.25]], np.float16)
    kept = keep_confident(label, confidence, np.array([0.5, 0.7]))
    assert kept.dtype == np.uint8 and kept.tolist() == [[0, 255, 1, 255]]


def test_thresholds_are_compared_in_double_precision():
    # float16(0.9) is 0.89990234375: below 0.9, equal only after rounding the threshold.
    assert keep_confident(np.zeros((1, 1), np.uint8), np.full((1, 1), 0.9, np.float16), np.array([0.9]))[0, 0] == 255
