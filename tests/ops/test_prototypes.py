# SPDX-License-Identifier: Apache-2.0
"""Representative points against loops over classes and pixels."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops import prototypes
from udatools.ops.prototypes import class_prototypes, nearest_to_prototypes

DISTANCE = {
    'l1': lambda a, b: np.abs(a - b).sum(),
    'l2': lambda a, b: ((a - b)**2).sum(),
    'cosine': lambda a, b: 1 - (a @ b) / np.sqrt((a @ a) * (b @ b)),
}


def literal(prob, mask, class_hw, distance, points, min_distance, allowed):
    """{(order, class): flat index}, written as the paper says it."""
    picks, (num_classes, height, width) = {}, prob.shape
    for k in range(num_classes):
        inside = [(y, x) for y in range(height) for x in range(width) if mask[y, x] and class_hw[y, x] == k]
        if not inside:
            continue
        mean = np.mean([prob[:, y, x] for y, x in inside], axis=0)
        left = {(y, x): DISTANCE[distance](prob[:, y, x], mean) for y, x in inside if allowed[y, x]}
        for order in range(points):
            if not left:
                break
            nearest = min(left.values())
            v, u = min(place for place, value in left.items() if value <= nearest + 1e-12)
            picks[order, k] = v * width + u
            left = {(y, x): value for (y, x), value in left.items()
                    if (y, x) != (v, u) and (y - v)**2 + (x - u)**2 >= min_distance**2}
    return picks


def found(picks):
    return {(int(o), int(k)): int(i) for i, o, k in zip(*(t.tolist() for t in picks))}


@given(st.integers(0, 2**32 - 1), st.sampled_from(['l1', 'l2', 'cosine']), st.integers(1, 4), st.sampled_from([0, 1, 2.5, 6]),
       st.sampled_from([(7, 8), (1, 9), (1, 1)]))
@settings(max_examples=50, deadline=None)
def test_picks_equal_loops_over_classes_and_pixels(seed, distance, points, min_distance, size):
    rng = np.random.default_rng(seed)
    # Few distinct vectors, so that equal distances are common.
    vectors = rng.dirichlet(np.ones(3), 6).astype(np.float32)
    prob = np.moveaxis(vectors[rng.integers(0, 6, size)], -1, 0)
    mask, allowed, class_hw = rng.random(size) < 0.6, rng.random(size) < 0.8, rng.integers(0, 3, size)
    picks = nearest_to_prototypes(
        torch.from_numpy(prob.copy()), torch.from_numpy(mask), torch.from_numpy(class_hw), distance=distance,
        points_per_class=points, min_distance=min_distance, allowed=torch.from_numpy(allowed))
    assert found(picks) == literal(prob.astype(float), mask, class_hw, distance, points, min_distance, allowed)


def test_by_hand():
    prob = torch.tensor([[[.9, .5, .8, .1]], [[.1, .5, .2, .9]]])
    mask, class_hw = torch.tensor([[True, True, True, True]]), torch.tensor([[0, 0, 0, 1]])
    assert found(nearest_to_prototypes(prob, mask, class_hw)) == {(0, 0): 2, (0, 1): 3}  # mean .733: .8 is nearest
    assert found(nearest_to_prototypes(prob, mask, class_hw, points_per_class=9)) == {
        (0, 0): 2, (1, 0): 0, (2, 0): 1, (0, 1): 3}
    assert found(nearest_to_prototypes(prob, mask, class_hw, points_per_class=9, min_distance=2)) == {
        (0, 0): 2, (1, 0): 0, (0, 1): 3}


def test_prototypes_are_of_the_whole_mask_also_where_nothing_may_be_asked():
    prob = torch.tensor([[[0., .4, .5, 1., 1.]], [[1., .6, .5, 0., 0.]]])
    mask, class_hw = torch.ones(1, 5, dtype=torch.bool), torch.zeros(1, 5, dtype=torch.int64)  # mean .58
    allowed = torch.tensor([[True, True, False, True, True]])
    assert found(nearest_to_prototypes(prob, mask, class_hw, allowed=allowed)) == {(0, 0): 1}


def test_an_empty_mask_gives_nothing():
    empty = torch.zeros(3, 4, dtype=torch.bool)
    picks = nearest_to_prototypes(torch.full((2, 3, 4), .5), empty, torch.zeros(3, 4, dtype=torch.int64))
    assert all(part.numel() == 0 and part.dtype == torch.int64 for part in picks)


@pytest.mark.parametrize('distance', ['l1', 'l2', 'cosine'])
def test_chunks_change_nothing(monkeypatch, distance):
    generator = torch.Generator().manual_seed(3)
    prob = torch.randn(4, 9, 11, generator=generator).softmax(0)
    mask, class_hw = torch.rand(9, 11, generator=generator) < .7, prob.argmax(0)
    whole = nearest_to_prototypes(prob, mask, class_hw, distance=distance, points_per_class=3)
    monkeypatch.setattr(prototypes, '_CHUNK', 10)
    assert found(nearest_to_prototypes(prob, mask, class_hw, distance=distance, points_per_class=3)) == found(whole)


def test_a_class_without_pixels_has_no_prototype():
    mean = class_prototypes(torch.tensor([[1., 3., 6.], [2., 4., 7.]]), torch.tensor([2, 2, 1]), 4)
    assert mean.tolist() == [[0, 0], [6, 7], [2, 3], [0, 0]] and mean.dtype == torch.float64
