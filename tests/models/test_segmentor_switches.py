# SPDX-License-Identifier: Apache-2.0
"""Shared forward, channels-last and compile: other ways to the same numbers."""
import pytest
import torch
from mmseg.registry import MODELS

import udatools  # noqa: F401

OBJECTIVES = [dict(type='SegmentationCE', name='source', heads=dict(main=1.0, aux=0.1))]


@pytest.fixture
def build(segmentor_cfg, discriminator_cfg):
    def build(name='UDASegmentor', bn_mode='eval', objectives=None, **switches):
        torch.manual_seed(0)
        segmentor = dict(segmentor_cfg, backbone=dict(segmentor_cfg['backbone'], bn_mode=bn_mode))
        adversary = dict(type='AdversarialAlignment', name='adversary', discriminator=discriminator_cfg,
                         weights=dict(main=0.1, aux=0.02))
        return MODELS.build(dict(type=name, segmentor=segmentor, **switches,
                                 objectives=[*OBJECTIVES, adversary] if objectives is None else objectives)).train()

    return build


def losses_and_gradients(model, batch):
    """Logged values, and the gradient of every parameter."""
    model.zero_grad()
    losses = model(*batch, mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    return ({name: float(value.detach()) for name, value in losses.items()},
            {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None})


def assert_same(first, second):
    for own, other in zip(first, second):
        assert own.keys() == other.keys() and own
        for name, value in own.items():
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f'{name}: {text}')


def test_shared_forward_equals_separate_ones(build, domain_batch):
    plain, shared = build(), build(shared_forward=True)
    shared.load_state_dict(plain.state_dict())
    calls = []
    shared.segmentor.backbone.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    expected = losses_and_gradients(plain, domain_batch)
    assert_same(losses_and_gradients(shared, domain_batch), expected)
    assert calls == [4] and max(float(value.abs().max()) for value in expected[1].values()) > 1e-4


def test_shared_forward_splits_unequal_batches_in_their_order(build, domain_batch):
    inputs, samples = domain_batch
    inputs = {'source': inputs['source'][:1], 'target': inputs['target']}
    batch = inputs, {'source': samples['source'][:1], 'target': samples['target']}
    plain, shared = build(), build(shared_forward=True)
    assert_same(losses_and_gradients(shared, batch), losses_and_gradients(plain, batch))
    labels = dict.fromkeys(inputs)
    domains, expected = shared._forward_domains(inputs, labels), plain._forward_domains(inputs, labels)
    for name in inputs:
        assert domains[name].inputs is inputs[name]
        for own, other in zip(domains[name].features, expected[name].features, strict=True):
            torch.testing.assert_close(own, other)
        for head in ('main', 'aux'):
            torch.testing.assert_close(domains[name].logits[head], expected[name].logits[head])


def test_shared_forward_normalises_both_domains_together(build, domain_batch):
    plain, shared = build(bn_mode='adapt'), build(bn_mode='adapt', shared_forward=True)
    separate, together = plain(*domain_batch, mode='loss'), shared(*domain_batch, mode='loss')
    assert abs(separate['source.loss_main'].item() - together['source.loss_main'].item()) > 1e-5
    images = torch.cat(list(domain_batch[0].values()))
    stem = shared.segmentor.backbone.conv1(images)
    own = shared.segmentor.backbone.bn1
    torch.testing.assert_close(own.running_mean, 0.1 * stem.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)


def test_shared_forward_with_one_domain_is_an_ordinary_one(build, domain_batch):
    inputs, samples = domain_batch
    alone = {'source': inputs['source']}, {'source': samples['source']}
    objectives = [dict(OBJECTIVES[0])]
    assert_same(losses_and_gradients(build(shared_forward=True, objectives=objectives), alone),
                losses_and_gradients(build(objectives=objectives), alone))


def test_shared_forward_refuses_what_it_cannot_do(build, domain_batch):
    with pytest.raises(ValueError, match="needs running_statistics='both'"):
        build(shared_forward=True, running_statistics='target')
    inputs, samples = domain_batch
    inputs = dict(inputs, target=inputs['target'][..., :48])
    with pytest.raises(ValueError, match=r"inputs of one size, got \{'source': \(32, 64\), 'target': \(32, 48\)\}; crop or"):
        build(shared_forward=True)(inputs, samples, mode='loss')


@pytest.mark.parametrize('bn_mode', ['eval', 'adapt'])
def test_channels_last_gives_the_same_numbers(build, domain_batch, bn_mode):
    plain, last = build(bn_mode=bn_mode, channels_last=False), build(bn_mode=bn_mode, channels_last=True)
    assert plain.segmentor.backbone.layer1[0].conv1.weight.is_contiguous()
    layouts = []
    last.segmentor.backbone.layer1.register_forward_hook(
        lambda module, inputs, output: layouts.append(output.is_contiguous(memory_format=torch.channels_last)))
    assert_same(losses_and_gradients(last, domain_batch), losses_and_gradients(plain, domain_batch))
    assert layouts == [True, True]  # it went through the network, not only into it
    weight = last.segmentor.backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    last.load_state_dict(plain.state_dict())
    assert not weight.is_contiguous()  # a checkpoint brings values, not their layout
    image = domain_batch[0]['target'][:1]
    torch.testing.assert_close(last.eval().predict_prob(image, (40, 80)), plain.eval().predict_prob(image, (40, 80)))


@pytest.mark.parametrize('channels_last', [False, True])
def test_kept_logits_expand_to_the_same_bits(build, channels_last):
    model = build(channels_last=channels_last).eval()
    torch.nn.init.normal_(model.decode_head.branches[0].weight, std=3.0)
    image = torch.randn(1, 3, 128, 256)
    kept = model.infer_logits(image)
    kept = torch.from_numpy(kept.contiguous().numpy().copy())
    assert torch.equal(model.expand_logits(kept, (128, 256), (256, 512)), model.predict_prob(image, (256, 512)))


def test_switches_work_for_the_pixel_selector(build, domain_batch):
    objectives = [dict(type='SegmentationCE', name='source', heads=dict(main=1.0, second=1.0))]
    dropout_free = dict(name='PixelSelector', dropout_ratio=1e-9, objectives=objectives)
    plain = build(**dropout_free, channels_last=False)
    switched = build(**dropout_free, shared_forward=True, channels_last=True)
    switched.load_state_dict(plain.state_dict())
    assert_same(losses_and_gradients(switched, domain_batch), losses_and_gradients(plain, domain_batch))
    assert switched.second_head.branches[0].weight.requires_grad


@pytest.fixture
def eager(monkeypatch):
    """torch.compile without code generation, so that neither a compiler nor a minute is needed."""
    real = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda module: real(module, backend='eager'))
    yield
    torch._dynamo.reset()


@pytest.mark.slow
def test_compiled_network_gives_the_same_numbers(build, domain_batch, eager):
    from torch._dynamo.utils import counters
    counters.clear()
    plain, compiled = build(), build(compile=True)
    assert_same(losses_and_gradients(compiled, domain_batch), losses_and_gradients(plain, domain_batch))
    assert counters['stats']['unique_graphs'] >= 3  # backbone and both heads
    assert not counters['graph_break']


def test_compile_keeps_the_names_and_compiles_nothing_yet(build):
    plain, compiled = build(), build(compile=True)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    parts = [compiled.segmentor.backbone, compiled.segmentor.decode_head, compiled.segmentor.auxiliary_head]
    assert all(part._compiled_call_impl is not None for part in parts)
    assert compiled.segmentor._compiled_call_impl is None
    compiled.load_state_dict(plain.state_dict())
