# SPDX-License-Identifier: Apache-2.0
"""Stride, batch-norm modes and initial weights of the ResNet."""
import pytest
import torch
import torch.nn as nn
from mmseg.registry import MODELS

import udatools  # noqa: F401

TINY = dict(type='UDAResNet', depth=18, base_channels=4, stem_channels=4, weights='scratch')


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(TINY | kwargs)


def norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize(('mode', 'statistics_run', 'affine_trains'),
                         [('adapt', True, True), ('affine', True, False), ('eval', False, False)])
def test_batch_norm_modes(mode, statistics_run, affine_trains):
    network = build(bn_mode=mode)
    network.train()
    before = [(norm.running_mean.clone(), norm.running_var.clone(), norm.weight.clone()) for norm in norms(network)]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1.0)
    network(torch.randn(2, 3, 32, 64) + 1)[-1].square().mean().backward()
    optimiser.step()
    for norm, (mean, var, weight) in zip(norms(network), before, strict=True):
        assert norm.training is statistics_run
        assert torch.equal(norm.running_mean, mean) is not statistics_run
        assert torch.equal(norm.running_var, var) is not statistics_run
        assert torch.equal(norm.weight, weight) is not affine_trains
        assert (norm.weight.requires_grad, norm.bias.requires_grad) == (affine_trains, affine_trains)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all(conv.weight.grad is not None for conv in convolutions)  # a frozen norm does not freeze its neighbours


def test_modes_survive_eval_and_train_again():
    network = build(bn_mode='eval')
    network.eval()
    network.train()
    assert network.training and not any(norm.training for norm in norms(network))
    network = build(bn_mode='affine')
    network.eval()
    assert not any(norm.training for norm in norms(network))


@pytest.mark.parametrize('depth', [18, 50])
def test_output_stride_is_eight(depth):
    expansion = 4 if depth == 50 else 1
    shapes = [tuple(out.shape[1:]) for out in build(depth=depth)(torch.zeros(1, 3, 64, 96))]
    sizes = [(16, 24), (8, 12), (8, 12), (8, 12)]
    assert shapes == [(4 * 2**level * expansion, *size) for level, size in enumerate(sizes)]


def test_last_stages_dilate_instead():
    network = build(depth=50)
    dilations = {name: {conv.dilation for conv in getattr(network, name).modules()
                        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)} for name in network.res_layers}
    assert (2, 2) in dilations['layer3'] and (4, 4) in dilations['layer4']
    assert dilations['layer1'] == dilations['layer2'] == {(1, 1)}


def test_caffe_pooling_rounds_up():
    image = torch.zeros(1, 3, 36, 36)  # 18 after the stem's convolution; pooled to 9, or to 10 with ceil rounding
    assert build()(image)[0].shape[2:] == (9, 9)
    assert build(caffe_pooling=True)(image)[0].shape[2:] == (10, 10)


def test_never_random_without_being_told():
    with pytest.raises(TypeError, match='weights'):
        MODELS.build(dict(type='UDAResNet', depth=18))
    with pytest.raises(ValueError, match="bn_mode is 'frozen'; expected one of adapt, affine, eval"):
        build(bn_mode='frozen')


def test_loads_torchvision_keys(tmp_path):
    donor = build(base_channels=4)
    state = {key: torch.randn_like(value) if value.is_floating_point() else value
             for key, value in donor.state_dict().items()}
    assert {'conv1.weight', 'bn1.running_mean', 'layer1.0.conv1.weight', 'layer2.0.downsample.0.weight',
            'layer2.0.downsample.1.running_var', 'layer4.1.bn2.bias'} <= state.keys()  # torchvision's names
    torch.save(state | {'fc.weight': torch.zeros(10, 32), 'fc.bias': torch.zeros(10)}, tmp_path / 'w.pth')
    network = build(weights=str(tmp_path / 'w.pth'))
    network.init_weights()
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key
