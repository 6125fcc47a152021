# SPDX-License-Identifier: Apache-2.0
"""Pixels of polygons: by hand, against a literal point-in-polygon test, and tiling without gap or overlap."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active.codecs.polygon import polygon_pixels

POINTS = st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=7)


def slow_pixels(points, height, width):
    """Even-odd rule at every pixel centre."""
    inside = []
    for y in range(height):
        for x in range(width):
            odd = False
            for (ax, ay), (bx, by) in (sorted(edge, key=lambda p: p[1]) for edge in zip(points, points[1:] + points[:1])):
                if (ay <= y + 0.5) != (by <= y + 0.5) and ax + (y + 0.5 - ay) * (bx - ax) / (by - ay) <= x + 0.5:
                    odd = not odd
            if odd:
                inside.append(y * width + x)
    return inside


def test_a_rectangle_covers_the_pixels_whose_centres_it_holds():
    assert polygon_pixels(np.array([[1, 0], [3, 0], [3, 2], [1, 2]]), 3, 4).tolist() == [1, 2, 5, 6]
    assert polygon_pixels(np.array([[1.4, 0.6], [2.6, 0.6], [2.6, 1.6], [1.4, 1.6]]), 3, 4).tolist() == [5, 6]
    assert polygon_pixels(np.array([[1.6, 0.6], [2.4, 0.6], [2.4, 1.4]]), 3, 4).tolist() == []


def test_what_reaches_beyond_the_image_is_cut():
    assert polygon_pixels(np.array([[-50, -50], [50, -50], [50, 50], [-50, 50]]), 2, 3).tolist() == list(range(6))
    assert polygon_pixels(np.array([[10, 10], [20, 10], [20, 20]]), 2, 3).size == 0


@settings(max_examples=80, deadline=None)
@given(POINTS, st.integers(1, 9), st.integers(1, 9))
def test_equals_the_literal_rule(points, height, width):
    assert polygon_pixels(np.array(points), height, width).tolist() == slow_pixels(points, height, width)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 9), st.floats(0, 9))
def test_triangles_around_a_point_tile_the_image(x, y):
    corners = [(0, 0), (9, 0), (9, 9), (0, 9)]
    parts = [polygon_pixels(np.array([a, b, (x, y)]), 9, 9) for a, b in zip(corners, corners[1:] + corners[:1])]
    assert sorted(np.concatenate(parts).tolist()) == list(range(81))


@pytest.mark.parametrize('points, message', [
    ([[0, 0], [1, 1]], '2 points'), ([], 'points'), ([[0, 0], [1, 0], [np.nan, 1]], 'no place'),
    ([[0, 0], [1, 0], [1e300, 1]], 'no place'), ([[0, 0], [np.inf, 0], [1, 1]], 'no place')])
def test_what_is_no_polygon_is_refused(points, message):
    with pytest.raises(ValueError, match=message):
        polygon_pixels(np.array(points, float).reshape(-1, 2), 4, 4)
