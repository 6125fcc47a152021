# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA as the source, on MiniDrive in its layout: both protocols from one network, and CamVid's classes."""
import numpy as np
import pytest
from shrink import REPO, shrink

from udatools.engine.runner import StagedRunner
from udatools.evaluation import get_protocol

METHOD = REPO / 'configs' / 'adaptsegnet'


def test_both_protocols_of_one_network(tiny_data, tmp_path):
    cfg = shrink(METHOD / 'adaptsegnet_syn2cs.py', data=tiny_data, work_dir=tmp_path)
    results = StagedRunner(cfg).train()
    assert results['protocol'] == 'synthia16' and len(results['classes']) == 16
    metrics = results['stages'][0]['metrics']
    of_13 = {key.removeprefix('IoU/'): value for key, value in metrics['synthia13'].items() if key.startswith('IoU/')}
    assert set(of_13) == set(get_protocol('synthia13').classes) == set(metrics['IoU']) - {'wall', 'fence', 'pole'}
    assert metrics['synthia13']['mIoU'] == pytest.approx(np.mean([iou for iou in of_13.values() if iou is not None]), abs=0.01)
    for name, iou in of_13.items():  # the same network; walls, fences and poles can be mistaken for nothing any more
        assert iou is None or iou >= metrics['IoU'][name] - 0.01


def test_classes_of_camvid(tiny_data, tmp_path):
    cfg = shrink(METHOD / 'adaptsegnet_syn2camvid.py', data=tiny_data, work_dir=tmp_path)
    results = StagedRunner(cfg).train()
    assert results['protocol'] == 'camvid11' and results['stages'][0]['metrics']['mIoU'] >= 0
