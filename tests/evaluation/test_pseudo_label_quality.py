# SPDX-License-Identifier: Apache-2.0
"""P-mIoU and proportion by hand."""
import math

import cv2
import numpy as np
import pytest

from udatools.datasets import VideoFramesDomain
from udatools.evaluation.pseudo_label_quality import format_quality, labelled_part, pseudo_label_quality
from udatools.registry import DATASETS

CLASSES = dict(name='three', classes=['road', 'car', 'sky'])


def write(folder, key, label):
    path = folder / f'{key}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.array(label, np.uint8))


@pytest.fixture
def scene(tmp_path):
    truth = {'a/1': [[0, 0, 1, 255]], 'a/2': [[1, 1, 0, 0]]}
    kept = {'a/1': [[0, 1, 1, 1]], 'a/2': [[1, 255, 255, 0]]}
    for key in truth:
        write(tmp_path / 'images', key, np.zeros((1, 4, 3)))
        write(tmp_path / 'truth', key, truth[key])
        write(tmp_path / 'pseudo', key, kept[key])
    dataset = VideoFramesDomain(tmp_path / 'images', label_root=tmp_path / 'truth', classes=CLASSES)
    return tmp_path / 'pseudo', dataset


def test_by_hand(scene):
    # both labels on 5 pixels: road 0->0, 0->1, 0->0; car 1->1, 1->1. The fourth pixel of a/1 is kept, but void.
    result = pseudo_label_quality(*scene)
    assert result['P-IoU/road'] == pytest.approx(200 / 3) and result['P-IoU/car'] == pytest.approx(200 / 3)
    assert math.isnan(result['P-IoU/sky']) and result['P-mIoU'] == pytest.approx(200 / 3)
    assert result['proportion'] == 6 / 8 and result['images'] == 2
    table = format_quality(result, 'title')
    assert table.splitlines()[2] == 'road    66.67' and 'mean    66.67   at proportion 0.750, 2 images' in table


def test_a_protocol(scene):
    result = pseudo_label_quality(*scene, protocol=dict(name='cars', classes=['car']))
    assert set(result) == {'P-mIoU', 'proportion', 'images', 'P-IoU/car'}
    assert result['P-IoU/car'] == 100  # the road is not reported, so nothing predicted on it counts


def test_nothing_kept(scene):
    folder, dataset = scene
    for key in dataset.keys:
        write(folder, key, np.full((1, 4), 255))
    result = pseudo_label_quality(folder, dataset)
    assert math.isnan(result['P-mIoU']) and result['proportion'] == 0


def test_errors(scene, tmp_path):
    folder, dataset = scene
    with pytest.raises(FileNotFoundError, match='no pseudo-label for 2 of 2 images, the first is a/1'):
        pseudo_label_quality(tmp_path / 'none', dataset)
    unlabelled = VideoFramesDomain(dataset.data_root, classes=CLASSES)
    with pytest.raises(PermissionError, match='labelled=False'):
        pseudo_label_quality(folder, unlabelled)
    write(folder, 'a/2', [[0, 0]])
    with pytest.raises(ValueError, match=r'a/2.png has shape \(1, 2\).*a/2 \(1, 4\)'):
        pseudo_label_quality(folder, dataset)
    write(folder, 'a/2', [[0, 0, 0, 7]])
    with pytest.raises(ValueError, match=r'a/2.png holds label ids \[7\]'):
        pseudo_label_quality(folder, dataset)


@pytest.mark.parametrize('part', [dict(indices=[3, 9, 14, 15, 29]), dict(portion=0.5)], ids=['indices', 'portion'])
def test_labels_of_a_part_of_the_images_are_scored_on_that_part(uneven_video_root, part):
    root = str(uneven_video_root / 'cityscapes_vps')
    everything = dict(type='CityscapesVPSDomain', data_root=root, split='val', classes='viper15', pipeline=[])
    labelled = DATASETS.build(dict(everything)).keys
    keys = DATASETS.build(dict(everything, labelled=False, **part)).keys
    expected = [key for key in labelled if key in keys]
    assert 0 < len(expected) < len(labelled)
    assert labelled_part(dict(everything, **part), keys).keys == expected
