# SPDX-License-Identifier: Apache-2.0
"""DeepLabv2 head against literal dilated convolutions."""
import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

import udatools  # noqa: F401


def build_head(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='DeepLabV2Head', **{'in_channels': 3, 'in_index': 1, 'num_classes': 4} | kwargs))


def test_equals_the_literal_sum_of_dilated_convolutions():
    head = build_head(dilations=(1, 3, 5))
    for branch in head.branches:
        torch.nn.init.normal_(branch.bias)  # zero biases would hide a forgotten one
    features = [torch.full((2, 7, 9, 11), float('nan')), torch.randn(2, 3, 9, 11)]  # level 0 must not be read
    expected = torch.zeros(2, 4, 9, 11)
    for branch, dilation in zip(head.branches, (1, 3, 5), strict=True):
        expected += F.conv2d(features[1], branch.weight, branch.bias, padding=dilation, dilation=dilation)
    torch.testing.assert_close(head(features), expected)


def test_one_pixel_reaches_exactly_the_taps_of_every_dilation():
    head = build_head(in_channels=1, in_index=0, num_classes=3, dilations=(2, 4))
    for branch in head.branches:
        torch.nn.init.ones_(branch.weight)
    image = torch.zeros(1, 1, 11, 11)
    image[0, 0, 5, 5] = 1.0
    expected = torch.zeros(11, 11)
    for dilation in (2, 4):
        for dy in (-dilation, 0, dilation):
            for dx in (-dilation, 0, dilation):
                expected[5 + dy, 5 + dx] += 1.0
    assert torch.equal(head([image])[0, 0], expected)
    assert expected[5, 5] == 2.0


def test_initial_weights_are_narrow_and_biases_zero():
    head = build_head(in_channels=512, in_index=0, num_classes=19)
    assert [branch.dilation for branch in head.branches] == [(6, 6), (12, 12), (18, 18), (24, 24)]
    for again in (False, True):
        if again:
            for parameter in head.parameters():
                torch.nn.init.constant_(parameter, 3.0)
            head.init_weights()
        for branch in head.branches:
            assert branch.weight.shape == (19, 512, 3, 3)
            assert abs(float(branch.weight.detach().mean())) < 1e-4
            assert float(branch.weight.detach().std()) == pytest.approx(0.01, rel=0.02)
            assert not branch.bias.any()


def test_every_parameter_is_trained_and_none_is_left_over():
    head = build_head(dilations=(1, 2))
    head([None, torch.randn(1, 3, 5, 5)]).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in head.parameters())
    assert sum(parameter.numel() for parameter in head.parameters()) == 2 * (4 * 3 * 9 + 4)
    assert (head.num_classes, head.out_channels) == (4, 4)


def test_dropout_drops_whole_channels_in_training_only():
    head = build_head(in_channels=65, in_index=0, num_classes=3, dilations=(1,), dropout_ratio=0.5)
    torch.nn.init.zeros_(head.branches[0].weight)
    head.branches[0].weight.data[:, :, 1, 1] = 1.0  # the output at a pixel is the sum of its channels
    image = torch.ones(1, 65, 4, 4)
    assert torch.equal(head.eval()([image]), torch.full((1, 3, 4, 4), 65.0))
    dropped = head.train()([image])
    assert torch.equal(dropped, dropped[:, :, :1, :1].expand_as(dropped))  # the same channels everywhere
    assert float(dropped.detach()[0, 0, 0, 0]) % 2 == 0  # kept channels count twice: an odd 65 cannot come out


@pytest.mark.parametrize('dilations', [(), (0, 2), (-6,)])
def test_wrong_dilations_are_refused(dilations):
    with pytest.raises(ValueError, match='dilations is .*expected one or more integers >= 1'):
        build_head(dilations=dilations)
