# SPDX-License-Identifier: Apache-2.0
"""Tiny generated data in every layout that a config reads."""
import cv2
import numpy as np
import pytest

CARLA_TAGS = np.array([7, 8, 1, 11, 2, 5, 18, 12, 9, 22, 13, 4, 4, 10, 10, 10, 10, 10, 10] + [0] * 237, np.uint8)


@pytest.fixture(scope='session')
def tiny_data(minidrive_root, tmp_path_factory):
    """Root folder by dataset type."""
    carla = tmp_path_factory.mktemp('carla')
    _write_carla(minidrive_root / 'cityscapes', carla)
    return {'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes',
            'SYNTHIADomain': minidrive_root / 'synthia', 'CamVidDomain': minidrive_root / 'camvid', 'CARLADomain': carla}


def _write_carla(cityscapes, carla):
    """The Cityscapes training images again, in the layout of the CARLA set."""
    for name in ('images', 'labels'):
        (carla / name).mkdir(parents=True)
    ids = []
    for path in sorted((cityscapes / 'leftImg8bit' / 'train').rglob('*.png')):
        label = cityscapes / 'gtFine' / 'train' / path.parent.name / path.name.replace('leftImg8bit', 'gtFine_labelTrainIds')
        ids.append(f'{len(ids):06d}')
        cv2.imwrite(str(carla / 'images' / f'{ids[-1]}.jpg'), cv2.imread(str(path)))
        cv2.imwrite(str(carla / 'labels' / f'{ids[-1]}.png'), CARLA_TAGS[cv2.imread(str(label), cv2.IMREAD_UNCHANGED)])
    (carla / 'train.txt').write_text('\n'.join(ids))
    (carla / 'val.txt').write_text(ids[0])
