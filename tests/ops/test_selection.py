# SPDX-License-Identifier: Apache-2.0
"""The inconsistency mask, the scores, and the exact cut against a literal greedy loop."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.selection import (
    apply_cut,
    count_ties,
    entropy,
    find_cut,
    inconsistency_mask,
    l1_discrepancy,
    mcdal_discrepancy,
    score_histogram,
    share_ties,
)


def cut_images(images, budget):
    """The cut as a campaign makes it; images: {key: (flat_index, score)}."""
    cut = find_cut(sum(score_histogram(score) for _, score in images.values()), budget)
    keys = sorted(images)
    quota = share_ties(np.array([count_ties(images[key][1], cut) for key in keys]), cut.ties)
    return {(key, int(i)) for key, ties in zip(keys, quota) for i in apply_cut(*images[key], cut, int(ties))}


def greedy(images, budget):
    """One pixel after the other: highest score first, ties by (key, y, x)."""
    order = sorted((-float(s), key, int(i)) for key, (index, score) in images.items() for i, s in zip(index, score))
    return {(key, i) for _, key, i in order[:budget]}


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 80))
@settings(max_examples=200, deadline=None)
def test_cut_equals_a_greedy_loop(seed, num_images, budget):
    rng = np.random.default_rng(seed)
    levels = rng.random(4).astype(np.float16)  # few distinct scores: many ties
    images = {}
    for name in range(num_images):
        index = rng.permutation(40)[:rng.integers(0, 40)].astype(np.int32)
        images[f'city/{name}'] = index, rng.choice(levels, len(index)).astype(np.float16)
    total = sum(len(index) for index, _ in images.values())
    chosen = cut_images(images, budget)
    assert chosen == greedy(images, budget)
    assert len(chosen) == min(budget, total)


def test_no_budget_takes_all_and_zero_takes_none():
    images = {'a': (np.arange(3, dtype=np.int32), np.array([0, 0.5, 0.5], np.float16))}
    assert len(cut_images(images, None)) == 3 and cut_images(images, 0) == set()


def test_ties_go_to_the_first_key_and_the_first_pixel():
    one = np.ones(2, np.float16)
    images = {'b': (np.array([0, 1]), one), 'a': (np.array([7, 3]), one)}
    assert cut_images(images, 1) == {('a', 3)}
    assert cut_images(images, 3) == {('a', 3), ('a', 7), ('b', 0)}


@pytest.mark.parametrize('score', [np.array([-1], np.float16), np.array([np.nan], np.float16),
                                   np.array([np.inf], np.float16), np.array([1], np.float32)])
def test_scores_that_have_no_order_are_refused(score):
    with pytest.raises(ValueError, match='score'):
        score_histogram(score)


def test_negative_budget_is_refused():
    with pytest.raises(ValueError, match='budget'):
        find_cut(score_histogram(np.zeros(2, np.float16)), -1)


def test_mask_and_scores_equal_pixel_loops():
    generator = torch.Generator().manual_seed(0)
    prob, prob1, prob2 = (torch.randn(4, 5, 6, generator=generator).softmax(0) for _ in range(3))
    mask, l1 = inconsistency_mask(prob1, prob2), l1_discrepancy(prob1, prob2)
    mcdal, ent = mcdal_discrepancy(prob, prob1, prob2), entropy(prob)
    assert mask.shape == l1.shape == mcdal.shape == ent.shape == (5, 6) and mask.dtype == torch.bool
    assert mask.any() and not mask.all()
    for y in range(5):
        for x in range(6):
            p, p1, p2 = (t[:, y, x].double().numpy() for t in (prob, prob1, prob2))
            assert mask[y, x] == (p1.argmax() != p2.argmax())
            assert l1[y, x] == pytest.approx(np.abs(p1 - p2).sum(), rel=1e-5)
            expected = sum(np.abs(a - b).sum() for a, b in ((p1, p2), (p, p1), (p, p2)))
            assert mcdal[y, x] == pytest.approx(expected, rel=1e-5)
            assert ent[y, x] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)


def test_entropy_of_a_certain_pixel_is_zero():
    assert entropy(torch.tensor([1.0, 0.0]).view(2, 1, 1)) == 0
