# SPDX-License-Identifier: Apache-2.0
"""A very small network for model tests."""
import json

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from pseudo_labelled import THETA

CLASSES = 5


@pytest.fixture
def segmentor_cfg():
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='UDAResNet', depth=18, base_channels=4, stem_channels=4, weights='scratch', bn_mode='eval'),
        decode_head=dict(type='DeepLabV2Head', in_channels=32, in_index=3, num_classes=CLASSES, dilations=(1, 2)),
        auxiliary_head=dict(type='DeepLabV2Head', in_channels=16, in_index=2, num_classes=CLASSES, dilations=(1, 2)),
        train_cfg=dict(), test_cfg=dict(mode='whole'))


@pytest.fixture
def discriminator_cfg():
    return dict(type='ImageDiscriminator', in_channels=CLASSES, channels=(4, 8))


def make_samples(label):
    samples = []
    for one in label:
        sample = SegDataSample(metainfo=dict(ori_shape=tuple(one.shape), img_shape=tuple(one.shape)))
        sample.gt_sem_seg = PixelData(data=one[None])
        samples.append(sample)
    return samples


@pytest.fixture
def domain_batch():
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(2, 3, 32, 64, generator=generator) for name in ('source', 'target')}
    labels = {name: torch.randint(0, CLASSES, (2, 32, 64), generator=generator) for name in inputs}
    return inputs, {name: make_samples(label) for name, label in labels.items()}


@pytest.fixture
def thresholds(tmp_path):
    """File of the thresholds of ``pseudo_labelled``."""
    path = tmp_path / 'thresholds.json'
    path.write_text(json.dumps(dict(final=dict(zip('abcde', THETA)))))
    return str(path)
