# SPDX-License-Identifier: Apache-2.0
"""Sliding-window voting against loops over pixels and neighbours, with exact fractions; a vote worked out by hand."""
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.voting import densify_by_voting, window_sum


def neighbours(y, x, shape, window):
    reach = window // 2
    return [(j, i) for j in range(max(0, y - reach), min(shape[0], y + reach + 1))
            for i in range(max(0, x - reach), min(shape[1], x + reach + 1))]


def literal_vote(classes, ratios, window, weight, iterations):
    """Pixel by pixel; values are the fractions that the rule says, voters' rounded to multiples of 2**-16."""
    shape = classes.shape[1:]
    label, value = np.full(shape, 255), {}
    for pixel in np.ndindex(shape):
        if ratios[(0, *pixel)] >= 1:
            label[pixel] = classes[(0, *pixel)]
            value[pixel] = Fraction(round(Fraction(float(ratios[(0, *pixel)])) * 2**16), 2**16)
    for _ in range(iterations):
        before, voters = label.copy(), dict(value)
        for pixel in np.ndindex(shape):
            if before[pixel] != 255:
                continue
            best = None
            for place in (0, 1):
                c = classes[(place, *pixel)]
                found = [voters[other] for other in neighbours(*pixel, shape, window) if before[other] == c]
                pooled = sum(found) / len(found) if found else Fraction(0)
                vote = weight * Fraction(float(ratios[(place, *pixel)])) + (1 - weight) * pooled
                if best is None or vote > best[0]:
                    best = vote, c
            if best[0] >= 1:
                label[pixel], value[pixel] = best[1], Fraction(round(best[0] * 2**16), 2**16)
    return label


def make_maps(seed, shape=(5, 8), num_classes=4):
    """Ratios around 1, so that some pixels are labelled, some outvoted and some left."""
    rng = np.random.default_rng(seed)
    ratio = rng.uniform(0.3, 1.3, (num_classes, *shape)).astype(np.float32)
    ratio[rng.integers(num_classes)] *= 0.5
    order = np.argsort(-ratio, axis=0, kind='stable')[:2]
    return torch.from_numpy(order), torch.from_numpy(np.take_along_axis(ratio, order, 0) * np.float32(0.9))


@pytest.mark.parametrize('window', [1, 3, 5, 31])
def test_window_sum_equals_a_loop(window):
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 1 << 40, (6, 9)))
    y, x = torch.arange(54) // 9, torch.arange(54) % 9
    expected = [sum(int(values[at]) for at in neighbours(*pixel, (6, 9), window)) for pixel in np.ndindex(6, 9)]
    assert window_sum(values, window, y, x).tolist() == expected


@given(seed=st.integers(0, 10**6), window=st.sampled_from([1, 3, 5, 21]), weight=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
       iterations=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_labels_equal_the_literal_loop(seed, window, weight, iterations):
    classes, ratios = make_maps(seed)
    voted = densify_by_voting(classes, ratios, window=window, weight=weight, iterations=iterations)
    expected = literal_vote(classes.numpy(), ratios.numpy(), window, Fraction(weight), iterations)
    assert voted.dtype == torch.uint8 and np.array_equal(voted.numpy(), expected)


def test_more_votes_only_add_labels():
    classes, ratios = make_maps(3, shape=(9, 13))
    counts, before = [], None
    for iterations in range(4):
        label = densify_by_voting(classes, ratios, window=3, weight=0.5, iterations=iterations)
        if before is None:
            assert torch.equal(label != 255, ratios[0] >= 1)
        else:
            assert torch.equal(label[before != 255], before[before != 255])
        counts.append(int((label != 255).sum()))
        before = label
    assert counts[0] < counts[1] < counts[2] <= counts[3] < classes[0].numel()


def test_a_vote_by_hand():
    """A row: class 1 at 1.5; 1 against 0; 1 against 0 out of the reach of a labelled pixel; class 0 just short of 1."""
    classes = torch.tensor([[[1, 0, 0, 0]], [[0, 1, 1, 2]]])
    ratios = torch.tensor([[[1.5, 0.9, 0.9, 0.99]], [[0.1, 0.875, 0.8, 0.1]]])
    # Second pixel: class 0 has 0.5 * 0.9, class 1 has 0.5 * 0.875 + 0.5 * 1.5 = 1.1875. The third: 0.4 + 0.5 * 1.1875 = 0.99375.
    vote = dict(window=3, weight=0.5)
    assert densify_by_voting(classes, ratios, iterations=1, **vote).tolist() == [[1, 1, 255, 255]]
    assert densify_by_voting(classes, ratios, iterations=3, **vote).tolist() == [[1, 1, 255, 255]]
    ratios[1, 0, 2] = 0.85  # 0.425 + 0.59375 = 1.01875, in the second iteration only
    assert densify_by_voting(classes, ratios, iterations=1, **vote).tolist() == [[1, 1, 255, 255]]
    assert densify_by_voting(classes, ratios, iterations=2, **vote).tolist() == [[1, 1, 1, 255]]


def test_the_first_of_equal_votes_wins_and_one_is_enough():
    classes, ratios = torch.tensor([[[2, 3, 3]], [[3, 2, 2]]]), torch.tensor([[[1.5, 0.5, 1.5]], [[0.1, 0.5, 0.1]]])
    assert densify_by_voting(classes, ratios, window=3, weight=0.5, iterations=1).tolist() == [[2, 3, 3]]  # both have exactly 1


def test_a_single_class_has_no_rival():
    classes, ratios = torch.zeros(2, 1, 2, dtype=torch.long), torch.tensor([[[1.5, 0.75]], [[-1.0, -1.0]]])
    assert densify_by_voting(classes, ratios, window=3, weight=0.5).tolist() == [[0, 0]]


@pytest.mark.parametrize('arguments', [dict(window=4), dict(window=0), dict(window=3, weight=1.1), dict(window=3, iterations=-1)])
def test_refuses(arguments):
    with pytest.raises(ValueError, match='expected an odd window'):
        densify_by_voting(*make_maps(0), **arguments)
