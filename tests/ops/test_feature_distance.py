# SPDX-License-Identifier: Apache-2.0
"""Distance of features on the cells of some classes, by hand and against a literal loop."""
import pytest
import torch

from udatools.ops.feature_distance import class_cells, feature_distance


def test_cells_that_one_class_fills():
    label = torch.tensor([[[1, 1, 1, 2],
                           [1, 1, 2, 2],
                           [1, 0, 1, 255],
                           [2, 2, 1, 1]]])
    # Shares of classes 1 and 2 by cell: (1, 0), (1/4, 3/4), (1/4, 1/2), (3/4, 0).
    cells = class_cells(label, torch.tensor([1, 2]), (2, 2), 0.7)
    assert cells.tolist() == [[[True, True], [False, True]]]
    assert class_cells(label, torch.tensor([1, 2]), (2, 2), 0.75).tolist() == [[[True, False], [False, False]]]  # more than
    assert not class_cells(label, torch.tensor([3]), (2, 2), 0.1).any()


def test_mean_distance_over_the_mask():
    generator = torch.Generator().manual_seed(0)
    features, reference = (torch.randn(2, 3, 2, 2, generator=generator) for _ in range(2))
    mask = torch.tensor([[[True, False], [True, True]], [[False, False], [True, False]]])
    difference = features - reference
    distances = [float(difference[b, :, y, x].square().sum().sqrt()) for b, y, x in mask.nonzero().tolist()]
    assert float(feature_distance(features, reference, mask)) == pytest.approx(sum(distances) / 4)


def test_equal_features_and_empty_masks_have_a_zero_gradient():
    features = torch.ones(1, 2, 2, 2, requires_grad=True)
    full = torch.ones(1, 2, 2, dtype=torch.bool)
    (feature_distance(features, torch.ones(1, 2, 2, 2), full)
     + feature_distance(features, torch.zeros(1, 2, 2, 2), ~full)).backward()
    assert features.grad.tolist() == torch.zeros(1, 2, 2, 2).tolist()
