# SPDX-License-Identifier: Apache-2.0
"""Pictures of labels and masks, against literal references."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from udatools.visualization.panels import (
    ASKED_COLOUR,
    colourise,
    encode_png,
    hstack,
    overlay,
    panel_cells,
    panel_row,
    panel_size,
    resize_label,
    thicken,
    vstack,
)

PALETTE = [[10, 20, 30], [40, 50, 60], [255, 0, 1]]
labels = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 2, 3, 254, 255])
)


@given(labels)
def test_colourise_paints_every_pixel(label):
    painted = colourise(label, PALETTE, ignore_colour=(7, 8, 9))
    for y, x in np.ndindex(*label.shape):
        assert painted[y, x].tolist() == (PALETTE[label[y, x]] if label[y, x] < 3 else [7, 8, 9])


def test_colourise_takes_negative_ids_as_ignore_and_wants_two_dimensions():
    assert colourise(np.array([[-1, 0]]), PALETTE).tolist() == [[[0, 0, 0], [10, 20, 30]]]
    with pytest.raises(ValueError, match=r'\(1, 2, 2\).*\(H, W\)'):
        colourise(np.zeros((1, 2, 2), int), PALETTE)


def test_overlay_blends_labelled_pixels_only():
    image = np.array([[[100, 100, 100], [200, 150, 100]]], np.uint8)
    blended = overlay(image, np.array([[1, 255]], np.uint8), PALETTE, alpha=0.25)
    assert blended.tolist() == [[[85, 88, 90], [200, 150, 100]]]  # 0.75 * 100 + 0.25 * (40, 50, 60), rounded to even
    with pytest.raises(ValueError, match=r'\(1, 2\).*\(2, 2\)'):
        overlay(image, np.zeros((2, 2), np.uint8), PALETTE)


@settings(max_examples=60)
@given(labels, st.integers(0, 3))
def test_thicken_takes_a_nearest_labelled_pixel(label, radius):
    grown = thicken(label, radius)
    labelled = np.argwhere(label != 255)
    for y, x in np.ndindex(*label.shape):
        near = [(max(abs(y - v), abs(x - u)), (y - v) ** 2 + (x - u) ** 2, label[v, u]) for v, u in labelled]
        inside = [(distance, value) for reach, distance, value in near if reach <= radius]
        if not inside:
            assert grown[y, x] == 255
        else:
            nearest = min(distance for distance, _ in inside)
            assert grown[y, x] in {value for distance, value in inside if distance == nearest}


@settings(max_examples=100)
@given(labels, st.integers(1, 20), st.integers(1, 20))
def test_resizing_keeps_labels_and_invents_none(label, height, width):
    resized = resize_label(label, (height, width))
    assert resized.shape == (height, width) and resized.dtype == label.dtype
    assert set(np.unique(resized)) <= set(np.unique(label))
    for y, x in np.argwhere(label != 255):  # where a labelled pixel lies, there is a label
        assert resized[int((y + 0.5) * height / label.shape[0]), int((x + 0.5) * width / label.shape[1])] != 255
    if height >= label.shape[0] and width >= label.shape[1]:
        assert set(np.unique(label)) == set(np.unique(resized))


def test_points_survive_shrinking():
    label = np.full((100, 200), 255, np.uint8)
    label[np.arange(0, 100, 10), np.arange(0, 200, 20)] = 3
    assert np.count_nonzero(resize_label(label, (40, 80)) == 3) == 10
    assert np.count_nonzero(label[::5, ::5][1::2] == 3) < 10  # plain subsampling loses some


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((48, 96), (240, 480)),
        ((128, 256), (256, 512)),
        ((360, 480), (360, 480)),
        ((1024, 2048), (240, 480)),
        ((1, 5000), (1, 480)),
    ],
)
def test_panel_size(size, expected):
    assert panel_size(*size, target_width=480) == expected


def test_cells_show_what_was_given():
    image = np.full((20, 40, 3), 200, np.uint8)
    mask = np.zeros((20, 40), np.uint16)
    mask[3, 5] = 40000  # a region id past uint8
    answer = np.full((20, 40), 255, np.uint8)
    answer[3, 5] = 2
    cells = panel_cells(PALETTE, image, np.ones((20, 40), np.uint8), mask, answer, target_width=160)
    assert list(cells) == ['image', 'prediction', 'mask', 'answer']
    assert {cell.shape for cell in cells.values()} == {(80, 160, 3)}
    assert (cells['prediction'] == [40, 50, 60]).all()
    asked = (cells['mask'] == ASKED_COLOUR).all(-1)
    assert asked[12:16, 20:24].all() and asked.sum() == 16
    answered = (cells['answer'] == PALETTE[2]).all(-1)
    assert (answered == asked).all()
    assert panel_cells(PALETTE) == {}
    assert list(panel_cells(PALETTE, mask=mask)) == ['mask']


def test_stacking_and_png_round_trip():
    left, right = np.full((2, 3, 3), 5, np.uint8), np.full((2, 1, 3), 9, np.uint8)
    row = hstack([left, right], gap_px=2, background=0)
    assert row.shape == (2, 6, 3) and row[0, :, 0].tolist() == [5, 5, 5, 0, 0, 9]
    both = vstack([row, right], gap_px=1, background=1)
    assert both.shape == (5, 6, 3) and both[2].min() == 1 and both[3, :, 0].tolist() == [9, 1, 1, 1, 1, 1]
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_png(picture), np.uint8), cv2.IMREAD_COLOR)
    assert (decoded[..., ::-1] == picture).all()
    row_png = cv2.imdecode(
        np.frombuffer(panel_row(PALETTE, {'image': picture, 'mask': np.ones((5, 7))}, 14), np.uint8), 1
    )
    assert row_png.shape == (10, 14 + 8 + 14, 3)
