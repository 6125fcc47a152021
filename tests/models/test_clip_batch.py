# SPDX-License-Identifier: Apache-2.0
"""Clips in a batch: flattened for the network, taken apart for objectives; images are what they were."""
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import udatools  # noqa: F401
from udatools.models.segmentors.batch import DomainBatch
from udatools.models.segmentors.data_preprocessor import split_clip

CLASSES = 5


def make_clips(count=2, length=3, size=(30, 62), seed=0, flow=True, back=False):
    """Items as ``PackClipInputs`` makes them; the second frame of the second clip is invalid."""
    generator = torch.Generator().manual_seed(seed)
    inputs, samples = [], []
    for number in range(count):
        inputs.append(torch.randint(0, 256, (length, 3, *size), generator=generator, dtype=torch.uint8))
        meta = dict(clip='c', frames=[10 * number + i for i in range(length)], img_shape=size, ori_shape=size,
                    frame_keys=[f'{number}/{i}' for i in range(length)], frame_paths=[f'{number}/{i}.png' for i in range(length)],
                    frame_valid=[not (number == 1 and i == 1) for i in range(length)])
        sample = SegDataSample(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=torch.randint(0, CLASSES, (length, *size), generator=generator))
        for name in ('flow', 'back_flow')[:flow + back]:
            values = torch.randn(length - 1, 2, *size, generator=generator)
            sample.set_data({name: BaseDataElement(data=values),
                             f'{name}_valid': BaseDataElement(data=torch.ones(length - 1, *size, dtype=torch.bool))})
        samples.append(sample)
    return inputs, samples


def preprocessor(**kwargs):
    return dict(dict(type='UDADataPreprocessor', mean=[10.0, 20.0, 30.0], std=[1.0, 2.0, 4.0], bgr_to_rgb=True, size_divisor=8),
                **kwargs)


def nested(**domains):
    return {part: {name: domain[i] for name, domain in domains.items()} for i, part in enumerate(('inputs', 'data_samples'))}


def as_images(inputs, samples):
    """The same frames as a batch of images, written out."""
    frames, labels = [], []
    for clip, sample in zip(inputs, samples):
        for t in range(len(clip)):
            frames.append(clip[t])
            labels.append(SegDataSample(metainfo=dict(img_shape=sample.img_shape, ori_shape=sample.ori_shape)))
            labels[-1].gt_sem_seg = PixelData(data=sample.gt_sem_seg.data[t][None])
    return frames, labels


class Spy(torch.nn.Module):
    """An objective that keeps the batches it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def optimised_parts(self):
        return {}

    def forward(self, batch, model):
        self.seen.append(batch)
        return {'loss_zero': batch.target.logits['main'].sum() * 0}


def forward(segmentor_cfg, data, processor=None, **kwargs):
    torch.manual_seed(0)
    processor = MODELS.build(processor or preprocessor())
    model = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, data_preprocessor=processor, **kwargs))
    spy = Spy()
    model.objectives['spy'] = spy
    batch = model.data_preprocessor(data, True)
    model(**batch, mode='loss')
    return spy.seen[0]


@pytest.mark.parametrize('shared', [False, True])
def test_frames_are_images_in_the_order_of_the_contract(segmentor_cfg, shared):
    source, target = make_clips(seed=1), make_clips(back=True)
    batch = forward(segmentor_cfg, nested(source=source, target=target), shared_forward=shared)
    plain = forward(segmentor_cfg, nested(source=as_images(*make_clips(seed=1)), target=as_images(*make_clips(back=True))),
                    shared_forward=shared)
    for name in ('source', 'target'):
        ours, theirs = getattr(batch, name), getattr(plain, name)
        assert ours.inputs.shape == (6, 3, 32, 64) and torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.label, theirs.label)
        assert (ours.label[:, 30:] == 255).all() and (ours.label[:, :, 62:] == 255).all()
        assert torch.equal(ours.logits['main'], theirs.logits['main']) and ours.logits['main'].shape == (6, CLASSES, 32, 64)
        assert (theirs.clip_length, theirs.frame_valid, theirs.flow, theirs.back_flow_valid) == (1, None, None, None)
        assert ours.clip_length == 3 and ours.frame_valid.tolist() == [[True, True, True], [True, False, True]]
    inputs, samples = make_clips(back=True)
    for field in ('flow', 'back_flow'):
        values, valid = getattr(batch.target, field), getattr(batch.target, f'{field}_valid')
        assert values.shape == (2, 2, 2, 32, 64) and values.dtype == torch.float32
        assert valid.shape == (2, 2, 32, 64) and valid.dtype == torch.bool
        for b, sample in enumerate(samples):
            assert torch.equal(values[b, :, :, :30, :62], sample.get(field).data)
        assert valid[..., :30, :62].all() and not valid[..., 30:, :].any() and not valid[..., 62:].any()
    assert batch.source.back_flow is None and batch.source.flow is not None
    raw = batch.target.clips(batch.target.inputs)[1, 2, :, :30, :62] * torch.tensor([1.0, 2, 4]).view(3, 1, 1)
    raw = raw + torch.tensor([10.0, 20, 30]).view(3, 1, 1)
    torch.testing.assert_close(raw, inputs[1][2].flip(0).float())  # third frame of the second clip, RGB


def test_clips_view():
    batch = DomainBatch(torch.zeros(6, 3, 4, 4), None, (), clip_length=3)
    frames = torch.arange(6 * 2).view(6, 2)
    view = batch.clips(frames)
    assert view.shape == (2, 3, 2) and view[1, 0].tolist() == frames[3].tolist() and view.data_ptr() == frames.data_ptr()
    last = torch.zeros(6, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert batch.clips(last).data_ptr() == last.data_ptr()
    assert DomainBatch(torch.zeros(2, 3, 4, 4), None, ()).clips(frames).shape == (6, 1, 2)
    with pytest.raises(RuntimeError):
        batch.clips(frames[:5])


def test_clips_on_one_side_only(segmentor_cfg):
    batch = forward(segmentor_cfg, nested(source=as_images(*make_clips(seed=1)), target=make_clips(flow=False)))
    assert batch.source.clip_length == 1 and batch.source.frame_valid is None
    assert batch.target.clip_length == 3 and batch.target.flow is None
    assert batch.source.logits['main'].shape == batch.target.logits['main'].shape


def test_a_clip_of_one_frame(segmentor_cfg):
    batch = forward(segmentor_cfg, nested(target=make_clips(length=1, flow=False)))
    assert batch.target.inputs.shape == (2, 3, 32, 64) and batch.target.clip_length == 1
    assert batch.target.frame_valid.tolist() == [[True], [True]]


def test_samples_of_frames():
    _, samples = make_clips(back=True)
    frames = split_clip(samples[1])
    assert [(frame.key, frame.frame, frame.clip) for frame in frames] == [('1/0', 10, 'c'), ('1/1', 11, 'c'), ('1/2', 12, 'c')]
    assert [frame.img_path for frame in frames] == ['1/0.png', '1/1.png', '1/2.png']
    for i, frame in enumerate(frames):
        assert torch.equal(frame.gt_sem_seg.data, samples[1].gt_sem_seg.data[i:i + 1])
    assert ['flow' in frame for frame in frames] == ['clip_length' in frame for frame in frames] == [True, False, False]
    assert frames[0].frame_valid.tolist() == [True, False, True]
    assert not {'frame_paths', 'frames'} & set(frames[0].metainfo_keys())


@pytest.mark.parametrize('training', [True, False])
def test_a_plain_batch_of_clips(training):
    inputs, samples = make_clips(size=(16, 24))
    out = MODELS.build(preprocessor())({'inputs': inputs, 'data_samples': samples}, training)
    assert out['inputs'].shape == (6, 3, 16, 24) and len(out['data_samples']) == 6
    alone = MODELS.build(preprocessor())({'inputs': inputs}, False)
    assert alone['data_samples'] is None and torch.equal(alone['inputs'], out['inputs'])


def test_domain_transforms_see_frames(segmentor_cfg):
    transform = dict(type='FourierTransfer', beta=0.1)
    ours, images = (
        forward(segmentor_cfg, nested(source=wrap(*make_clips(seed=1)), target=wrap(*make_clips())),
                processor=preprocessor(domain_transforms=[transform])).source.inputs
        for wrap in (lambda *clip: clip, as_images))
    assert torch.equal(ours, images)
    assert not torch.equal(ours, forward(segmentor_cfg, nested(source=make_clips(seed=1), target=make_clips())).source.inputs)


def test_teacher_and_mixing_work_on_frames(segmentor_cfg):
    batch = forward(segmentor_cfg, nested(source=make_clips(seed=1), target=make_clips()), teacher=dict(),
                    mixing=dict(type='ClassMix'))
    assert batch.target.teacher_prob.shape == (6, CLASSES, 32, 64)
    assert batch.mixed.inputs.shape == (6, 3, 32, 64) and batch.mixed.clip_length == 1  # each frame is mixed on its own
    assert batch.target.clips(batch.target.teacher_prob).shape == (2, 3, CLASSES, 32, 64)
