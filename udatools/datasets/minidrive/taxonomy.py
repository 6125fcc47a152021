# SPDX-License-Identifier: Apache-2.0
"""Label conventions of MiniDrive: Cityscapes train ids inside, and the raw ids each native format stores on disk.

The raw ids are those of the public sets (Cityscapes labelIds, which GTA5 shares; SYNTHIA-RAND-CITYSCAPES; the
eleven-class CamVid layout; VIPER), so that the dataset classes that read the real sets read MiniDrive too.
"""
from __future__ import annotations

import numpy as np

CLASSES = ('road', 'sidewalk', 'building', 'wall', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation',
           'terrain', 'sky', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
(ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, VEGETATION, TERRAIN, SKY, PERSON, RIDER, CAR, TRUCK, BUS,
 TRAIN, MOTORCYCLE, BICYCLE) = range(19)
VOID = 255
THINGS = frozenset((PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE))

PALETTE = ((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
           (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
           (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32))

CITYSCAPES_RAW_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_RAW_VOID = 4  # 'static'
GTA5_RAW_VOID = 0  # 'unlabeled'
SYNTHIA_RAW_IDS = (3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11)
SYNTHIA_RAW_VOID = 0
# sky building pole road pavement tree sign fence car pedestrian bicyclist, 11 = unlabelled. The merging reading:
# wall -> building, terrain -> tree, light -> sign, every vehicle on four or more wheels or rails -> car,
# every two-wheeler and its rider -> bicyclist.
CAMVID_IDS = (3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10)
CAMVID_VOID = 11
# VIPER has no pole, rider or wall: a pole is infrastructure (10, the reading of the data set class), who rides is a person
# (20), as there, and a wall is unlabelled.
VIPER_RAW_IDS = (3, 4, 9, 0, 11, 10, 13, 14, 8, 6, 2, 20, 20, 24, 27, 26, 29, 23, 22)
VIPER_VOID = 0


def train_to_raw(raw_ids: tuple[int, ...], void: int) -> np.ndarray:
    """Table from train id to the id of a native format.

    Args:
        raw_ids: the raw id of each of the 19 train ids.
        void: the raw id of pixels that are not labelled.

    Returns:
        uint8, (256,), indexed by train id; every index outside 0..18 holds ``void``.
    """
    table = np.full(256, void, np.uint8)
    table[:len(raw_ids)] = raw_ids
    return table


def colour_label(label: np.ndarray) -> np.ndarray:
    """Paint train ids in the Cityscapes palette.

    Args:
        label: uint8, (H, W), train ids, 255 = void.

    Returns:
        uint8, (H, W, 3), RGB, void black.
    """
    table = np.zeros((256, 3), np.uint8)
    table[:len(PALETTE)] = PALETTE
    return table[label]
