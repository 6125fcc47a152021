# SPDX-License-Identifier: Apache-2.0
"""ClassMix as part of a segmentor."""
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from udatools.models.mixing import ClassMix
from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor
from udatools.ops.losses import segmentation_cross_entropy

SEGMENTOR = dict(
    type='EncoderDecoder',
    backbone=dict(type='UDAResNet', depth=18, base_channels=4, stem_channels=4, weights='scratch', bn_mode='adapt',
                  strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
    decode_head=dict(type='DeepLabV2Head', in_channels=32, in_index=3, num_classes=3, dilations=(2, 4), align_corners=False),
    train_cfg=dict(), test_cfg=dict(mode='whole'))


def make_batch(prob):
    source = DomainBatch(torch.ones(2, 3, 4, 4), torch.tensor([[[0, 0, 1, 255]] * 4] * 2), ())
    target = DomainBatch(torch.zeros(2, 3, 4, 4), None, (), teacher_prob=prob)
    return UDABatch(source, target)


def test_labels_weights_and_pixels_belong_together():
    prob = torch.tensor([0.0, 0.05, 0.95]).view(1, 3, 1, 1).repeat(2, 1, 4, 4)
    prob[1, :, :2] = 1 / 3  # half of the second image is not confident
    torch.manual_seed(3)
    images, label, weight = ClassMix(threshold=0.9, jitter=0.0, blur_sigma_px=0)(make_batch(prob))
    from_source = images[:, 0] == 1
    assert set(label[from_source].tolist()) <= {0, 1}
    assert torch.equal(label[0][~from_source[0]], torch.full_like(label[0][~from_source[0]], 2))
    assert torch.equal(weight[from_source], torch.ones(int(from_source.sum())))
    assert weight[0][~from_source[0]].unique().tolist() == [1.0]
    assert weight[1][~from_source[1]].unique().tolist() == [0.5]


def test_answers_on_the_target_hold_where_the_teacher_says_otherwise():
    batch = make_batch(torch.ones(2, 3, 4, 4) / 3)  # sure of nothing: weight 0
    batch.target.label = torch.full((2, 4, 4), 255)
    batch.target.label[:, 1:3, 1:3] = 1
    images, label, weight = ClassMix(threshold=0.9, jitter=0.0, blur_sigma_px=0)(batch)
    from_target = images[:, 0] != 1
    answered = torch.zeros_like(from_target)
    answered[:, 1:3, 1:3] = True
    assert (from_target & answered).any() and (from_target & ~answered).any()
    assert (label[from_target & answered] == 1).all() and (weight[from_target & answered] == 1).all()
    assert (label[from_target & ~answered] == 0).all() and (weight[from_target & ~answered] == 0).all()  # the first of equals


def test_ignored_rows_weigh_nothing_but_where_the_source_is_pasted():
    prob = torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).repeat(2, 1, 4, 4)
    torch.manual_seed(3)
    images, _, weight = ClassMix(jitter=0.0, blur_sigma_px=0, ignore_rows=(1, 2))(make_batch(prob))
    from_source = images[:, 0] == 1
    believed = torch.zeros(2, 4, 4, dtype=torch.bool)
    believed[:, 1] = True
    assert from_source.any() and torch.equal(weight, (from_source | believed).float())


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match='teacher=dict'):
        ClassMix()(make_batch(None))
    batch = make_batch(torch.ones(2, 3, 4, 4) / 3)
    batch.source.inputs = torch.ones(2, 3, 4, 6)
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 6\) and \(2, 3, 4, 4\)'):
        ClassMix()(batch)
    with pytest.raises(ValueError, match='threshold is 1.0'):
        ClassMix(threshold=1.0)
    with pytest.raises(ValueError, match='ignore_rows is .-1, 0.'):
        ClassMix(ignore_rows=(-1, 0))


def samples(label):
    return [SegDataSample(gt_sem_seg=PixelData(data=part[None])) for part in label]


def test_the_mixed_domain_trains_the_student_and_moves_no_target_statistics():
    torch.manual_seed(0)
    model = UDASegmentor(SEGMENTOR, teacher=dict(momentum=1.0), mixing=dict(type='ClassMix'), running_statistics='target',
                         objectives=[dict(type='SegmentationCE', name='mixed', domain='mixed')])
    model.teacher.copy_from(model.segmentor)
    label = torch.randint(0, 3, (2, 32, 32))
    inputs = {'source': torch.randn(2, 3, 32, 32), 'target': torch.randn(2, 3, 32, 32)}
    plain = UDASegmentor(SEGMENTOR, running_statistics='target', objectives=[dict(type='SegmentationCE', domain='source')])
    plain.segmentor.load_state_dict(model.segmentor.state_dict())
    data = {'source': samples(label), 'target': samples(torch.full_like(label, 255))}
    losses = model.loss(inputs, data)
    plain.loss(inputs, data)
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.segmentor.parameters())
    assert all(parameter.grad is None for parameter in model.teacher.parameters())
    for (name, own), other in zip(model.segmentor.named_buffers(), plain.segmentor.buffers(), strict=True):
        assert torch.equal(own, other) or 'num_batches' in name, name


def test_weighted_cross_entropy_by_hand():
    logits = torch.zeros(1, 2, 1, 3)
    label = torch.tensor([[[0, 1, 255]]])
    weight = torch.tensor([[[1.0, 0.25, 7.0]]])
    expected = torch.log(torch.tensor(2.0)) * 1.25 / 2
    assert float(segmentation_cross_entropy(logits, label, pixel_weight=weight)) == pytest.approx(float(expected))
