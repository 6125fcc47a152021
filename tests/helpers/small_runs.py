# SPDX-License-Identifier: Apache-2.0
"""Run in a fork before a command of a page: from here on every training config is read at the size of tests.

The data of the folder in which the command is typed are those that `guide_yard.Yard` lays out there.
"""
import os
import sys
from pathlib import Path

import cv2
import torch
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).resolve().parent))
from shrink import shrink_config  # noqa: E402

DATA = {'GTA5Domain': 'data/gta5', 'CityscapesDomain': 'data/cityscapes', 'SYNTHIADomain': 'data/synthia',
        'CamVidDomain': 'data/real/camvid', 'flow of CamVidDomain': 'data/flow/camvid', 'CARLADomain': 'data/real/carla',
        'SYNTHIASeqDomain': 'data/synthia_seq', 'CityscapesSequenceDomain': 'data/cityscapes',
        'flow of CityscapesSequenceDomain': 'data/flow/cityscapes', 'VIPERDomain': 'data/viper',
        'CityscapesVPSDomain': 'data/cityscapes_vps', 'flow of ImageFolderDomain': 'data/yard/flow'}
DATA = {kind: Path(folder) for kind, folder in DATA.items()}
_read = Config.fromfile


def _read_small(path, *args, **kwargs):
    cfg = _read(path, *args, **kwargs)
    if 'iters' in cfg and 'segmentor' in cfg:  # not an exported config
        shrink_config(cfg, data=DATA, scratch=Path('.small'), items=6)  # frame 4 of a clip is labelled
    return cfg


if __name__ == '<run_path>':
    sys.path.insert(0, os.getcwd())  # the root of the clone: its tools are links to those of the repository
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    Config.fromfile = staticmethod(_read_small)
