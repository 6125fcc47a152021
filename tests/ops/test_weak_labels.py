# SPDX-License-Identifier: Apache-2.0
"""Smooth maxima, attention-pooled features and present classes against loops over pixels; scaled-up patches against slices."""
import math

import pytest
import torch

from udatools.ops.patches import scaled_patches
from udatools.ops.weak_labels import category_features, classes_present, smooth_max


@pytest.mark.parametrize('k', [0.5, 1.0, 8.0])
def test_smooth_max_equals_the_formula(k):
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 3
    for image, row in zip(logits, smooth_max(logits, k), strict=True):
        for one, value in zip(image, row, strict=True):
            expected = math.log(sum(math.exp(k * float(x)) for x in one.flatten()) / 20) / k
            assert float(value) == pytest.approx(expected, rel=1e-5)


def test_smooth_max_lies_between_mean_and_maximum_and_does_not_overflow():
    logits = torch.randn(1, 2, 6, 6)
    assert (smooth_max(logits, 1e-3) - logits.mean((2, 3))).abs().max() < 1e-2
    assert (smooth_max(logits, 1e3) - logits.amax((2, 3))).abs().max() < 1e-2
    assert torch.isfinite(smooth_max(logits * 1e4)).all()


def test_category_features_equal_the_weighted_mean():
    generator = torch.Generator().manual_seed(1)
    features, logits = torch.randn(2, 3, 2, 4, generator=generator), torch.randn(2, 5, 2, 4, generator=generator)
    pooled = category_features(features, logits)
    assert pooled.shape == (2, 5, 3)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.equal(category_features(features, logits), pooled)
    for b in range(2):
        for c in range(5):
            weight = [math.exp(float(x)) for x in logits[b, c].flatten()]
            for d in range(3):
                expected = sum(w * float(f) for w, f in zip(weight, features[b, d].flatten(), strict=True)) / sum(weight)
                assert float(pooled[b, c, d]) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    with pytest.raises(ValueError, match='do not describe the same pixels'):
        category_features(features, logits[..., :3])


def test_present_classes():
    label = torch.tensor([[[0, 2, 255]], [[255, 255, 255]], [[1, 1, 1]]])
    assert classes_present(label, 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize('scale', [2.0, 4.0])
def test_a_patch_is_a_piece_of_the_image_scaled_up(scale):
    """Each image encodes its own coordinates, so that a patch says where it lies."""
    height, width = 24, 40
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    images = torch.stack([ys.float(), xs.float(), torch.ones(height, width)]).expand(16, -1, -1, -1)
    label = (ys // 2 * 10 + xs // 4).expand(16, -1, -1)
    torch.manual_seed(0)
    patches, named = scaled_patches(images, label, scale)
    assert patches.shape == images.shape and named.dtype == torch.int64
    corners = []
    for patch, name in zip(patches, named, strict=True):
        rows, columns = patch[0, :, width // 2], patch[1, height // 2]
        assert torch.allclose(rows[4:-4].diff(), torch.full((height - 9, ), 1 / scale), atol=1e-4)
        assert torch.allclose(columns[4:-4].diff(), torch.full((width - 9, ), 1 / scale), atol=1e-4)
        assert patch.min() >= -1e-3 and rows.max() <= height - 1 + 1e-3 and columns.max() <= width - 1 + 1e-3
        # The label is that of the pixel which the image shows there, to half a pixel.
        near = [(patch[0] + dy).round().long() // 2 * 10 + (patch[1] + dx).round().long() // 4
                for dy in (-0.02, 0.02) for dx in (-0.02, 0.02)]
        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[2:-2, 2:-2] = True
        assert torch.stack([name == one for one in near]).any(0)[inside].all()
        corners.append((float(rows[0]), float(columns[0])))
    assert len(set(corners)) == 16
    spread = torch.tensor(corners)
    assert (spread.amax(0) > (1 - 1 / scale) * torch.tensor([height, width]) * 0.6).all()  # up to the lower right
    torch.manual_seed(0)
    assert torch.equal(scaled_patches(images, label, scale)[0], patches)


def test_labels_are_never_mixed():
    label = torch.tensor([0, 255, 7, 3]).repeat(1, 8, 4)
    named = scaled_patches(torch.zeros(1, 3, 8, 16), label, 3.0)[1]
    assert set(named.unique().tolist()) <= {0, 3, 7, 255}
