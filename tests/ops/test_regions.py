# SPDX-License-Identifier: Apache-2.0
"""Connected regions against an independent labeller, and pixels grouped by region."""
import numpy as np
import pytest
from scipy import ndimage

from udatools.ops.regions import (
    class_components,
    component_sizes,
    components_of,
    ego_component,
    label_components,
    members_of,
    unit_scores,
)

EIGHT = np.ones((3, 3))


def same_partition(a, b):
    pairs = len(np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


@pytest.mark.parametrize('size', [(31, 40), (1, 30), (30, 1), (1, 1)])
def test_regions_of_a_class_map_equal_those_of_an_independent_labeller(size):
    class_hw = np.random.default_rng(1).integers(0, 3, size)
    expected, count = np.zeros(size, int), 0
    for k in range(3):
        part, found = ndimage.label(class_hw == k, EIGHT)
        expected[part > 0] = part[part > 0] + count
        count += found
    region = class_components(class_hw)
    assert region.dtype == np.int32 and region.min() == 0 and region.max() == count - 1
    assert same_partition(region, expected)


def test_component_sizes_by_hand():
    mask = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]], bool)
    assert component_sizes(label_components(mask)).tolist() == [[3, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0], [1, 0, 0, 1]]
    assert components_of(np.array([12, 0, 6, 15]), (4, 4)).size == 4


def test_ego_is_the_region_at_the_bottom_centre_only():
    car = 1
    class_hw = np.array([[0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1], [1, 0, 1, 0, 0, 0], [1, 0, 1, 1, 0, 1]])
    assert np.argwhere(ego_component(class_hw, car)).tolist() == [[2, 2], [3, 2], [3, 3]]
    assert not ego_component(np.array([[1, 0, 0, 1]]), car).any()  # at the sides only
    assert ego_component(np.array([[0, 0, 1, 0]]), car).tolist() == [[False, False, True, False]]  # right of the centre
    assert ego_component(np.array([[1]]), car).all()


def test_members_are_numbered_by_their_first_pixel():
    member, pixels = members_of(np.array([7, 7, 2, 9, 2, 7]))
    assert member.tolist() == [0, 0, 1, 2, 1, 0] and pixels.tolist() == [3, 2, 1]
    score = np.array([.5, .25, 1, .75, .5, 0], np.float16)
    assert unit_scores(score, member, pixels, 'mean').tolist() == [.25, .75, .75]
    assert unit_scores(score, member, pixels, 'first').tolist() == [.5, 1, .75]
    empty, none = members_of(np.zeros(0, np.int32))
    assert empty.size == none.size == unit_scores(score[:0], empty, none, 'mean').size == 0
