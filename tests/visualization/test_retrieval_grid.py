# SPDX-License-Identifier: Apache-2.0
"""The picture of nearest neighbours: which image is in which cell, unbent, and what is said above it."""
import numpy as np
import pytest

from udatools.visualization import retrieval_grid as module
from udatools.visualization.retrieval_grid import FRAME_COLOUR, fit, retrieval_grid

WIDTH, HEIGHT, TEXT = 60, 30, 18
COLOURS = {'q/a': (200, 0, 0), 'q/b': (0, 200, 0), 'n1': (0, 0, 200), 'n2': (200, 200, 0), 'tall': (0, 200, 200)}
SHAPES = {'tall': (90, 30)}


def plain(key):
    return np.full((*SHAPES.get(key, (60, 120)), 3), COLOURS[key], np.uint8)


def cell(grid, row, column):
    """The picture in a cell, without its text; column 0 is the query."""
    top = row * (TEXT + HEIGHT + 8) + TEXT
    left = 0 if column == 0 else WIDTH + 12 + (column - 1) * (WIDTH + 4)
    return grid[top:top + HEIGHT, left:left + WIDTH]


def test_each_cell_shows_its_image():
    near = [[('n2', 0.9), ('n1', 0.5), ('tall', 0.1)], [('tall', 0.8), ('n2', 0.7), ('n1', 0.6)]]
    grid = retrieval_grid(['q/a', 'q/b'], near, plain, plain, names=('source', 'target'), width=WIDTH)
    assert grid.shape == (2 * (TEXT + HEIGHT) + 8, 4 * WIDTH + 4 * 4 + 4, 3)
    for row, (query, found) in enumerate(zip(('q/a', 'q/b'), near)):
        shown = cell(grid, row, 0)
        assert (shown[5:-5, 5:-5] == COLOURS[query]).all() and (shown[0] == FRAME_COLOUR).all()
        for column, (key, _) in enumerate(found, 1):
            shown = cell(grid, row, column)
            if key == 'tall':  # a third as wide as high: in the middle, grey beside it
                assert (shown[:, 25:35] == COLOURS[key]).all() and (shown[:, :25] == 225).all() and (shown[:, 35:] == 225).all()
            else:
                assert (shown == COLOURS[key]).all()


def test_titles_are_of_the_cells(monkeypatch):
    said = []
    monkeypatch.setattr(module, 'text', lambda image, line: said.append((tuple(image[10, 30]), line)) or image)
    retrieval_grid(['q/a'], [[('n2', 0.9), ('n1', 0.51249)]], plain, plain, names=('source', 'target'), width=80)
    assert said == [(COLOURS['q/a'], 'source a'), (COLOURS['n2'], 'target 1: 0.900'), (COLOURS['n1'], 'target 2: 0.512')]


def test_fitting_keeps_what_is_left_and_right_up_and_down():
    image = np.zeros((20, 40, 3), np.uint8)
    image[:10, :20], image[10:, 20:] = (255, 0, 0), (0, 255, 0)
    shown = fit(image, (40, 40))
    assert shown.shape == (40, 40, 3) and (shown[:10] == 225).all() and (shown[30:] == 225).all()
    assert (shown[11:19, 1:19] == (255, 0, 0)).all() and (shown[21:29, 21:39] == (0, 255, 0)).all()
    assert (shown[11:19, 21:39] == 0).all()


def test_what_is_refused():
    for queries, width in (([], 60), (['q/a'], 39)):
        with pytest.raises(ValueError, match='queries and a width of .* expected at least 1 and 40'):
            retrieval_grid(queries, [[]], plain, plain, names=('source', 'target'), width=width)
