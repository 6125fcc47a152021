# SPDX-License-Identifier: Apache-2.0
"""The dilated VGG16 and that of FCN-8s: layout, strides, and torchvision's weights by name."""
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS

import udatools  # noqa: F401
from udatools.models.backbones.weights import WeightsUnavailableError

# torchvision's vgg16: index in `features` and output channels of each convolution.
TORCHVISION = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 17: 512, 19: 512, 21: 512, 24: 512, 26: 512, 28: 512}
NARROW = 4  # base_channels of the tests; 64 is VGG16


def torchvision_state(base_channels=NARROW):
    generator = torch.Generator().manual_seed(3)
    state, channels = {}, 3
    for index, width in TORCHVISION.items():
        width = width * base_channels // 64
        state[f'features.{index}.weight'] = torch.randn(width, channels, 3, 3, generator=generator) / (9 * channels)**0.5
        state[f'features.{index}.bias'] = torch.randn(width, generator=generator)
        channels = width
    return state | {'classifier.0.weight': torch.zeros(8, 8), 'classifier.6.bias': torch.zeros(10)}


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='DilatedVGG16', **{'weights': 'scratch', 'base_channels': NARROW} | kwargs))


def test_full_width_has_torchvisions_names_and_shapes():
    with torch.device('meta'):
        own = build(base_channels=64).state_dict()
    for index, width in TORCHVISION.items():
        assert own[f'features.{index}.weight'].shape[0] == width
    assert own['features.28.weight'].shape == (512, 512, 3, 3)
    assert own['fc6.0.weight'].shape == (1024, 512, 3, 3) and own['fc7.0.weight'].shape == (1024, 1024, 3, 3)
    convolutions = {key.split('.')[1] for key in own if key.startswith('features.')}
    assert convolutions == {str(index) for index in TORCHVISION}


def test_loads_torchvision_weights_and_computes_with_them(tmp_path):
    state = torchvision_state()
    torch.save(state, tmp_path / 'vgg16.pth')
    network = build(weights=str(tmp_path / 'vgg16.pth'))
    network.init_weights()
    x = torch.randn(1, 3, 32, 48)
    expected, conv4 = x, None
    for index in TORCHVISION:
        dilation = 2 if index >= 24 else 1
        expected = F.conv2d(expected, state[f'features.{index}.weight'], state[f'features.{index}.bias'],
                            padding=dilation, dilation=dilation).relu()
        if index in (2, 7, 14):  # pool1, pool2, pool3; pool4 and pool5 are removed
            expected = F.max_pool2d(expected, 2, 2)
        if index == 21:
            conv4 = expected
    for layer in (network.fc6, network.fc7):
        expected = F.conv2d(expected, layer[0].weight, layer[0].bias, padding=4, dilation=4).relu()
    outputs = network(x)
    torch.testing.assert_close(outputs[0], conv4)
    torch.testing.assert_close(outputs[1], expected)


def test_output_stride_is_eight():
    conv4, fc7 = build()(torch.zeros(1, 3, 64, 96))
    assert conv4.shape == (1, 32, 8, 12) and fc7.shape == (1, 64, 8, 12)


def test_fresh_layers_may_be_missing_but_no_others(tmp_path):
    state = torchvision_state()
    del state['features.10.weight']
    torch.save(state, tmp_path / 'w.pth')
    with pytest.raises(WeightsUnavailableError, match='DilatedVGG16: 1 parameters are missing .features.10.weight'):
        build(weights=str(tmp_path / 'w.pth')).init_weights()


def test_never_random_without_being_told():
    with pytest.raises(TypeError, match='weights'):
        MODELS.build(dict(type='DilatedVGG16'))


def test_both_outputs_train_everything_before_them():
    network = build()
    network.init_weights()
    network(torch.randn(1, 3, 32, 32))[1].sum().backward()
    assert all(conv.weight.grad.abs().sum() > 0 for conv in network.modules() if isinstance(conv, nn.Conv2d))


def build_fcn(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='FCNVGG16', **{'weights': 'scratch', 'base_channels': NARROW} | kwargs))


def full_state():
    """With torchvision's classifier, as narrow as the rest."""
    state, wide, deep = torchvision_state(), 4096 * NARROW // 64, 512 * NARROW // 64
    generator = torch.Generator().manual_seed(4)
    for name, shape in (('classifier.0', (wide, deep * 49)), ('classifier.3', (wide, wide)), ('classifier.6', (10, wide))):
        state[f'{name}.weight'] = torch.randn(shape, generator=generator) / shape[1]**0.5
        state[f'{name}.bias'] = torch.randn(shape[0], generator=generator)
    return state


def test_fcn_strides_of_the_levels():
    outputs = build_fcn()(torch.zeros(1, 3, 64, 96))
    assert [tuple(output.shape[1:]) for output in outputs] == [(16, 8, 12), (32, 4, 6), (256, 2, 3)]


def test_fcn_on_a_large_enough_image_it_is_torchvisions_classifier(tmp_path):
    """The middle of a 7 x 7 map sees what the fully connected layers see."""
    state = full_state()
    torch.save(state, tmp_path / 'vgg16.pth')
    network = build_fcn(weights=str(tmp_path / 'vgg16.pth')).eval()
    network.init_weights()
    x = torch.randn(1, 3, 224, 224)
    expected, pools = x, []
    for index in TORCHVISION:
        expected = F.conv2d(expected, state[f'features.{index}.weight'], state[f'features.{index}.bias'], padding=1).relu()
        if index in (2, 7, 14, 21, 28):
            expected = F.max_pool2d(expected, 2, 2)
            pools.append(expected)
    flat = expected.flatten(1)
    for name in ('classifier.0', 'classifier.3'):
        flat = F.linear(flat, state[f'{name}.weight'], state[f'{name}.bias']).relu()
    pool3, pool4, fc7 = network(x)
    torch.testing.assert_close(pool3, pools[2])
    torch.testing.assert_close(pool4, pools[3])
    torch.testing.assert_close(fc7[:, :, 3, 3], flat, rtol=1e-4, atol=1e-4)


def test_fcn_weights_without_a_classifier_do_not_do(tmp_path):
    state = {key: value for key, value in full_state().items() if not key.startswith('classifier')}
    torch.save(state, tmp_path / 'w.pth')
    with pytest.raises(WeightsUnavailableError, match='FCNVGG16: 4 parameters are missing .fc6'):
        build_fcn(weights=str(tmp_path / 'w.pth')).init_weights()


def test_fcn_trains_and_drops_channels():
    network = build_fcn()
    network.init_weights()
    head = MODELS.build(dict(type='FCN8sHead', in_channels=(16, 32, 256), num_classes=3))
    x = torch.randn(2, 3, 64, 64)
    assert not torch.equal(network(x)[2], network(x)[2]) and torch.equal(network.eval()(x)[2], network(x)[2])
    head(network.train()(x)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())
    assert network.fc6[0].weight.grad.abs().sum() > 0 and network.features[0].weight.grad.abs().sum() > 0
