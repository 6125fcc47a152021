# SPDX-License-Identifier: Apache-2.0
"""Layout of the image discriminator."""
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS

import udatools  # noqa: F401


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='ImageDiscriminator', **kwargs))


def test_default_layout_is_the_published_one():
    layers = list(build(in_channels=19).layers)
    convolutions, activations = layers[::2], layers[1::2]
    assert [conv.in_channels for conv in convolutions] == [19, 64, 128, 256, 512]
    assert [conv.out_channels for conv in convolutions] == [64, 128, 256, 512, 1]
    for conv in convolutions:
        assert (type(conv), conv.kernel_size, conv.stride, conv.padding) == (nn.Conv2d, (4, 4), (2, 2), (1, 1))
        assert conv.bias is not None
    assert len(activations) == 4  # no activation after the last convolution: raw scores
    assert all(type(layer) is nn.LeakyReLU and layer.negative_slope == 0.2 for layer in activations)


def test_equals_the_literal_chain():
    network = build(in_channels=3, channels=(4, 8))
    x = torch.randn(2, 3, 16, 24)
    weights = [(conv.weight, conv.bias) for conv in list(network.layers)[::2]]
    expected = x
    for depth, (weight, bias) in enumerate(weights):
        expected = F.conv2d(expected, weight, bias, stride=2, padding=1)
        if depth < 2:
            expected = torch.where(expected > 0, expected, 0.2 * expected)
    torch.testing.assert_close(network(x), expected)
    assert (expected < 0).any()  # a sigmoid or a rectifier at the end would show


@pytest.mark.parametrize(('size', 'expected'), [((32, 32), (1, 1)), ((128, 256), (4, 8)), ((512, 1024), (16, 32))])
def test_map_is_a_thirty_second_of_the_input(size, expected):
    assert build(in_channels=2, channels=(2, 2, 2, 2))(torch.zeros(1, 2, *size)).shape == (1, 1, *expected)


def test_first_kernel_can_differ():
    convolutions = list(build(in_channels=2, channels=(2, 2), first_kernel_size=3).layers)[::2]
    assert [conv.kernel_size for conv in convolutions] == [(3, 3), (4, 4), (4, 4)]


def test_bad_arguments_and_too_small_inputs_are_named():
    with pytest.raises(ValueError, match='in_channels is 0'):
        build(in_channels=0)
    for kwargs, smallest in ((dict(), 32), (dict(first_kernel_size=3), 31), (dict(channels=(4,)), 4)):
        network = build(in_channels=2, **kwargs)
        assert network(torch.zeros(1, 2, smallest, 64)).shape[2] == 1
        with pytest.raises(ValueError, match=f'{smallest - 1} x 64.*need {smallest} pixels'):
            network(torch.zeros(1, 2, smallest - 1, 64))
