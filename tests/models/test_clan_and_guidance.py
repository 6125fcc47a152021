# SPDX-License-Identifier: Apache-2.0
"""CLAN's head and weight cosine, MaxSquare's self-produced guidance."""
import math

import pytest
import torch
from mmseg.registry import MODELS

import udatools  # noqa: F401
from udatools.models.objectives import ClassifierWeightCosine, SelfProducedGuidance
from udatools.models.segmentors import DomainBatch, UDABatch


def build_head(kind='DualDeepLabV2Head'):
    torch.manual_seed(0)
    return MODELS.build(dict(type=kind, in_channels=3, in_index=0, num_classes=4, dilations=(1, 2)))


def test_dual_head_is_the_sum_of_two_ordinary_ones():
    head, feature = build_head(), [torch.randn(2, 3, 6, 7)]
    answers = []
    for branches in (head.branches, head.second_branches):
        for branch in branches:
            torch.nn.init.normal_(branch.bias)
        single = build_head('DeepLabV2Head')
        single.branches.load_state_dict(branches.state_dict())
        answers.append(single(feature))
    first, second = head.pair(feature)
    assert torch.equal(first, answers[0]) and torch.equal(second, answers[1])
    assert torch.equal(head(feature), first + second)
    assert not torch.allclose(first, second)


def test_dual_head_starts_with_two_different_narrow_classifiers():
    head = build_head()
    first, second = head.flat_weights()
    assert len(first) == len(second) == 2 * (4 * 3 * 9 + 4)
    assert not torch.equal(first, second) and float(second.detach().std()) < 0.015
    assert all(not branch.bias.any() for branch in head.second_branches)


def test_segmentor_gives_the_pair_and_their_sum_and_computes_each_once(segmentor_cfg, domain_batch, monkeypatch):
    segmentor_cfg['decode_head']['type'] = 'DualDeepLabV2Head'
    model = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg)).eval()
    calls = []
    original = model.decode_head.pair
    monkeypatch.setattr(model.decode_head, 'pair', lambda features: calls.append(1) or original(features))
    _, logits = model._forward_images(domain_batch[0]['target'])
    assert calls == [1] and set(logits) == {'main', 'first', 'second', 'aux'}
    torch.testing.assert_close(logits['main'], logits['first'] + logits['second'])
    torch.testing.assert_close(model.predict_prob(domain_batch[0]['target'], (32, 64)), logits['main'].softmax(1))


def test_weight_cosine_by_hand_and_its_gradients(segmentor_cfg, domain_batch):
    segmentor_cfg['decode_head']['type'] = 'DualDeepLabV2Head'
    model = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg,
                              objectives=[dict(type='ClassifierWeightCosine', name='w', loss_weight=0.5)]))
    head = model.decode_head
    first, second = ([v for b in branches for p in (b.weight, b.bias) for v in p.flatten().tolist()]
                     for branches in (head.branches, head.second_branches))
    expected = sum(a * b for a, b in zip(first, second, strict=True)) / math.sqrt(
        sum(a * a for a in first) * sum(b * b for b in second))
    losses = model(*domain_batch, mode='loss')
    assert float(losses['w.cosine']) == pytest.approx(expected, abs=1e-6)
    assert float(losses['w.loss_cosine'].detach()) == pytest.approx(0.5 * expected, abs=1e-6)
    losses['w.loss_cosine'].backward()
    touched = {name.split('.')[1] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched == {'decode_head'}
    with torch.no_grad():
        for parameter in head.parameters():
            parameter -= 0.1 * parameter.grad
    assert float(model(*domain_batch, mode='loss')['w.cosine']) < expected


def test_weight_cosine_needs_two_classifiers(segmentor_cfg):
    model = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg))
    with pytest.raises(ValueError, match='DualDeepLabV2Head.*DeepLabV2Head'):
        ClassifierWeightCosine()(None, model)


def literal_guidance(logits, threshold):
    main, aux = (logits[head].double().softmax(1) for head in ('main', 'aux'))
    total, count = 0.0, 0
    for b in range(main.shape[0]):
        for y in range(main.shape[2]):
            for x in range(main.shape[3]):
                mean = [(float(p) + float(q)) / 2 for p, q in zip(main[b, :, y, x], aux[b, :, y, x], strict=True)]
                if max(mean) > threshold:
                    total -= math.log(float(aux[b, mean.index(max(mean)), y, x]))
                    count += 1
    return total / max(count, 1), count


@pytest.mark.parametrize('threshold', [0.0, 0.7, 0.95])
def test_guidance_is_cross_entropy_on_sure_pixels_of_the_mean(threshold):
    generator = torch.Generator().manual_seed(5)
    logits = {head: (4 * torch.randn(2, 3, 4, 5, generator=generator)).requires_grad_() for head in ('main', 'aux')}
    batch = UDABatch(target=DomainBatch(torch.zeros(2, 3, 4, 5), None, (), logits))
    values = SelfProducedGuidance(threshold, loss_weight=0.1)(batch, None)
    expected, count = literal_guidance(logits, threshold)
    assert 0 < count and (count == 40) == (threshold == 0.0)
    assert float(values['loss_aux'].detach()) == pytest.approx(0.1 * expected, rel=1e-5)
    assert float(values['coverage']) == pytest.approx(count / 40)
    values['loss_aux'].backward()
    assert logits['main'].grad is None and logits['aux'].grad.any()


def test_guidance_without_a_sure_pixel_is_zero_and_wrong_settings_are_named():
    logits = {head: torch.zeros(1, 3, 2, 2, requires_grad=True) for head in ('main', 'aux')}
    batch = UDABatch(target=DomainBatch(torch.zeros(1, 3, 2, 2), None, (), logits))
    loss = SelfProducedGuidance()(batch, None)['loss_aux']
    loss.backward()
    assert float(loss.detach()) == 0 and not logits['aux'].grad.any()
    with pytest.raises(ValueError, match='threshold is 1'):
        SelfProducedGuidance(1.0)
    logits.pop('aux')
    with pytest.raises(ValueError, match=r"\['aux'\].*multi-level"):
        SelfProducedGuidance()(batch, None)
