# SPDX-License-Identifier: Apache-2.0
"""The exact cut against a literal greedy loop, for units of one price and of many."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.cuts import Cut, cost_at_cut, find_cut, score_histogram, share_rest, units_within


def cut_images(images, budget):
    """The cut as a campaign makes it; images: {key: (score, cost)}, units in (y, x) order."""
    cut = find_cut(sum(score_histogram(score, cost) for score, cost in images.values()), budget)
    keys = sorted(images)
    rests = share_rest(np.array([cost_at_cut(*images[key], cut) for key in keys]), cut.rest)
    return {(key, int(i)) for key, rest in zip(keys, rests) for i in np.flatnonzero(units_within(*images[key], cut, int(rest)))}


def greedy(images, budget):
    """One unit after the other: highest score first, ties by (key, place); the first that does not fit ends it."""
    order = sorted((-float(s), key, i, int(c)) for key, (score, cost) in images.items()
                   for i, (s, c) in enumerate(zip(score, cost)))
    chosen, spent = set(), 0
    for _, key, i, cost in order:
        if budget is not None and spent + cost > budget:
            break
        chosen.add((key, i))
        spent += cost
    return chosen


def some_images(seed, num_images, dearest):
    rng = np.random.default_rng(seed)
    levels = rng.random(4).astype(np.float16)  # few distinct scores: many ties
    sizes = rng.integers(0, 40, num_images)
    return {f'city/{name}': (rng.choice(levels, size), rng.integers(1, dearest + 1, size)) for name, size in enumerate(sizes)}


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(0, 400), st.sampled_from([1, 3, 50]))
@settings(max_examples=150, deadline=None)
def test_cut_equals_a_greedy_loop_and_never_overshoots(seed, num_images, budget, dearest):
    images = some_images(seed, num_images, dearest)
    chosen = cut_images(images, budget)
    assert chosen == greedy(images, budget)
    spent = sum(int(images[key][1][i]) for key, i in chosen)
    total = sum(int(cost.sum()) for _, cost in images.values())
    assert spent <= budget
    assert spent == min(budget, total) if dearest == 1 else spent > min(budget, total) - dearest


@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
@settings(max_examples=40, deadline=None)
def test_a_larger_budget_keeps_what_a_smaller_one_takes(seed, budget):
    images = some_images(seed, 3, 7)
    assert cut_images(images, budget) <= cut_images(images, budget + 11)


def test_no_budget_takes_all_and_zero_takes_none():
    images = {'a': (np.array([0, 0.5, 0.5], np.float16), np.array([2, 1, 3]))}
    assert len(cut_images(images, None)) == 3 and cut_images(images, 0) == set()


def test_a_unit_that_does_not_fit_ends_the_cut_also_for_cheaper_ones_behind_it():
    one = np.ones(2, np.float16)
    images = {'b': (one, np.array([1, 1])), 'a': (one, np.array([2, 9]))}
    assert cut_images(images, 5) == {('a', 0)}
    assert cut_images(images, 12) == {('a', 0), ('a', 1), ('b', 0)}


def test_ties_go_to_the_first_key_and_the_first_unit():
    images = {key: (np.ones(2, np.float16), np.ones(2, np.int64)) for key in 'ba'}
    assert cut_images(images, 1) == {('a', 0)}
    assert cut_images(images, 3) == {('a', 0), ('a', 1), ('b', 0)}


def test_minus_zero_is_zero():
    score = np.array([-0.0, 0.0], np.float16)
    assert score_histogram(score)[0] == 2


def test_rest_is_what_the_better_ones_leave():
    histogram = score_histogram(np.array([1, .5, .5], np.float16), np.array([4, 3, 3]))
    pattern = int(np.array(.5, np.float16).view(np.uint16))
    assert find_cut(histogram, 8) == Cut(pattern, 4)
    assert find_cut(histogram, 10) == Cut(-1, 0)


@pytest.mark.parametrize('score', [np.array([-1], np.float16), np.array([np.nan], np.float16),
                                   np.array([np.inf], np.float16), np.array([1], np.float32)])
def test_scores_that_have_no_order_are_refused(score):
    with pytest.raises(ValueError, match='score'):
        score_histogram(score)


@pytest.mark.parametrize('score', [np.zeros(2, np.float16), np.zeros(0, np.float16)])
def test_negative_budget_is_refused(score):
    with pytest.raises(ValueError, match='budget'):
        find_cut(score_histogram(score), -1)
