# SPDX-License-Identifier: Apache-2.0
"""Masked image consistency: what the student sees, its loss by hand, and what it leaves alone."""
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from udatools.models.objectives import MaskedConsistency
from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor

PLAIN = dict(jitter=0.0, blur_sigma_px=0)


def make_samples(label):
    return [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in label]


class Seen:
    """Stands in for the segmentor: fixed logits, remembers its inputs."""

    def __init__(self, logits):
        self.logits = logits

    def forward_made(self, images, label, weight):
        self.images = images
        return DomainBatch(images, label, (), {'main': self.logits}, weight=weight)


def make_batch(b=2, c=3, size=(6, 4), label=None):
    generator = torch.Generator().manual_seed(0)
    prob = torch.randn(b, c, *size, generator=generator).mul(3).softmax(1)
    return UDABatch(target=DomainBatch(torch.ones(b, 3, *size), label, (), teacher_prob=prob))


@pytest.mark.parametrize('ignore_rows', [(0, 0), (1, 2)])
def test_loss_by_hand(ignore_rows):
    batch, logits = make_batch(), torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(1))
    objective = MaskedConsistency(block=2, threshold=0.9, ignore_rows=ignore_rows, loss_weight=0.5, **PLAIN)
    loss = objective(batch, Seen(logits))['loss_main']
    total = 0.0
    for prob, one in zip(batch.target.teacher_prob, logits, strict=True):
        quality = sum(float(prob[:, y, x].max()) > 0.9 for y in range(6) for x in range(4)) / 24
        assert 0 < quality < 1
        for y in range(6):
            for x in range(4):
                believed = ignore_rows[0] <= y < 6 - ignore_rows[1]
                total -= believed * quality * float(one[:, y, x].log_softmax(0)[prob[:, y, x].argmax()])
    assert float(loss) == pytest.approx(0.5 * total / 48, rel=1e-5)


def test_the_student_sees_squares_and_the_mean_elsewhere():
    torch.manual_seed(0)
    model = Seen(torch.zeros(2, 3, 16, 16))
    MaskedConsistency(block=4, ratio=0.5, **PLAIN)(make_batch(size=(16, 16)), model)
    assert set(model.images.unique().tolist()) == {0.0, 1.0}
    squares = model.images[:, 0].unfold(1, 4, 4).unfold(2, 4, 4).flatten(3)
    assert torch.equal(squares.amin(3), squares.amax(3)) and torch.equal(model.images[:, 0], model.images[:, 2])
    again = Seen(model.logits)
    torch.manual_seed(0)
    MaskedConsistency(block=4, ratio=0.5, **PLAIN)(make_batch(size=(16, 16)), again)
    assert torch.equal(model.images, again.images)  # a function of the iteration's seed
    MaskedConsistency(block=4, ratio=0.5)(make_batch(size=(16, 16)), again)
    assert len(again.images.unique()) > 2  # colours change with the defaults


def test_answers_hold_and_weigh_one():
    label = torch.full((1, 6, 4), 255)
    label[0, 0, 0] = 2
    batch = make_batch(b=1, label=label)
    batch.target.teacher_prob = torch.full((1, 3, 6, 4), 1 / 3)  # sure of nothing
    logits = torch.randn(1, 3, 6, 4)
    loss = MaskedConsistency(**PLAIN)(batch, Seen(logits))['loss_main']
    assert float(loss) == pytest.approx(-float(logits[0, :, 0, 0].log_softmax(0)[2]) / 24, rel=1e-5)


def test_in_a_segmentor_every_parameter_learns_and_target_statistics_are_those_of_whole_images(segmentor_cfg, domain_batch):
    inputs, samples = domain_batch
    samples = {'source': samples['source'], 'target': make_samples(torch.full((2, 32, 64), 255))}
    segmentor_cfg['backbone'] |= dict(bn_mode='adapt')
    del segmentor_cfg['auxiliary_head']

    def build(*objectives):
        torch.manual_seed(0)
        model = UDASegmentor(segmentor_cfg, teacher=dict(momentum=1.0), running_statistics='target', objectives=objectives)
        model.teacher.copy_from(model.segmentor)
        return model

    model = build(dict(type='MaskedConsistency', block=8, threshold=0.0))
    plain = build(dict(type='SegmentationCE'))
    losses = model.loss(inputs, samples)
    plain.loss(inputs, samples)
    assert list(losses) == ['MaskedConsistency.loss_main'] and losses['MaskedConsistency.loss_main'] > 0
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.segmentor.parameters())
    assert all(parameter.grad is None for parameter in model.teacher.parameters())
    for (name, own), other in zip(model.segmentor.named_buffers(), plain.segmentor.buffers(), strict=True):
        assert torch.equal(own, other) or 'num_batches' in name, name


def test_what_is_wrong_is_named():
    batch = make_batch()
    batch.target.teacher_prob = None
    with pytest.raises(ValueError, match='teacher=dict'):
        MaskedConsistency()(batch, None)
    with pytest.raises(ValueError, match='ratio=0'):
        MaskedConsistency(ratio=0)
    with pytest.raises(ValueError, match=r'ignore_rows=\(-1, 0\)'):
        MaskedConsistency(ignore_rows=(-1, 0))
