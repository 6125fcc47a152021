# SPDX-License-Identifier: Apache-2.0
"""The instance-adaptive rule against a literal loop over lists, and the rule that keeps pixels."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.histograms import class_histogram, winning_prediction
from udatools.ops.thresholds import class_balanced_label, class_balanced_thresholds, instance_adaptive_step, keep_confident


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


def literal_class_balanced(label, confidence, portion, num_classes):
    theta = []
    for c in range(num_classes):
        values = sorted((float(p) for p, winner in zip(confidence, label) if winner == c), reverse=True)
        rank = int(np.floor(portion * len(values))) - 1
        theta.append(values[rank] if rank >= 0 else 1.0)
    return theta


winners = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.25, 0.3, 0.5, 0.5004, 0.9, 1.0])), max_size=40)


@given(winners, st.sampled_from([0.2, 0.25, 0.5, 0.66, 1.0]))
@settings(max_examples=200, deadline=None)
def test_class_balanced_equals_sorting_with_ties_empty_and_one_pixel_classes(pairs, portion):
    label = np.array([c for c, _ in pairs], np.uint8)
    confidence = np.array([p for _, p in pairs], np.float16)
    theta = class_balanced_thresholds(class_histogram(label, confidence, 5), 5, portion)
    assert theta.tolist() == literal_class_balanced(label, confidence, portion, 5)


def test_class_balanced_by_hand():
    # Class 0: 10 pixels, portion 0.3 -> rank 2 of 1.0 0.9 0.8 ...; class 1: one pixel, rank -1 does not exist; class 2: none.
    label = np.array([0] * 10 + [1], np.uint8)
    confidence = np.array([k / 10 for k in range(1, 11)] + [0.7], np.float16)
    theta = class_balanced_thresholds(class_histogram(label, confidence, 3), 3, 0.3)
    assert theta.tolist() == [float(np.float16(0.8)), 1.0, 1.0]
    # The rank is that of the decimal number: 0.29 * 100 is 28.999999999999996 in double precision.
    values = np.arange(NUM, NUM + 100).astype(np.uint16).view(np.float16)
    theta = class_balanced_thresholds(class_histogram(np.zeros(100, np.uint8), values, 1), 1, 0.29)
    assert theta[0] == float(np.sort(values)[::-1][28])


NUM = 0x3800  # bit pattern of 0.5


@pytest.mark.parametrize('portion', [0.1, 0.2, 1.0])
def test_a_constant_prediction_keeps_everything(portion):
    prob = torch.tensor([0.3001, 0.6999])[:, None, None].expand(2, 5, 6)
    theta = class_balanced_thresholds(class_histogram(*winning_prediction(prob), 2), 2, portion)
    label, confidence = class_balanced_label(prob, theta)
    assert (label == 1).all() and (confidence == np.float16(0.6999)).all()


def test_class_balanced_label_by_hand():
    # Pixel 1: 0.5 / 0.4 beats 0.5 / 0.8. Pixel 2: 0.6 / 0.8 < 1 and 0.375 / 0.4 < 1. Pixel 3: 1 and 1, the lower class wins.
    prob = torch.tensor([[0.5, 0.625, 0.75, 0.75], [0.5, 0.375, 0.5, 0.25]])[:, None]
    label, confidence = class_balanced_label(prob, np.array([0.75, 0.5]))
    assert label.dtype == np.uint8 and label.tolist() == [[1, 255, 0, 0]]
    assert confidence.dtype == np.float16 and confidence.tolist() == [[0.5, 0.625, 0.75, 0.75]]
    assert class_balanced_label(prob, np.array([0.75, 0.5]), ignore_index=254)[0][0, 1] == 254


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_pixel_that_defines_a_threshold_is_kept(seed):
    """float32 probabilities of any size: thresholds are float16, comparisons consistent with that."""
    prob = (3 * torch.randn(4, 6, 7, generator=torch.Generator().manual_seed(seed))).softmax(0)
    winner = winning_prediction(prob)
    theta = class_balanced_thresholds(class_histogram(*winner, 4), 4, 0.4)
    label, _ = class_balanced_label(prob, theta)
    for c in range(4):
        values = np.sort(winner.confidence[winner.label == c])[::-1]
        count = int(np.floor(0.4 * len(values)))
        if count:
            confident = (winner.label == c) & (winner.confidence >= values[count - 1])
            assert confident.sum() >= count and (label[confident] != 255).all()
    others = (winner.confidence < theta[winner.label]) & (label != 255)
    rounded = prob.numpy().astype(np.float16).astype(np.float64)
    assert ((rounded / theta[:, None, None]).max(0)[others] >= 1).all()
