# SPDX-License-Identifier: Apache-2.0
"""The segmentor's forward passes, its parts, and its predictions against mmseg's own inference."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import udatools  # noqa: F401
from udatools.registry import OBJECTIVES


def build(segmentor_cfg, objectives=(), **kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, objectives=list(objectives), **kwargs))


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('native', [(40, 80), (23, 51), (32, 64)])
def test_predict_prob_equals_mmseg_inference_at_native_size(segmentor_cfg, native, align_corners):
    segmentor_cfg['decode_head']['align_corners'] = align_corners
    segmentor_cfg['auxiliary_head']['align_corners'] = align_corners
    model = build(ConfigDict(segmentor_cfg)).eval()
    for branch in model.decode_head.branches:
        torch.nn.init.normal_(branch.weight, std=1.0)  # probabilities that differ from 1 / C
    inputs = torch.randn(1, 3, 32, 64)
    meta = dict(ori_shape=native, img_shape=(32, 64), pad_shape=(32, 64))
    with torch.no_grad():
        answer = model(inputs, [SegDataSample(metainfo=meta)], mode='predict')[0]
    expected = answer.seg_logits.data.softmax(0)
    prob = model.predict_prob(inputs, native)[0]
    assert prob.dtype == torch.float32 and prob.shape == (5, *native)
    torch.testing.assert_close(prob, expected, rtol=1e-5, atol=1e-6)
    assert float(prob.max() - prob.min()) > 0.2
    assert torch.equal(prob.argmax(0), answer.pred_sem_seg.data[0])
    torch.testing.assert_close(prob.sum(0), torch.ones(native))


def test_objectives_see_one_forward_of_each_domain(segmentor_cfg, domain_batch):
    inputs, samples = domain_batch
    model = build(segmentor_cfg).train()
    seen, calls = [], []

    class Spy(torch.nn.Module):

        def optimised_parts(self):
            return {}

        def forward(self, batch, whole):
            seen.append(batch)
            return {'loss_zero': batch.source.logits['main'].sum() * 0}

    model.objectives['one'], model.objectives['two'] = Spy(), Spy()
    model.segmentor.backbone.register_forward_hook(lambda *args: calls.append(args[1][0]))
    losses = model(inputs, samples, mode='loss')
    assert list(losses) == ['one.loss_zero', 'two.loss_zero']
    assert len(calls) == 2 and seen[0] is seen[1]
    for domain, given in ((seen[0].source, 'source'), (seen[0].target, 'target')):
        features = model.segmentor.extract_feat(inputs[given])
        assert len(domain.features) == 4
        for name, head in (('main', model.segmentor.decode_head), ('aux', model.segmentor.auxiliary_head)):
            expected = F.interpolate(head(features), (32, 64), mode='bilinear', align_corners=False)
            torch.testing.assert_close(domain.logits[name], expected)
        assert torch.equal(domain.label, torch.stack([sample.gt_sem_seg.data[0] for sample in samples[given]]))
        assert domain.label.dtype == torch.int64


def test_absent_domain_and_absent_labels_are_none(segmentor_cfg, domain_batch):
    inputs, samples = domain_batch
    model = build(segmentor_cfg)
    seen = []

    class Spy(torch.nn.Module):

        def forward(self, batch, whole):
            seen.append(batch)
            return {}

    model.objectives['spy'] = Spy()
    model({'target': inputs['target']}, {'target': [SegDataSample(), SegDataSample()]}, mode='loss')
    assert seen[0].source is None and seen[0].target.label is None


def test_parts_cover_every_trainable_parameter_once(segmentor_cfg, discriminator_cfg):
    twice = [dict(type='AdversarialAlignment', name=name, discriminator=discriminator_cfg, weights=weights)
             for name, weights in (('a', dict(main=1.0)), ('b', dict(main=1.0, aux=1.0)))]
    model = build(segmentor_cfg, [dict(type='SegmentationCE', name='source'), *twice])
    parts = model.optimised_parts()
    assert list(parts) == ['segmentor', 'discriminator']
    listed = [id(parameter) for part in parts.values() for parameter in part.parameters()]
    assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters())
    assert len(listed) == len(set(listed))


def test_losses_add_up_and_watched_values_stay_out(segmentor_cfg, domain_batch):
    @OBJECTIVES.register_module(name='WatchedForTest')
    class Watched(torch.nn.Module):

        def optimised_parts(self):
            return {}

        def forward(self, batch, whole):
            return {'loss_a': batch.source.logits['main'].mean() * 0 + 2.0, 'share': torch.tensor(50.0)}

    try:
        model = build(segmentor_cfg, [dict(type='WatchedForTest', name='x'), dict(type='WatchedForTest', name='y')])
        total, log = model.parse_losses(model(*domain_batch, mode='loss'))
    finally:
        OBJECTIVES.module_dict.pop('WatchedForTest')
    assert float(total) == pytest.approx(4.0)
    assert float(log['x.share']) == 50.0


def test_plain_checkpoint_is_a_matter_of_the_prefix(segmentor_cfg):
    model = build(segmentor_cfg, [dict(type='SegmentationCE')])
    stock = MODELS.build(segmentor_cfg)
    state = {key.removeprefix('segmentor.'): value for key, value in model.state_dict().items()}
    assert stock.load_state_dict(state, strict=True)
    assert model.out_channels == 5 and model.decode_head is model.segmentor.decode_head
    assert model.align_corners is False


def running(model):
    return {key: value.clone() for key, value in model.segmentor.state_dict().items() if 'running_' in key}


@pytest.mark.parametrize('whose', ['both', 'target'])
def test_running_statistics_are_those_of_the_named_domains(segmentor_cfg, domain_batch, whose):
    segmentor_cfg['backbone']['bn_mode'] = 'affine'
    inputs, samples = domain_batch
    source = [dict(type='SegmentationCE')]
    model = build(segmentor_cfg, source, running_statistics=whose).train()
    start = model.state_dict()
    start = {key: value.clone() for key, value in start.items()}
    model(inputs, samples, mode='loss')
    together = running(model)
    for domains in (['source', 'target'], ['target']):
        model.load_state_dict(start)
        for name in domains:
            model.segmentor.extract_feat(inputs[name])
        same = all(torch.equal(value, together[key]) for key, value in running(model).items())
        assert same is (domains == {'both': ['source', 'target'], 'target': ['target']}[whose])
    model.load_state_dict(start)
    model({'source': inputs['source']}, {'source': samples['source']}, mode='loss')  # alone, the source moves them
    assert any(not torch.equal(value, start[f'segmentor.{key}']) for key, value in running(model).items())
    assert {layer.momentum for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)} == {0.1}


def test_unknown_running_statistics_are_refused(segmentor_cfg):
    with pytest.raises(ValueError, match="running_statistics is 'source'; expected 'both' or 'target'"):
        build(segmentor_cfg, running_statistics='source')
