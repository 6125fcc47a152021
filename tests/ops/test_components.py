# SPDX-License-Identifier: Apache-2.0
"""Regions of the whole batch against OpenCV's, image by image, and their means against loops."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.components import class_regions, region_means
from udatools.ops.regions import label_components


def reference(class_hw):
    """First pixel of each pixel's region, from the components that OpenCV finds."""
    first = np.arange(class_hw.size).reshape(class_hw.shape)
    for class_id in np.unique(class_hw[class_hw >= 0]):
        component = label_components(class_hw == class_id)
        for number in range(1, component.max() + 1):
            first[component == number] = np.flatnonzero(component == number)[0]
    return first


def serpentine(height, width):
    path = np.zeros((height, width), int)
    path[::2] = 1
    for turn, row in enumerate(range(1, height, 2)):
        path[row, -1 if turn % 2 == 0 else 0] = 1
    return path


def spiral(height, width):
    """A path that turns inwards with one pixel between its arms."""
    path = np.zeros((height + 4, width + 4), int)
    path[:2] = path[-2:] = path[:, :2] = path[:, -2:] = -1  # outside
    y, x, dy, dx = 2, 2, 0, 1
    path[y, x] = 1
    while True:
        for _ in range(2):
            ahead, beyond = path[y + dy, x + dx], path[y + 2 * dy, x + 2 * dx]
            if ahead == 0 and beyond != 1:
                break
            dy, dx = dx, -dy
        else:
            return np.maximum(path[2:-2, 2:-2], 0)
        y, x = y + dy, x + dx
        path[y, x] = 1


def comb(height, width):
    teeth = np.zeros((height, width), int)
    teeth[:, ::2] = teeth[-1] = 1
    return teeth


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (7, 1), (16, 32), (45, 80), (64, 128)])
@pytest.mark.parametrize('shape', [serpentine, spiral, comb])
def test_long_paths_are_one_region(shape, size):
    path = shape(*size)
    maps = np.stack([path, path[::-1].copy(), path[:, ::-1].copy(), path[::-1, ::-1].copy()])
    found = class_regions(torch.from_numpy(maps)).numpy()
    for one, expected in zip(found, maps, strict=True):
        assert np.array_equal(one, reference(expected))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_equals_opencv(data):
    height, width, batch = (data.draw(st.integers(1, top)) for top in (14, 14, 3))
    classes = data.draw(st.integers(1, 4))
    maps = np.random.default_rng(data.draw(st.integers(0, 10**6))).integers(-1, classes, (batch, height, width))
    found = class_regions(torch.from_numpy(maps)).numpy()
    for one, expected in zip(found, maps, strict=True):
        assert np.array_equal(one, reference(expected))


@pytest.mark.parametrize('density', [0.4, 0.5, 0.6])
def test_large_random_maps(density):
    maps = (np.random.default_rng(0).random((1, 128, 256)) < density).astype(int)
    assert np.array_equal(class_regions(torch.from_numpy(maps)).numpy()[0], reference(maps[0]))


def literal_means(features, class_hw, stuff, things, max_things, min_cells):
    """{(class, sorted cells): mean} of one image; thing regions by size, then by their first pixel."""
    found, instances = {}, []
    for class_id in stuff:
        cells = np.flatnonzero(class_hw == class_id)
        if len(cells) >= min_cells:
            found[class_id, tuple(cells)] = features[:, cells].mean(1)
    first = reference(class_hw)
    for root in np.unique(first[np.isin(class_hw, things)]):
        cells = np.flatnonzero((first == root) & np.isin(class_hw, things))
        instances.append((-len(cells), root, cells))
    for size, _, cells in sorted(instances, key=lambda item: item[:2])[:max_things]:
        if -size >= min_cells:
            found[int(class_hw.ravel()[cells[0]]), tuple(cells)] = features[:, cells].mean(1)
    return found


@pytest.mark.parametrize(('max_things', 'min_cells'), [(100, 1), (3, 1), (5, 2), (1, 4)])
def test_means_equal_loops(max_things, min_cells):
    rng = np.random.default_rng(max_things)
    maps, features = rng.integers(-1, 5, (3, 9, 11)), rng.normal(size=(3, 6, 9, 11))
    stuff, things = [0, 3], [1, 4]  # 2 is neither
    regions = region_means(torch.from_numpy(features), torch.from_numpy(maps), stuff=torch.tensor(stuff),
                           things=torch.tensor(things), max_things=max_things, min_cells=min_cells)
    assert regions.feature.shape == (3, 2 + min(max_things, 99), 6)
    for i in range(3):
        expected = literal_means(features[i].reshape(6, -1), maps[i], stuff, things, max_things, min_cells)
        assert len(expected) == int(regions.valid[i].sum()) > 0
        rows = sorted([(class_id, *mean) for (class_id, _), mean in expected.items()])
        valid = regions.valid[i]
        got = sorted((int(c), *f) for c, f in zip(regions.class_id[i][valid], regions.feature[i][valid].double().numpy()))
        np.testing.assert_allclose(np.array(got), np.array(rows), atol=1e-6)
        assert not regions.feature[i][~valid].any()
    assert (regions.class_id[:, :2] == torch.tensor(stuff)).all()
    sizes = [len(cells) for (class_id, cells) in expected if class_id in things]
    assert sizes == sorted(sizes, reverse=True)  # the last image's, as its slots are


def test_by_hand():
    """A car of three cells and one of one; road left and right is one region, the sign is left out."""
    maps = torch.tensor([[[0, 1, 1, 0], [0, 0, 1, 2], [1, 0, 0, 0]]])
    features = torch.arange(12.0).view(1, 1, 3, 4).requires_grad_()
    regions = region_means(features, maps, stuff=torch.tensor([0]), things=torch.tensor([1]), max_things=2)
    assert regions.class_id.tolist() == [[0, 1, 1]] and regions.valid.all()
    torch.testing.assert_close(regions.feature[0, :, 0], torch.tensor([(0 + 3 + 4 + 5 + 9 + 10 + 11) / 7, (1 + 2 + 6) / 3, 8]))
    regions.feature[0, 1].sum().backward()
    assert features.grad[0, 0].flatten().nonzero().flatten().tolist() == [1, 2, 6]
    torch.testing.assert_close(features.grad.sum(), torch.tensor(1.0))
    empty = region_means(features, torch.full((1, 3, 4), -1), stuff=torch.tensor([0]), things=torch.tensor([1]), max_things=2)
    assert not empty.valid.any() and not empty.feature.any()
