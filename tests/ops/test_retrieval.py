# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbours against a literal search, and mixing by hand."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.retrieval import domain_mixing, nearest_neighbours


def literal_cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b)) / lengths if lengths else 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 4), st.integers(1, 9), st.booleans(), st.data())
def test_against_a_literal_search(n, m, dims, block, without_self, data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    query = torch.randint(-3, 4, (n, dims), generator=generator).float()
    gallery = query if without_self else torch.randint(-3, 4, (m, dims), generator=generator).float()
    most = len(gallery) - without_self
    if most < 1:
        return
    k = data.draw(st.integers(1, most))
    found = nearest_neighbours(query, gallery, k, block=block, without_self=without_self)
    for i, row in enumerate(query.tolist()):
        scores = {j: literal_cosine(row, other) for j, other in enumerate(gallery.tolist()) if not (without_self and i == j)}
        values = sorted(scores.values(), reverse=True)[:k]
        assert found.similarity[i].tolist() == pytest.approx(values, abs=1e-5)
        assert [scores[j] for j in found.index[i].tolist()] == pytest.approx(values, abs=1e-5)
        assert len(set(found.index[i].tolist())) == k


def test_length_says_nothing_and_the_first_of_equals_comes_first():
    found = nearest_neighbours(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 1.0], [9.0, 0.0], [0.1, 0.0], [-1.0, 0.0]]), 4)
    assert found.index.tolist() == [[1, 2, 0, 3]] and found.similarity.tolist() == [[1.0, 1.0, 0.0, -1.0]]


def test_errors():
    a = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r'shape \(3, 2\) and a gallery of shape \(3, 4\)'):
        nearest_neighbours(a, torch.zeros(3, 4), 1)
    for k, without_self, most in ((0, False, 3), (4, False, 3), (3, True, 2)):
        with pytest.raises(ValueError, match=f'k is {k}; expected 1 to {most}'):
            nearest_neighbours(a, a, k, without_self=without_self)
    with pytest.raises(ValueError, match='the same items twice, got 3 queries and a gallery of 2'):
        nearest_neighbours(a, a[:2], 1, without_self=True)
    with pytest.raises(ValueError, match='sets of 0 and 3 items'):
        domain_mixing(a[:0], a, 1)


def test_mixing_by_hand():
    # On a circle at these angles: 0 s, 1 s, 10 t, 11 t, 12 s (degrees). The nearest of each: s1, s0, t11, t10 or s12, t11.
    angles = torch.tensor([0.0, 1.0, 12.0, 10.0, 11.2]) * math.pi / 180
    points = torch.stack([angles.cos(), angles.sin()], 1)
    source, target = points[:3], points[3:]
    found = domain_mixing(source, target, 1)
    assert found.first == pytest.approx(1 / 3) and found.second == pytest.approx(1 / 2)
    assert found.first_chance == 2 / 4 and found.second_chance == 3 / 4
    assert found.relative == pytest.approx((1 / 3 / 0.5 + 0.5 / 0.75) / 2)


def test_mixing_is_0_apart_and_about_1_for_one_cloud():
    generator = torch.Generator().manual_seed(0)
    cloud = torch.randn(400, 5, generator=generator)
    assert domain_mixing(cloud[:150], cloud[150:], 10).relative == pytest.approx(1.0, abs=0.08)
    shift = torch.tensor([50.0, 0, 0, 0, 0])
    assert domain_mixing(cloud[:150] + shift, cloud[150:] - shift, 10).relative == 0.0
    everything = domain_mixing(cloud[:3], cloud[3:8], 7)  # all others are neighbours: exactly chance
    assert everything.first == pytest.approx(everything.first_chance) and everything.relative == pytest.approx(1.0)
