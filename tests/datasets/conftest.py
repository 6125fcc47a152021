# SPDX-License-Identifier: Apache-2.0
"""Tiny data sets in native layouts, written with numpy and OpenCV."""
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope

SHAPE = (24, 32)


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


@pytest.fixture(autouse=True)
def scope():
    """Names in pipelines are looked up as they are under `default_scope = 'mmseg'`."""
    init_default_scope('mmseg')


@pytest.fixture
def trees(tmp_path):
    return Trees(tmp_path)
