# SPDX-License-Identifier: Apache-2.0
"""Normalised entropy of class histograms."""
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.evaluation.evenness import normalised_entropy


def test_normalised_entropy_by_hand():
    assert normalised_entropy([3, 3, 3, 3], 4) == 1.0
    assert normalised_entropy([8, 0, 0, 0], 4) == 0.0
    assert normalised_entropy([2, 2], 4) == pytest.approx(0.5)
    # 1/2, 1/4, 1/4 has 1.5 bits of log2(3).
    assert normalised_entropy([2, 1, 1], 3) == pytest.approx(1.5 / math.log2(3))
    assert math.isnan(normalised_entropy([0, 0], 2)) and math.isnan(normalised_entropy([], 5))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=20).filter(any))
def test_normalised_entropy_lies_in_0_1_and_ignores_order_and_scale(counts):
    value = normalised_entropy(counts, len(counts))
    assert 0.0 <= value <= 1.0
    assert normalised_entropy(counts[::-1], len(counts)) == pytest.approx(value)
    assert normalised_entropy([7 * count for count in counts], len(counts)) == pytest.approx(value)
    assert normalised_entropy(counts, len(counts) + 3) <= value + 1e-12


@pytest.mark.parametrize('counts, classes', [([1, -1], 2), ([1, 1, 1], 2), ([1], 1)])
def test_normalised_entropy_refuses_what_is_no_histogram(counts, classes):
    with pytest.raises(ValueError, match='counts'):
        normalised_entropy(counts, classes)
