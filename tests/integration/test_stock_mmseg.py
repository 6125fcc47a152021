# SPDX-License-Identifier: Apache-2.0
"""A stock mmseg config, run by mmengine's own Runner, reaches udatools through ``custom_imports`` alone."""
import json
import subprocess
import sys

import pytest
from shrink import REPO

CONFIG = """
default_scope = 'mmseg'
custom_imports = dict(imports=['udatools'])
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 64), bgr_to_rgb=True, mean=[120] * 3, std=[60] * 3),
    backbone=dict(type='UDAResNet', depth=18, base_channels=4, stem_channels=4, weights='scratch'),
    decode_head=dict(type='DeepLabV2Head', in_channels=32, in_index=3, num_classes=19, dilations=(2, 4)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadDomainLabel'), dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='GTA5Domain', data_root='{root}/gta5', pipeline=pipeline))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(type='CityscapesDomain', data_root='{root}/cityscapes', split='val', pipeline=pipeline, test_mode=True))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
val_cfg = dict(type='ValLoop')
val_evaluator = dict(type='ProtocolIoUMetric', protocol='cityscapes19')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
work_dir = '{work_dir}'
"""
SCRIPT = """
import json, sys
from mmengine.config import Config
from mmengine.runner import Runner
runner = Runner.from_cfg(Config.fromfile(sys.argv[1]))
runner.train()
json.dump(runner.val(), open(sys.argv[2], 'w'))
"""


@pytest.mark.slow
def test_components_work_under_the_stock_runner(minidrive_root, tmp_path):
    (tmp_path / 'stock.py').write_text(CONFIG.replace('{root}', str(minidrive_root)).replace('{work_dir}', str(tmp_path / 'run')))
    command = [sys.executable, '-c', SCRIPT, str(tmp_path / 'stock.py'), str(tmp_path / 'metrics.json')]
    subprocess.run(command, check=True, cwd=REPO)
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert 0 <= metrics['mIoU'] <= 100 and len([key for key in metrics if key.startswith('IoU/')]) == 19
    assert list((tmp_path / 'run').glob('*.pth'))
