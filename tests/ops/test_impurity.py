# SPDX-License-Identifier: Apache-2.0
"""Sums over windows, impurity and uncertainty against pixel loops."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.impurity import region_impurity, ripu_score, window_sum, window_uncertainty


def window(array, y, x, radius):
    return array[..., max(0, y - radius):y + radius + 1, max(0, x - radius):x + radius + 1]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_window_sum_equals_slices(seed, height, width, radius):
    value = np.random.default_rng(seed).integers(-5, 2**40, (height, width))
    total = window_sum(torch.from_numpy(value), radius)
    assert total.tolist() == [[int(window(value, y, x, radius).sum()) for x in range(width)] for y in range(height)]


@pytest.mark.parametrize('radius', [1, 2, 20])
@pytest.mark.parametrize('size', [(6, 9), (1, 7), (1, 1)])
def test_score_equals_pixel_loops(size, radius):
    prob = (2 * torch.randn(4, *size, generator=torch.Generator().manual_seed(2))).softmax(0)
    p = prob.double().numpy()
    predicted, entropy = p.argmax(0), -(p * np.log(p)).sum(0)
    impurity, uncertainty = region_impurity(prob.argmax(0), 4, radius), window_uncertainty(prob, radius)
    score = ripu_score(prob, radius)
    for y in range(size[0]):
        for x in range(size[1]):
            inside = window(predicted, y, x, radius).ravel().tolist()
            share = [inside.count(k) / len(inside) for k in set(inside)]
            expected = -sum(s * math.log(s) for s in share) / math.log(4)
            assert impurity[y, x] == pytest.approx(expected, abs=1e-6)
            mean = window(entropy, y, x, radius).mean() / math.log(4)
            assert uncertainty[y, x] == pytest.approx(mean, abs=2e-6)
            assert score[y, x] == pytest.approx(expected * mean, abs=3e-6)


def test_one_class_everywhere_is_pure():
    prob = torch.tensor([.6, .4]).view(2, 1, 1).expand(2, 5, 5)
    assert not ripu_score(prob, 1).any()


def test_half_and_half_is_as_impure_as_two_classes_can_be():
    prob = torch.tensor([[[.5, .49], [.5, .49]], [[.5, .51], [.5, .51]]])
    assert ripu_score(prob, 1) == pytest.approx(1, abs=1e-3)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match='two or more'):
        ripu_score(torch.ones(1, 2, 2), 1)
