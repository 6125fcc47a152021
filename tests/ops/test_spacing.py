# SPDX-License-Identifier: Apache-2.0
"""Greedy non-maximum suppression against the loop that takes one argmax of the map after the other."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.spacing import disc, greedy_peaks, square


def literal(score, near, limit, allowed):
    """One argmax of the whole map a pick; near(dy, dx) says what a pick suppresses."""
    value = np.where(allowed, score.astype(float), -1)
    picks = []
    while len(picks) < limit and value.max() >= 0:
        y, x = divmod(int(value.argmax()), value.shape[1])
        picks.append(y * value.shape[1] + x)
        for v in range(value.shape[0]):
            for u in range(value.shape[1]):
                if near(v - y, u - x):
                    value[v, u] = -1
    return picks


@given(st.integers(0, 2**32 - 1), st.integers(1, 13), st.integers(1, 13), st.integers(0, 30),
       st.sampled_from([1, 1.5, 2, 3, 5, 30]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_picks_are_those_of_the_literal_loop(seed, height, width, limit, spacing, round_):
    rng = np.random.default_rng(seed)
    score = rng.choice(rng.random(5), (height, width)).astype(np.float16)  # plateaus and ties
    allowed = rng.random((height, width)) < 0.8
    if round_:
        footprint, near = disc(spacing), lambda dy, dx: dy * dy + dx * dx < spacing**2
    else:
        radius = int(spacing)
        footprint, near = square(radius), lambda dy, dx: max(abs(dy), abs(dx)) <= radius
    assert greedy_peaks(score, footprint, limit, allowed).tolist() == literal(score, near, limit, allowed)


def test_more_pixels_than_a_block_and_nowhere_forbidden():
    score = np.arange(40 * 35).reshape(40, 35)[::-1].astype(np.float16) / 8
    picks = greedy_peaks(score, square(1), 10**6)
    assert picks.tolist() == literal(score, lambda dy, dx: max(abs(dy), abs(dx)) <= 1, 10**6, np.ones((40, 35), bool))


@pytest.mark.parametrize('spacing, expected', [(0, 1), (1, 1), (1.2, 5), (2, 9), (2.1, 13), (5, 69)])
def test_size_of_the_disc(spacing, expected):
    near = disc(spacing)
    assert near.sum() == expected and near[near.shape[0] // 2, near.shape[1] // 2]


def test_nothing_allowed_gives_nothing():
    picks = greedy_peaks(np.ones((3, 4), np.float16), square(1), 5, np.zeros((3, 4), bool))
    assert picks.size == 0 and picks.dtype == np.int64
