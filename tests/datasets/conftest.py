# SPDX-License-Identifier: Apache-2.0
"""Tiny data sets in native layouts, written with numpy and OpenCV."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope

SHAPE = (24, 32)
CITYSCAPES = ('road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain',
              'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
TO_LABEL_ID = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33] + [0] * 237, np.uint8)


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def picture(i: int, shape=SHAPE) -> np.ndarray:
    """A random image whose first pixel is its number."""
    image = np.random.default_rng(i).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image[0, 0] = i
    return image


class Trees:
    """Writes tiny data sets below a folder; ``raw`` are the label ids to draw from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write, self.picture = write, picture

    def labels(self, i, raw, shape=SHAPE):
        return np.random.default_rng(100 + i).choice(np.array(raw, np.uint8), shape)

    def gta5(self, n=5, raw=(0, 7, 8, 33, 34)):
        root = self.root / 'gta5'
        for i in range(n):
            write(root / 'images' / f'{i + 1:05d}.png', picture(i))
            write(root / 'labels' / f'{i + 1:05d}.png', self.labels(i, raw))
        return root

    def cityscapes(self, n=4, split='train', raw=(0, 7, 8, 26, 31), kind='labelIds'):
        root = self.root / 'cityscapes'
        for i in range(n):
            stem = f'city{i % 2}/city{i % 2}_000000_{i:06d}'
            write(root / 'leftImg8bit' / split / f'{stem}_leftImg8bit.png', picture(50 + i))
            write(root / 'gtFine' / split / f'{stem}_gtFine_{kind}.png', self.labels(50 + i, raw))
        return root

    def synthia(self, n=3, raw=(0, 1, 3, 16, 22)):
        root = self.root / 'synthia'
        for i in range(n):
            write(root / 'RGB' / f'{i:07d}.png', picture(i))
            ids = np.full((*SHAPE, 3), 1000, np.uint16)  # the other channels hold instance numbers
            ids[..., 2] = self.labels(i, raw)
            write(root / 'GT' / 'LABELS' / f'{i:07d}.png', ids)
        return root

    def camvid(self, n=3, split='train', raw=(0, 3, 10, 11)):
        root = self.root / 'camvid'
        for i in range(n):
            write(root / split / f'f{i}.jpg', picture(i))
            write(root / f'{split}annot' / f'f{i}.png', self.labels(i, raw))
        return root

    def carla(self, n=4, raw=(0, 1, 7, 22)):
        root = self.root / 'carla'
        for i in range(n):
            write(root / 'images' / f'{i:06d}.jpg', picture(i))
            write(root / 'labels' / f'{i:06d}.png', self.labels(i, raw))
        (root / 'train.txt').write_text(''.join(f'{i:06d}\n' for i in range(n - 1)))
        (root / 'val.txt').write_text(f'{n - 1:06d}\n')
        return root

    def viper(self, clips=2, frames=3, split='train', raw=(0, 2, 3, 10, 25, 31), labelled=lambda frame: True):
        root = self.root / 'viper'
        for clip in range(1, clips + 1):
            for frame in range(1, frames + 1):
                name = f'{clip:03d}/{clip:03d}_{frame:05d}'
                write(root / split / 'img' / f'{name}.jpg', picture(10 * clip + frame))
                if labelled(frame):
                    write(root / split / 'cls' / f'{name}.png', self.labels(10 * clip + frame, raw))
        return root

    def cityscapes_vps(self, clips=2, split='train', dense=True, kinds=('labelmap', )):
        """Clips of 30 frames in img_all (with ``dense``) and img; frames 4, 9, ... 29 labelled in the kinds of folders asked."""
        root, images, annotations = self.root / 'cityscapes_vps', [], []
        categories = [dict(id=i, name=name, isthing=int(i > 10)) for i, name in enumerate(CITYSCAPES)]
        for clip in range(1, clips + 1):
            for position in range(30):
                name = f'ulm_{clip:06d}_{100 + position:06d}'
                if dense:
                    write(root / split / 'img_all' / f'{clip:04d}_{position + 1:04d}_{name}_leftImg8bit.png', picture(position))
                if position % 5 != 4:
                    continue
                stem = f'{clip:04d}_{6 * clip + position // 5:04d}_{name}'
                write(root / split / 'img' / f'{stem}_newImg8bit.png', picture(position))
                label = self.labels(position, (0, 8, 11, 13, 255))
                if 'labelmap' in kinds:
                    write(root / split / 'labelmap' / f'{stem}_final_mask.png', label)
                if 'cls' in kinds:
                    write(root / split / 'cls' / f'{stem}_final_mask.png', TO_LABEL_ID[label])
                if 'panoptic' in kinds:
                    halves = np.arange(SHAPE[1])[None] // 16  # two segments of each class
                    ids = np.where(label == 255, 0, 1000 * label.astype(int) + 1 + halves)
                    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
                    write(root / split / 'panoptic_video' / f'{stem}_final_mask.png', rgb[..., ::-1])
                    images.append(dict(id=stem, file_name=f'{stem}_newImg8bit.png'))
                    annotations.append(dict(image_id=stem, file_name=f'{stem}_final_mask.png', segments_info=[
                        dict(id=int(one), category_id=int(one) // 1000, iscrowd=0) for one in np.unique(ids[ids > 0])]))
        if 'panoptic' in kinds:
            (root / f'panoptic_gt_{split}_city_vps.json').write_text(json.dumps(
                dict(images=images, annotations=annotations, categories=categories)))
        return root

    def cityscapes_sequence(self, split='train'):
        """Two snippets of a city that numbers whole drives, and one of a city that numbers snippets."""
        root = self.root / 'cityscapes'
        for drive, first in (('bonn_000000', 281), ('bonn_000000', 576), ('ulm_000003', 0)):
            city = drive.partition('_')[0]
            for position in range(30):
                stem = f'{city}/{drive}_{first + position:06d}'
                write(root / 'leftImg8bit_sequence' / split / f'{stem}_leftImg8bit.png', picture(position))
                if position == 19:
                    write(root / 'gtFine' / split / f'{stem}_gtFine_labelIds.png', self.labels(position, (0, 7, 25, 33)))
        return root

    def synthia_seq(self, frames=3, raw=(0, 3, 11, 12, 15), cameras=('Stereo_Left/Omni_F', 'Stereo_Right/Omni_B')):
        root = self.root / 'synthia_seq'
        for drive in ('SYNTHIA-SEQS-02-FALL', 'SYNTHIA-SEQS-04-DAWN'):
            for camera in cameras:
                for frame in range(frames):
                    write(root / drive / 'RGB' / camera / f'{frame:06d}.png', picture(frame))
                    ids = np.full((*SHAPE, 3), 1000, np.uint16)
                    ids[..., 2] = self.labels(frame, raw)
                    write(root / drive / 'GT' / 'LABELS' / camera / f'{frame:06d}.png', ids)
        return root


@pytest.fixture(autouse=True)
def scope():
    """Names in pipelines are looked up as they are under `default_scope = 'mmseg'`."""
    init_default_scope('mmseg')


@pytest.fixture
def trees(tmp_path):
    return Trees(tmp_path)
