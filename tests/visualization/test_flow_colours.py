# SPDX-License-Identifier: Apache-2.0
"""Colours of flow: by hand, against the standard library, and what is unknown."""
import colorsys
from math import atan2, hypot, tau

import numpy as np
import pytest

from udatools.visualization.flow_colours import UNKNOWN_COLOUR, colourise_flow


def row(*vectors):
    return np.array(vectors, np.float32).T[:, None, :]


def test_directions_by_hand():
    colours = colourise_flow(row((4, 0), (-4, 0), (2, 0), (0, 0), (9, 0)), largest_px=4)[0].tolist()
    assert colours == [[255, 0, 0], [0, 255, 255], [255, 128, 128], [255, 255, 255], [255, 0, 0]]


def test_against_colorsys():
    flow = np.random.default_rng(0).normal(size=(2, 6, 7)).astype(np.float32)
    painted = colourise_flow(flow, largest_px=1.5)
    for y in range(6):
        for x in range(7):
            u, v = flow[:, y, x].tolist()
            expected = colorsys.hsv_to_rgb(atan2(v, u) / tau % 1, min(1, hypot(u, v) / 1.5), 1)
            assert np.abs(painted[y, x] - 255 * np.array(expected)).max() <= 1


def test_unknown_is_grey_and_does_not_count():
    flow = row((1, 0), (np.nan, 0), (1e9, 0))
    painted = colourise_flow(flow, np.array([[True, True, False]]))[0]
    assert painted[0].tolist() == [255, 0, 0] and painted[1].tolist() == painted[2].tolist() == list(UNKNOWN_COLOUR)
    assert (colourise_flow(np.full((2, 3, 3), np.nan)) == UNKNOWN_COLOUR).all()


def test_default_length():
    flow = np.zeros((2, 10, 10), np.float32)
    flow[0] = 0.1  # noise of a still scene stays pale
    assert colourise_flow(flow).min() == 230
    flow[0] = np.linspace(0, 50, 100).reshape(10, 10)
    assert colourise_flow(flow)[-1, -1].tolist() == [255, 0, 0] and colourise_flow(flow)[5, 0].min() > 100


def test_refuses():
    with pytest.raises(ValueError, match=r'flow has shape \(3, 3, 2\)'):
        colourise_flow(np.zeros((3, 3, 2)))
    with pytest.raises(ValueError, match=r'valid \(2, 2\)'):
        colourise_flow(np.zeros((2, 3, 3)), np.ones((2, 2), bool))
    with pytest.raises(ValueError, match='largest_px is 0'):
        colourise_flow(np.zeros((2, 3, 3)), largest_px=0)
