# SPDX-License-Identifier: Apache-2.0
"""Crops around rare classes: what is rare, where the crop lies, padding, and what happens without a file."""
import json
import os
from collections import Counter

import numpy as np
import pytest

from udatools.registry import TRANSFORMS
from udatools.utils.rng import scoped_rng

CROP = (4, 6)


@pytest.fixture
def coverage(tmp_path):
    """Function: write ``coverage.json`` with the predicted pixels of each class; returns its path."""

    def write(*predicted):
        path = tmp_path / 'coverage.json'
        path.write_text(json.dumps(dict(classes={f'class{i}': dict(predicted=n, kept=0) for i, n in enumerate(predicted)})))
        return str(path)

    return write


def build(**arguments):
    return TRANSFORMS.build(dict(type='RareClassCrop', crop_size=CROP, **arguments))


def sample(shape=(20, 30), pixels=()):
    """An image whose pixels hold their own position, and its label map of zeros with single pixels of other classes."""
    rows, columns = np.mgrid[:shape[0], :shape[1]]
    label = np.zeros(shape, np.uint8)
    for row, column, value in pixels:
        label[row, column] = value
    return dict(img=np.stack([rows, columns, rows * 0], -1).astype(np.uint8), gt_seg_map=label, ori_shape=shape,
                seg_fields=['gt_seg_map'])


def crops(transform, count=400, **arguments):
    out = []
    for i in range(count):
        with scoped_rng(0, 'crop', i):
            out.append(transform.transform(sample(**arguments)))
    return out


def test_rare_is_what_makes_up_less_than_the_share(coverage):
    transform = build(coverage=coverage(99_800, 100, 99, 0, 1), share=1e-3)
    assert transform.rare_classes().tolist() == [2, 3, 4]  # 100 of 100000 is the share itself
    assert build(coverage=coverage(5, 5, 0)).rare_classes().tolist() == [2]
    assert build().rare_classes().size == 0 and build(coverage='/nowhere/coverage.json').rare_classes().size == 0


def test_image_and_label_stay_together_and_the_crop_is_centred(coverage):
    transform = build(coverage=coverage(10**6, 5, 5), prob=1.0)
    for result in crops(transform, 50, pixels=[(10, 15, 1)]):
        assert result['img'].shape == (*CROP, 3) and result['img_shape'] == CROP and result['gt_seg_map'].shape == CROP
        assert result['img'][0, 0].tolist() == [8, 12, 0]
        assert np.argwhere(result['gt_seg_map'] == 1).tolist() == [[2, 3]]


@pytest.mark.parametrize('row, column, corner', [(0, 0, (0, 0)), (19, 29, (16, 24)), (1, 29, (0, 24))])
def test_at_the_border_the_crop_stays_inside(coverage, row, column, corner):
    transform = build(coverage=coverage(10**6, 5), prob=1.0)
    result = crops(transform, 1, pixels=[(row, column, 1)])[0]
    assert tuple(result['img'][0, 0, :2]) == corner and (result['gt_seg_map'] == 1).sum() == 1


def test_probability_class_and_pixel_are_drawn_evenly(coverage):
    """Rare: 1 with one pixel, 2 with two, 3 nowhere in the image; 4 is not rare. Crops do not overlap two of the pixels."""
    pixels = [(2, 3, 1), (10, 15, 2), (17, 26, 2), (2, 26, 4)]
    results = crops(build(coverage=coverage(10**6, 5, 5, 5, 10**6)), 2000, pixels=pixels)
    seen = Counter(tuple(int(n) for n in result['img'][0, 0, :2]) for result in results)
    around = {pixel: seen[min(max(pixel[0] - 2, 0), 16), min(max(pixel[1] - 3, 0), 24)] / 2000 for pixel in pixels}
    anywhere = 0.2 / (17 * 25)
    for pixel, share in zip(pixels, (0.4, 0.2, 0.2, 0.0)):
        assert around[pixel] == pytest.approx(share + anywhere, abs=0.035)


@pytest.mark.parametrize('arguments', [dict(coverage=None), dict(coverage='missing'), dict(prob=0.0), dict(nothing_rare=True)])
def test_otherwise_every_position_is_as_likely(coverage, arguments):
    rare = 10**6 if arguments.pop('nothing_rare', False) else 5
    transform = build(**{'coverage': coverage(10**6, rare), **arguments})
    seen = Counter(tuple(int(n) for n in result['img'][0, 0, :2])
                   for result in crops(transform, 1500, shape=(5, 8), pixels=[(2, 3, 1)]))
    assert len(seen) == 2 * 3 and max(seen.values()) < 1.4 * min(seen.values())


@pytest.mark.parametrize('shape', [(3, 30), (20, 5), (3, 5)])
def test_small_images_are_padded(coverage, shape):
    transform = build(coverage=coverage(10**6, 5), prob=1.0, pad_value=(1, 2, 3))
    result = crops(transform, 1, shape=shape, pixels=[(2, 4, 1)])[0]
    assert result['img'].shape == (*CROP, 3) and result['gt_seg_map'].shape == CROP
    height, width = min(shape[0], CROP[0]), min(shape[1], CROP[1])
    assert (result['gt_seg_map'][height:] == 255).all() and (result['gt_seg_map'][:, width:] == 255).all()
    assert (result['gt_seg_map'][:height, :width] != 255).all() and (result['gt_seg_map'] == 1).sum() == 1
    assert (result['img'][height:] == (1, 2, 3)).all() and (result['img'][:, width:] == (1, 2, 3)).all()


def test_a_new_file_is_read_again_and_an_old_one_is_not(coverage, monkeypatch):
    transform = build(coverage=coverage(10**6, 5, 10**6))
    assert transform.rare_classes().tolist() == [1]
    opened = []
    monkeypatch.setattr('builtins.open', lambda *a, **k: opened.append(a) or 1 / 0)
    assert transform.rare_classes().tolist() == [1] and not opened
    monkeypatch.undo()
    path = coverage(10**6, 10**6, 5)
    os.utime(path, ns=(1, 1))
    assert transform.rare_classes().tolist() == [2]


@pytest.mark.parametrize('arguments', [dict(crop_size=(0, 4)), dict(crop_size=(4, )), dict(prob=1.1), dict(share=-1)])
def test_refuses(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        TRANSFORMS.build({'type': 'RareClassCrop', 'crop_size': CROP, **arguments})


def test_without_a_label_the_order_is_wrong():
    with pytest.raises(ValueError, match='after LoadDomainLabel'):
        build().transform(dict(img=np.zeros((8, 8, 3), np.uint8)))
