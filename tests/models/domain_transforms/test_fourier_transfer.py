# SPDX-License-Identifier: Apache-2.0
"""The transfer inside of a training batch: who is paired with whom, when it runs, and what it leaves alone."""
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import udatools  # noqa: F401
from udatools.models.domain_transforms import DomainTransform, FourierTransfer
from udatools.ops.fourier import fourier_style_transfer
from udatools.registry import DOMAIN_TRANSFORMS

SETTINGS = dict(mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 4.0], bgr_to_rgb=True, pad_val=0, seg_pad_val=255, size_divisor=1)
FOURIER = [dict(type='FourierTransfer', beta=0.1)]


def make_domain(size, seed, count=2):
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for _ in range(count)]
    samples = []
    for _ in range(count):
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 5, (1, *size), generator=generator))
        samples.append(sample)
    return inputs, samples


def run(domains, *, training=True, transforms=FOURIER):
    model = MODELS.build(dict(type='UDADataPreprocessor', domain_transforms=transforms, **SETTINGS))
    batch = {'inputs': {name: list(part[0]) for name, part in domains.items()},
             'data_samples': {name: part[1] for name, part in domains.items()}}
    return model(batch, training)


def normalised(image):
    """BGR in 0..255 to what the network sees."""
    return (image[[2, 1, 0]] - torch.tensor(SETTINGS['mean']).view(3, 1, 1)) / torch.tensor(SETTINGS['std']).view(3, 1, 1)


def test_raw_images_are_transferred_before_they_are_normalised():
    domains = {'source': make_domain((12, 20), 0), 'target': make_domain((12, 20), 1)}
    out = run(domains)
    for i in range(2):
        image = fourier_style_transfer(domains['source'][0][i][None], domains['target'][0][i][None], 0.1)[0]
        torch.testing.assert_close(out['inputs']['source'][i], normalised(image))
        torch.testing.assert_close(out['inputs']['target'][i], normalised(domains['target'][0][i].float()))
        assert torch.equal(out['data_samples']['source'][i].gt_sem_seg.data, domains['source'][1][i].gt_sem_seg.data)
    plain = run(domains, transforms=[])
    assert torch.equal(plain['inputs']['target'], out['inputs']['target'])
    assert not torch.allclose(plain['inputs']['source'], out['inputs']['source'], atol=1)


@pytest.mark.parametrize('domains', [['source'], ['target']])
def test_a_batch_of_one_domain_passes(domains):
    batch = {name: make_domain((6, 8), 0) for name in domains}
    out, plain = run(batch), run(batch, transforms=[])
    assert list(out['inputs']) == domains
    assert torch.equal(out['inputs'][domains[0]], plain['inputs'][domains[0]])


def test_nothing_is_transferred_outside_of_training():
    batch = {'source': make_domain((6, 8), 0), 'target': make_domain((6, 8), 1)}
    out, plain = run(batch, training=False), run(batch, training=False, transforms=[])
    assert torch.equal(out['inputs']['source'], plain['inputs']['source'])
    inputs, samples = make_domain((6, 8), 0)
    model = MODELS.build(dict(type='UDADataPreprocessor', domain_transforms=FOURIER, **SETTINGS))
    for training in (False, True):  # a plain batch has no domains
        out = model({'inputs': list(inputs), 'data_samples': samples}, training)
        torch.testing.assert_close(out['inputs'][0], normalised(inputs[0].float()))


def test_fewer_target_images_start_over_and_sizes_may_differ():
    source, target = make_domain((12, 20), 0, count=5)[0], make_domain((10, 14), 1, count=2)[0]
    raw = {'source': [image.float() for image in source], 'target': [image.float() for image in target]}
    out = FourierTransfer(beta=0.2)(raw)
    assert out['target'] is raw['target'] and len(out['source']) == 5
    for i, partner in enumerate((0, 1, 0, 1, 0)):
        expected = fourier_style_transfer(raw['source'][i][None], raw['target'][partner][None], 0.2)[0]
        assert torch.equal(out['source'][i], expected)
    mixed = {'source': [torch.rand(3, 8, 8), torch.rand(3, 6, 10)], 'target': [torch.rand(3, 7, 9)]}
    assert [tuple(image.shape) for image in FourierTransfer(0.1)(mixed)['source']] == [(3, 8, 8), (3, 6, 10)]


def test_transforms_run_in_order():
    calls = []

    @DOMAIN_TRANSFORMS.register_module(name='_Recorder')
    class Recorder(DomainTransform):

        def __init__(self, name):
            self.name = name

        def __call__(self, images):
            calls.append((self.name, images['source'][0].dtype))
            return {name: [image + 1 for image in part] for name, part in images.items()}

    try:
        batch = {'source': make_domain((6, 8), 0), 'target': make_domain((6, 8), 1)}
        out = run(batch, transforms=[dict(type='_Recorder', name='a'), dict(type='_Recorder', name='b')])
    finally:
        DOMAIN_TRANSFORMS.module_dict.pop('_Recorder')
    assert calls == [('a', torch.float32), ('b', torch.float32)]
    torch.testing.assert_close(out['inputs']['target'][0], normalised(batch['target'][0][0].float() + 2))


def test_beta_is_checked_when_built():
    with pytest.raises(ValueError, match='beta is 0.7'):
        DOMAIN_TRANSFORMS.build(dict(type='FourierTransfer', beta=0.7))
