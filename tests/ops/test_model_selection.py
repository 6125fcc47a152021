# SPDX-License-Identifier: Apache-2.0
"""The three numbers against their formulas written out in plain loops."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.model_selection import label_agreement, mean_entropy, soft_neighbourhood_density


def softmax(shape, seed, sharpness=2.0):
    return (sharpness * torch.randn(shape, generator=torch.Generator().manual_seed(seed))).softmax(0)


def entropy_reference(prob):
    classes, height, width = prob.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            for c in range(classes):
                p = float(prob[c, y, x])
                total -= p * math.log(p) / math.log(classes) if p > 0 else 0.0
    return total / (height * width)


def density_reference(points, temperature):
    rows = [[float(v) for v in row] for row in points]
    rows = [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in rows]
    total = 0.0
    for i, row in enumerate(rows):
        scores = [sum(a * b for a, b in zip(row, other, strict=True)) / temperature for j, other in enumerate(rows) if j != i]
        weights = [math.exp(score - max(scores)) for score in scores]
        weights = [weight / sum(weights) for weight in weights]
        total -= sum(weight * math.log(weight) for weight in weights if weight > 0)
    return total / len(rows)


@pytest.mark.parametrize('shape', [(2, 3, 4), (5, 1, 1), (19, 4, 7)])
def test_entropy_is_the_formula(shape):
    prob = softmax(shape, 0)
    assert mean_entropy(prob) == pytest.approx(entropy_reference(prob), abs=1e-6)


def test_entropy_of_certain_and_uniform_predictions():
    certain = torch.zeros(3, 2, 2)
    certain[1] = 1
    assert mean_entropy(certain) == 0
    assert mean_entropy(torch.full((4, 2, 2), 0.25)) == pytest.approx(1.0)
    half = torch.stack([torch.tensor([[1.0, 0.5]]), torch.tensor([[0.0, 0.5]])])
    assert mean_entropy(half) == pytest.approx(0.5)
    assert math.isnan(mean_entropy(torch.full((2, 1, 1), math.nan)))


def test_agreement_counts_pixels_of_the_same_argmax():
    first = torch.tensor([[0.6, 0.4, 0.5], [0.4, 0.6, 0.5]]).view(2, 1, 3)  # a tie is the lower class
    second = torch.tensor([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]]).view(2, 1, 3)
    assert label_agreement(first, second) == pytest.approx(2 / 3)
    assert label_agreement(first, first) == 1
    assert label_agreement(second, 1 - second) == 0


def test_agreement_of_a_diverged_model_is_no_number():
    assert math.isnan(label_agreement(torch.full((2, 1, 1), math.nan), torch.full((2, 1, 1), math.nan)))


@pytest.mark.parametrize('count', [2, 3, 17])
@pytest.mark.parametrize('temperature', [0.05, 1.0])
def test_density_is_the_formula(count, temperature):
    points = softmax((6, count), count).T
    expected = density_reference(points, temperature)
    for chunk in (1, 4, 1000):
        assert soft_neighbourhood_density(points, temperature, chunk=chunk) == pytest.approx(expected, abs=1e-9)


def test_density_by_hand():
    one_hot = torch.eye(3)
    assert soft_neighbourhood_density(one_hot[[0, 0]]) == pytest.approx(0.0)  # a single neighbour
    assert soft_neighbourhood_density(one_hot[[0, 1, 2]]) == pytest.approx(math.log(2))  # all others are equally far
    # Two clusters of three: two near neighbours, the others weigh exp(-20).
    assert soft_neighbourhood_density(one_hot[[0, 0, 0, 1, 1, 1]]) == pytest.approx(math.log(2), abs=1e-6)
    assert soft_neighbourhood_density(one_hot[[0, 0, 0, 0]]) == pytest.approx(math.log(3))


def test_denser_clusters_are_better():
    """Same labels, sharper predictions: the neighbours within a class come closer to each other than to the rest."""
    centres = torch.eye(4)[torch.arange(40) % 4]
    noise = torch.rand(40, 4, generator=torch.Generator().manual_seed(0))
    tight, loose = (3 * centres + 0.1 * noise).softmax(1), (3 * centres + 3 * noise).softmax(1)
    assert soft_neighbourhood_density(tight) > soft_neighbourhood_density(loose)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 12), classes=st.integers(2, 5), seed=st.integers(0, 99))
def test_density_is_between_its_bounds_and_blind_to_order(count, classes, seed):
    points = softmax((classes, count), seed, sharpness=6.0).T
    value = soft_neighbourhood_density(points)
    assert -1e-9 <= value <= math.log(count - 1) + 1e-9
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert soft_neighbourhood_density(points[order]) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize('call, message', [
    (lambda: mean_entropy(torch.zeros(1, 2, 2)), 'two or more classes'),
    (lambda: mean_entropy(torch.zeros(1, 2, 2, 2)), r'expected \(C, H, W\)'),
    (lambda: label_agreement(torch.zeros(2, 2, 2), torch.zeros(2, 2, 3)), 'bring both to one size'),
    (lambda: soft_neighbourhood_density(torch.zeros(1, 3)), 'two or more points'),
    (lambda: soft_neighbourhood_density(torch.zeros(4, 3), 0.0), 'expected a positive number'),
])
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
