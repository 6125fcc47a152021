# SPDX-License-Identifier: Apache-2.0
"""AdvEnt's entropy space and CLAN's local weights against losses written out with toggled phases."""
import math

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

import udatools  # noqa: F401
from udatools.models.objectives import AdversarialAlignment
from udatools.models.segmentors import DomainBatch, UDABatch


def build(segmentor_cfg, discriminator_cfg, **kwargs):
    torch.manual_seed(0)
    adversarial = dict(type='AdversarialAlignment', name='adv', discriminator=discriminator_cfg, **kwargs)
    model = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, objectives=[adversarial])).eval()
    for parameter in model.decode_head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)  # predictions that differ from 1 / C
    return model


def dual(segmentor_cfg):
    cfg = dict(segmentor_cfg, decode_head=dict(segmentor_cfg['decode_head'], type='DualDeepLabV2Head'))
    cfg.pop('auxiliary_head')
    return cfg


def gradients(loss, parameters):
    return torch.autograd.grad(loss, list(parameters), retain_graph=True)


def check_both_phases(model, losses, adv, dis, level='main'):
    """Values, and the gradients of the generator's phase (D frozen) and of the discriminator's (segmentor frozen)."""
    torch.testing.assert_close(losses[f'adv.loss_adv_{level}'], adv)
    torch.testing.assert_close(losses[f'adv.loss_dis_{level}'], dis)
    generator = [p for p in (*model.segmentor.backbone.parameters(), *model.decode_head.parameters()) if p.requires_grad]
    discriminator = list(model.objectives['adv'].discriminators[level].parameters())
    total = losses[f'adv.loss_adv_{level}'] + losses[f'adv.loss_dis_{level}']
    torch.testing.assert_close(gradients(total, generator), gradients(adv, generator), rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(gradients(total, discriminator), gradients(dis, discriminator), rtol=1e-4, atol=1e-7)


def outputs(model, inputs):
    features = model.segmentor.extract_feat(inputs)
    head = model.decode_head
    logits = head.pair(features) if hasattr(head, 'pair') else (head(features), )
    return [F.interpolate(part, inputs.shape[2:], mode='bilinear', align_corners=False) for part in logits]


def test_entropy_space_is_the_published_map(segmentor_cfg, discriminator_cfg, domain_batch):
    segmentor_cfg.pop('auxiliary_head')
    model = build(segmentor_cfg, discriminator_cfg, space='entropy', weights=dict(main=0.3))
    losses = model(*domain_batch, mode='loss')
    maps = {}
    for name, inputs in domain_batch[0].items():
        prob = outputs(model, inputs)[0].softmax(1)
        maps[name] = -prob * torch.log2(prob + 1e-30) / math.log2(5)
    discriminator = model.objectives['adv'].discriminators['main']
    score = {name: discriminator(value) for name, value in maps.items()}
    one, zero = torch.ones_like(score['source']), torch.zeros_like(score['source'])
    bce = F.binary_cross_entropy_with_logits
    dis = (bce(score['source'], zero) + bce(score['target'], one)) / 2
    check_both_phases(model, losses, 0.3 * bce(score['target'], zero), dis)


def literal_weight(first, second, scale, epsilon):
    out = torch.zeros(first.shape[0], *first.shape[2:])
    first, second = first.softmax(1).detach(), second.softmax(1).detach()
    for b in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                p, q = first[b, :, y, x].tolist(), second[b, :, y, x].tolist()
                dot = sum(i * j for i, j in zip(p, q, strict=True))
                cosine = dot / math.sqrt(sum(i * i for i in p) * sum(j * j for j in q))
                out[b, y, x] = scale * (1 - cosine) + epsilon
    return out[:, None]


@pytest.mark.parametrize('gan', ['bce', 'ls'])
def test_local_weights_are_of_both_target_losses_at_input_size(segmentor_cfg, discriminator_cfg, domain_batch, gan):
    model = build(dual(segmentor_cfg), discriminator_cfg, weights=dict(main=0.3), gan=gan,
                  local_weight=dict(scale=40.0, epsilon=0.4))
    losses = model(*domain_batch, mode='loss')
    pair = {name: outputs(model, inputs) for name, inputs in domain_batch[0].items()}
    prob = {name: (first + second).softmax(1) for name, (first, second) in pair.items()}
    weight = literal_weight(*pair['target'], 40.0, 0.4)
    assert float(weight.max()) > 2 * float(weight.min()) > 0.8
    torch.testing.assert_close(losses['adv.local_weight'], weight.mean(), rtol=1e-4, atol=1e-5)
    discriminator = model.objectives['adv'].discriminators['main']
    score = {name: F.interpolate(discriminator(value), (32, 64), mode='bilinear', align_corners=False)
             for name, value in prob.items()}
    low = discriminator(prob['source'])

    def pixelwise(value, truth):
        if gan == 'ls':
            return (value - truth)**2
        return -F.logsigmoid(value) if truth else -F.logsigmoid(-value)

    adv = 0.3 * (weight * pixelwise(score['target'], 0)).mean()
    dis = (pixelwise(low, 0).mean() + (weight * pixelwise(score['target'], 1)).mean()) / 2
    check_both_phases(model, losses, adv, dis)


def test_equal_classifiers_weigh_epsilon(segmentor_cfg, discriminator_cfg, domain_batch):
    model = build(dual(segmentor_cfg), discriminator_cfg, weights=dict(main=1.0), local_weight=dict(epsilon=0.25))
    model.decode_head.second_branches.load_state_dict(model.decode_head.branches.state_dict())
    assert float(model(*domain_batch, mode='loss')['adv.local_weight']) == pytest.approx(0.25, abs=1e-4)


def test_wrong_choices_are_named(discriminator_cfg):
    def make(**kwargs):
        return AdversarialAlignment(discriminator_cfg, weights=dict(main=1.0), **kwargs)

    with pytest.raises(ValueError, match="space is 'image'.*'entropy'"):
        make(space='image')
    with pytest.raises(ValueError, match=r"local_weight has the keys.*'lambda'"):
        make(local_weight={'lambda': 40})
    part = DomainBatch(torch.zeros(1, 3, 8, 8), None, (), {'main': torch.zeros(1, 5, 8, 8)})
    with pytest.raises(ValueError, match=r"\['first', 'second'\].*DualDeepLabV2Head"):
        make(local_weight={})(UDABatch(part, part), None)
    with pytest.raises(ValueError, match=r"head 'aux', the model has \['main'\]"):
        AdversarialAlignment(discriminator_cfg, weights=dict(aux=1.0))(UDABatch(part, part), None)
