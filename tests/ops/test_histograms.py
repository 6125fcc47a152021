# SPDX-License-Identifier: Apache-2.0
"""Exactness of histograms on float16 bit patterns, against numpy on the full lists."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.histograms import NUM_BINS, ClassCounts, class_histogram, merge_histograms, percentile_with, winning_prediction

probabilities = st.lists(st.floats(0, 1, width=16), min_size=0, max_size=60)


def counts_of(values: np.ndarray) -> ClassCounts:
    return ClassCounts(class_histogram(np.zeros(len(values), np.uint8), values.astype(np.float16), 1), 0)


def test_every_float16_between_zero_and_one_has_its_own_bin_in_order():
    values = np.arange(NUM_BINS, dtype=np.uint16).view(np.float16)
    assert values[0] == 0 and values[-1] == 1 and (np.diff(values.astype(np.float64)) > 0).all()
    histogram = class_histogram(np.zeros(NUM_BINS, np.uint8), values, 1)
    assert histogram.bins.tolist() == list(range(NUM_BINS)) and (histogram.counts == 1).all()


def test_winning_prediction_is_argmax_and_float16_of_the_maximum():
    prob = torch.rand(5, 7, 9, generator=torch.Generator().manual_seed(0)).softmax(0)
    label, confidence = winning_prediction(prob)
    assert label.dtype == np.uint8 and confidence.dtype == np.float16
    assert np.array_equal(label, prob.numpy().argmax(0))
    assert np.array_equal(confidence, prob.numpy().max(0).astype(np.float16))


@pytest.mark.parametrize('prob', [torch.full((2, 2, 2), float('nan')), torch.ones(3, 3), torch.ones(0, 3, 3)])
def test_winning_prediction_refuses_what_is_no_probability_map(prob):
    with pytest.raises(ValueError, match='prob_chw'):
        winning_prediction(prob)


def test_histogram_counts_per_class_with_hand_worked_values():
    label = np.array([[0, 0, 2], [2, 2, 2]], np.uint8)
    confidence = np.array([[0.5, 1.0, 0.5], [0.5, 0.0, -0.0]], np.float16)
    histogram = class_histogram(label, confidence, 3)
    half = int(np.float16(0.5).view(np.uint16))
    cells = list(zip(histogram.classes.tolist(), histogram.bins.tolist(), histogram.counts.tolist()))
    assert cells == [(0, half, 1), (0, 0x3C00, 1), (2, 0, 2), (2, half, 2)]


@pytest.mark.parametrize('label, confidence, message', [
    (np.zeros(2, np.uint8), np.zeros(2, np.float32), 'float16'),
    (np.zeros(2, np.uint8), np.zeros(3, np.float16), 'same'),
    (np.full(2, 4, np.uint8), np.zeros(2, np.float16), r'0\.\.1'),
    (np.zeros(2, np.uint8), np.full(2, 1.5, np.float16), r'outside \[0, 1\]'),
    (np.zeros(2, np.uint8), np.full(2, -0.5, np.float16), r'outside \[0, 1\]'),
    (np.zeros(2, np.uint8), np.full(2, np.nan, np.float16), r'outside \[0, 1\]'),
])
def test_histogram_refuses_bad_input(label, confidence, message):
    with pytest.raises(ValueError, match=message):
        class_histogram(label, confidence, 2)


@given(probabilities, st.floats(1e-6, 1 - 1e-6), st.floats(0, 100))
@settings(max_examples=300, deadline=None)
def test_percentile_equals_numpy_on_the_list_with_the_extra_element(values, theta, percent):
    array = np.array(values, np.float16)
    expected = np.percentile(np.concatenate([[theta], array.astype(np.float64)]), percent)
    assert percentile_with(counts_of(array), theta, percent) == pytest.approx(expected, rel=1e-14, abs=1e-300)


@pytest.mark.parametrize('values', [[], [0.3], [0.7] * 50, [0.25, 0.25, 0.5, 0.5, 0.5, 1.0]])
@pytest.mark.parametrize('theta', [0.1, 0.5, 0.9, 0.3000001])
@pytest.mark.parametrize('percent', [0, 12.5, 50, 80, 99.9, 100])
def test_percentile_with_ties_single_constant_and_empty(values, theta, percent):
    array = np.array(values, np.float16)
    expected = np.percentile([theta, *array.astype(np.float64)], percent)
    assert percentile_with(counts_of(array), theta, percent) == pytest.approx(expected, rel=1e-14)


def test_percentile_on_a_real_sized_image_equals_numpy_bit_for_bit():
    values = np.random.default_rng(0).beta(8, 1, 200_000).astype(np.float16)
    counts = counts_of(values)
    for theta, percent in [(0.9, 91.4), (0.123456789, 80.0), (0.999, 63.7)]:
        expected = np.percentile(np.concatenate([[theta], values.astype(np.float64)]), percent)
        assert percentile_with(counts, theta, percent) == expected


@pytest.mark.parametrize('percent', [-1, 101, float('nan')])
def test_percentile_refuses_a_percent_outside_its_range(percent):
    with pytest.raises(ValueError, match='percent'):
        percentile_with(counts_of(np.zeros(1)), 0.5, percent)


@given(probabilities.filter(len))
@settings(max_examples=100, deadline=None)
def test_rank_lookup_equals_sorting(values):
    array = np.array(values, np.float16)
    counts = counts_of(array)
    ordered = np.sort(array).astype(np.float64)
    assert [counts.ascending(i) for i in range(len(counts))] == ordered.tolist()
    assert [counts.descending(i) for i in range(len(counts))] == ordered[::-1].tolist()
    with pytest.raises(IndexError):
        counts.ascending(len(array))
    with pytest.raises(IndexError):
        counts.descending(len(array))


def test_merging_parts_equals_counting_the_whole():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 4, 5000).astype(np.uint8)
    confidence = rng.random(5000).astype(np.float16)
    whole = class_histogram(label, confidence, 4)
    merged = merge_histograms([class_histogram(label[i::3], confidence[i::3], 4) for i in range(3)])
    for a, b in zip(whole, merged):
        assert np.array_equal(a, b)
    assert merge_histograms([]).counts.size == 0
