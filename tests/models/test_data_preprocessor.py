# SPDX-License-Identifier: Apache-2.0
"""The nested batch of two domains against the plain one."""
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import udatools  # noqa: F401

SETTINGS = dict(mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 4.0], bgr_to_rgb=True, pad_val=0, seg_pad_val=255, size_divisor=1)


def make_domain(size, seed, count=2):
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for _ in range(count)]
    samples = []
    for _ in range(count):
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 5, (1, *size), generator=generator))
        samples.append(sample)
    return inputs, samples


def build(**kwargs):
    return MODELS.build(dict(type='UDADataPreprocessor', **SETTINGS | kwargs))


@pytest.mark.parametrize('training', [True, False])
def test_nested_equals_each_domain_on_its_own(training):
    domains = {'source': make_domain((6, 10), 0), 'target': make_domain((4, 8), 1)}
    nested = build()({'inputs': {name: part[0] for name, part in domains.items()},
                      'data_samples': {name: part[1] for name, part in domains.items()}}, training)
    stock = MODELS.build(dict(type='SegDataPreProcessor', **SETTINGS))
    for name, size, seed in (('source', (6, 10), 0), ('target', (4, 8), 1)):
        inputs, samples = make_domain(size, seed)
        expected = stock({'inputs': inputs, 'data_samples': samples}, training)
        assert torch.equal(nested['inputs'][name], expected['inputs'])
        for ours, theirs in zip(nested['data_samples'][name], expected['data_samples'], strict=True):
            assert torch.equal(ours.gt_sem_seg.data, theirs.gt_sem_seg.data)
    assert nested.keys() == {'inputs', 'data_samples'}


def test_hand_worked_pixel():
    image = torch.tensor([3, 2, 1], dtype=torch.uint8).view(3, 1, 1)  # blue, green, red as OpenCV reads them
    sample = SegDataSample(metainfo=dict(img_shape=(1, 1)))
    out = build()({'inputs': {'target': [image]}, 'data_samples': {'target': [sample]}}, True)
    assert list(out['inputs']) == ['target']  # a missing domain stays missing
    expected = torch.tensor([(1 - 10) / 1, (2 - 20) / 2, (3 - 30) / 4])
    torch.testing.assert_close(out['inputs']['target'].flatten(), expected)


def test_plain_batch_is_the_stock_one():
    inputs, samples = make_domain((6, 10), 0)
    ours = build()({'inputs': inputs, 'data_samples': samples}, False)
    inputs, samples = make_domain((6, 10), 0)
    stock = MODELS.build(dict(type='SegDataPreProcessor', **SETTINGS))({'inputs': inputs, 'data_samples': samples}, False)
    assert isinstance(ours['inputs'], torch.Tensor) and torch.equal(ours['inputs'], stock['inputs'])


def test_padding_of_one_domain_is_ignored_and_leaves_the_other():
    domains = {'source': make_domain((6, 10), 0), 'target': make_domain((4, 8), 1)}
    out = build(size_divisor=4)({'inputs': {name: part[0] for name, part in domains.items()},
                                 'data_samples': {name: part[1] for name, part in domains.items()}}, True)
    assert out['inputs']['source'].shape == (2, 3, 8, 12) and out['inputs']['target'].shape == (2, 3, 4, 8)
    label = out['data_samples']['source'][0].gt_sem_seg.data[0]
    assert (label[6:] == 255).all() and (label[:, 10:] == 255).all() and (label[:6, :10] != 255).all()
