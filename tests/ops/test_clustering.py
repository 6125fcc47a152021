# SPDX-License-Identifier: Apache-2.0
"""Patch histograms against a loop over pixels, K-means against brute force and its own definition."""
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.clustering import kmeans, nearest_centre, patch_grid, patch_label_histograms


def literal_histograms(label, num_classes, grid, cells=2):
    batch, height, width = label.shape
    counts = [[[[[[0] * num_classes for _ in range(cells)] for _ in range(cells)] for _ in range(grid[1])]
               for _ in range(grid[0])] for _ in range(batch)]
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                truth = int(label[b, y, x])
                if truth != 255:
                    v, u = y * grid[0] * cells // height, x * grid[1] * cells // width
                    counts[b][v // cells][u // cells][v % cells][u % cells][truth] += 1
    out = torch.zeros(batch, *grid, cells * cells * num_classes)
    valid = torch.zeros(batch, *grid, dtype=torch.bool)
    for b, v, u in itertools.product(range(batch), range(grid[0]), range(grid[1])):
        vector = []
        for i, j in itertools.product(range(cells), range(cells)):
            cell = counts[b][v][u][i][j]
            vector += [n / sum(cell) if sum(cell) else 0.0 for n in cell]
            valid[b, v, u] |= sum(cell) > 0
        out[b, v, u] = torch.tensor(vector)
    return out, valid


@pytest.mark.parametrize(('size', 'grid'), [((8, 12), (2, 3)), ((7, 11), (2, 2)), ((3, 5), (1, 4)), ((4, 4), (1, 1))])
@pytest.mark.parametrize('ignored', [0.0, 0.6, 1.0])
def test_histograms_equal_counting_pixel_by_pixel(size, grid, ignored):
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 4, (2, *size), generator=generator)
    label[torch.rand(2, *size, generator=generator) < ignored] = 255
    ours, labelled = patch_label_histograms(label, 4, grid)
    expected, valid = literal_histograms(label, 4, grid)
    assert ours.shape == (2, *grid, 16) and ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected)
    assert torch.equal(labelled, valid)


def test_histograms_by_hand():
    label = torch.tensor([[[0, 0, 1, 255], [0, 1, 255, 255]]])  # left cells: columns 0-1; right cells: 2-3
    share, labelled = patch_label_histograms(label, 2, (1, 1))
    assert share[0, 0, 0].tolist() == [1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.0, 0.0] and labelled.all()


def test_grid_rounds_and_is_never_empty():
    assert patch_grid((720, 1280), (32, 64)) == (22, 20)
    assert patch_grid((128, 256), (16, 32)) == (8, 8)
    assert patch_grid((10, 10), (64, 64)) == (1, 1)


def cost(points, centres):
    return float((points[:, None] - centres).square().sum(-1).min(1).values.sum())


@pytest.mark.parametrize('seed', range(5))
def test_kmeans_finds_separate_clouds(seed):
    generator = torch.Generator().manual_seed(1)
    truth = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [9.0, 9.0]])
    points = (truth[:, None] + 0.1 * torch.randn(4, 25, 2, generator=generator)).flatten(0, 1)
    centres = kmeans(points, 4, seed=seed)
    means = points.view(4, 25, 2).mean(1)
    assert sorted(centres.round().tolist()) == sorted(means.round().tolist())
    torch.testing.assert_close(cost(points, centres), cost(points, means), rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 30))
def test_kmeans_ends_where_every_centre_is_the_mean_of_its_points(seed, clusters, count):
    points = torch.randint(0, 4, (count, 3), generator=torch.Generator().manual_seed(seed)).double()  # with many ties
    centres = kmeans(points, clusters, seed=seed)
    distinct = len({tuple(p) for p in points.tolist()})
    assert len(centres) == min(clusters, distinct)
    assigned = nearest_centre(points, centres)
    for k, centre in enumerate(centres):
        if (assigned == k).any():
            torch.testing.assert_close(centre, points[assigned == k].mean(0))
    if distinct <= clusters:
        assert cost(points, centres) == 0


def test_kmeans_is_a_function_of_the_seed_and_leaves_the_global_state():
    points = torch.rand(60, 5, generator=torch.Generator().manual_seed(2))
    state = torch.get_rng_state()
    first = kmeans(points, 7, seed=3)
    assert torch.equal(first, kmeans(points, 7, seed=3)) and not torch.equal(first, kmeans(points, 7, seed=4))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(('shape', 'clusters'), [((0, 3), 2), ((4, ), 2), ((4, 3), 0)])
def test_kmeans_refuses_nothing_to_cluster(shape, clusters):
    with pytest.raises(ValueError, match='expected'):
        kmeans(torch.zeros(shape), clusters)
