# SPDX-License-Identifier: Apache-2.0
"""Labels survive resizing: hand-worked values, a slow reference, properties, and the measured case."""
from fractions import Fraction
from math import floor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.datasets.transforms import SparseSafeResize, resize_label
from udatools.registry import TRANSFORMS


def place(i, source, target):
    """Destination pixel that the centre of a source pixel maps to, in exact fractions."""
    return floor((Fraction(2 * i + 1, 2)) * target / source)


def reference(label, shape):
    """The rule, pixel by pixel: centre-aligned sampling, then the nearest labelled centre inside a free pixel."""
    (h, w), (nh, nw) = label.shape, shape
    out = np.full(shape, 255, label.dtype)
    for y in range(nh):
        for x in range(nw):
            out[y, x] = label[floor(Fraction(2 * y + 1, 2) * h / nh), floor(Fraction(2 * x + 1, 2) * w / nw)]
    free = out == 255
    best = {}
    for y in range(h):
        for x in range(w):
            at = place(y, h, nh), place(x, w, nw)
            if label[y, x] != 255 and free[at]:
                dy = Fraction(2 * y + 1, 2) * nh / h - at[0] - Fraction(1, 2)
                dx = Fraction(2 * x + 1, 2) * nw / w - at[1] - Fraction(1, 2)
                best.setdefault(at, []).append((dy * dy + dx * dx, y, x))
    for at, candidates in best.items():
        _, y, x = min(candidates)
        out[at] = label[y, x]
    return out


def test_hand_values_one_row():
    # 5 -> 2 pixels: destination centres lie on source 1.25 and 3.75, so pixels 1 and 3 are sampled; source centres
    # 0.5 1.5 | 2.5 3.5 4.5 times 2/5 are 0.2 0.6 | 1.0 1.4 1.8.
    row = lambda *values: np.array([values], np.uint8)  # noqa: E731
    assert resize_label(row(255, 7, 255, 8, 255), (1, 2)).tolist() == [[7, 8]]
    assert resize_label(row(7, 255, 255, 255, 8), (1, 2)).tolist() == [[7, 8]]  # plain nearest loses both
    assert resize_label(row(255, 255, 9, 255, 255), (1, 2)).tolist() == [[255, 9]]
    assert resize_label(row(1, 2, 3, 4, 5), (1, 2)).tolist() == [[2, 4]]  # dense: plain sampling
    assert resize_label(row(255, 255, 9, 255, 8), (1, 2)).tolist() == [[255, 8]]  # 1.8 is nearer to 1.5 than 1.0 is
    assert resize_label(row(255, 255, 9, 255, 255), (1, 10)).tolist() == [[255] * 4 + [9, 9] + [255] * 4]


def test_measured_case():
    """105 isolated points, 2048x1024 -> 1280x640: nearest keeps about 41, splatting keeps all."""
    rng = np.random.default_rng(0)
    label = np.full((1024, 2048), 255, np.uint8)
    cells = rng.permutation(64 * 128)[:105]  # one point in a cell of 16x16: isolated
    ys = cells // 128 * 16 + rng.integers(2, 14, 105)
    xs = cells % 128 * 16 + rng.integers(2, 14, 105)
    label[ys, xs] = rng.integers(0, 19, 105)
    nearest = cv2.resize(label, (1280, 640), interpolation=cv2.INTER_NEAREST)
    kept = resize_label(label, (640, 1280))
    assert 25 <= (nearest != 255).sum() <= 60
    assert (kept != 255).sum() == 105
    for y, x in zip(ys, xs):
        assert kept[place(y, 1024, 640), place(x, 2048, 1280)] == label[y, x]


labels = st.integers(1, 12).flatmap(lambda h: st.integers(1, 12).flatmap(lambda w: st.lists(
    st.sampled_from([255, 255, 255, 0, 1, 2]), min_size=h * w, max_size=h * w).map(
        lambda values: np.array(values, np.uint8).reshape(h, w))))
shapes = st.tuples(st.integers(1, 14), st.integers(1, 14))


@settings(max_examples=150, deadline=None)
@given(labels, shapes)
def test_equals_the_slow_reference(label, shape):
    assert np.array_equal(resize_label(label, shape), reference(label, shape))


@settings(max_examples=150, deadline=None)
@given(labels, shapes)
def test_no_labelled_point_is_lost_unless_two_share_a_pixel(label, shape):
    out = resize_label(label, shape)
    cells = {}
    for y, x in zip(*np.nonzero(label != 255)):
        at = place(y, label.shape[0], shape[0]), place(x, label.shape[1], shape[1])
        cells.setdefault(at, []).append(label[y, x])
    for at, values in cells.items():
        assert out[at] in values
    assert set(np.unique(out)) <= set(np.unique(label))
    # Nothing is invented: when shrinking in both directions a labelled pixel has a labelled centre inside.
    if shape[0] <= label.shape[0] and shape[1] <= label.shape[1]:
        assert (out != 255).sum() == len(cells)


@settings(max_examples=50, deadline=None)
@given(labels, shapes)
def test_dense_labels_are_plain_sampling(label, shape):
    dense = np.where(label == 255, np.uint8(3), label)
    rows = (2 * np.arange(shape[0]) + 1) * label.shape[0] // (2 * shape[0])
    cols = (2 * np.arange(shape[1]) + 1) * label.shape[1] // (2 * shape[1])
    assert np.array_equal(resize_label(dense, shape), dense[np.ix_(rows, cols)])


def results(shape=(40, 60)):
    rng = np.random.default_rng(1)
    label = np.full(shape, 255, np.uint8)
    label[rng.integers(0, shape[0], 20), rng.integers(0, shape[1], 20)] = 4
    return dict(
        img=rng.integers(0, 256, (*shape, 3), dtype=np.uint8), gt_seg_map=label, seg_fields=['gt_seg_map'],
        img_shape=shape, ori_shape=shape)


@pytest.mark.parametrize('kwargs, size', [
    (dict(scale=(30, 20)), (20, 30)),
    (dict(scale=(33, 33), keep_ratio=True), (22, 33)),
    (dict(scale_factor=0.5), (20, 30)),
])
def test_transform_keeps_image_and_label_together(kwargs, size):
    before = results()
    after = SparseSafeResize(**kwargs)(results())
    assert after['img'].shape[:2] == after['gt_seg_map'].shape == after['img_shape'] == size
    assert np.array_equal(after['gt_seg_map'], resize_label(before['gt_seg_map'], size))
    plain = TRANSFORMS.build(dict(type='Resize', **kwargs))(results())
    assert np.array_equal(after['img'], plain['img'])
    assert after['scale_factor'] == plain['scale_factor']


def test_inside_random_resize():
    transform = TRANSFORMS.build(
        dict(type='RandomResize', scale=(60, 40), ratio_range=(0.5, 0.5), resize_type='SparseSafeResize',
             keep_ratio=True))
    before, after = results(), transform(results())
    assert np.array_equal(after['gt_seg_map'], resize_label(before['gt_seg_map'], (20, 30)))
