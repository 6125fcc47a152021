# SPDX-License-Identifier: Apache-2.0
"""FCN-8s: scores of three levels, added up."""
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS

import udatools  # noqa: F401


def build_head(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='FCN8sHead', in_channels=(3, 4, 5), num_classes=2, **kwargs))


@pytest.mark.parametrize('sizes', [((8, 12), (4, 6), (2, 3)), ((7, 9), (3, 4), (1, 2))])  # the second do not divide
def test_scores_of_three_levels_add_up(sizes):
    head = build_head()
    for score in head.scores:
        nn.init.normal_(score.weight)
        nn.init.normal_(score.bias)
    features = [torch.randn(2, channels, *size) for channels, size in zip((3, 4, 5), sizes, strict=True)]
    scores = [F.conv2d(feature, score.weight, score.bias) for feature, score in zip(features, head.scores, strict=True)]
    middle = F.interpolate(scores[2], sizes[1], mode='bilinear', align_corners=False) + scores[1]
    expected = F.interpolate(middle, sizes[0], mode='bilinear', align_corners=False) + scores[0]
    torch.testing.assert_close(head(features), expected)


def test_skips_start_at_zero():
    head = build_head()
    assert [float(score.weight.abs().sum()) > 0 for score in head.scores] == [False, False, True]
    assert not any(name.startswith('conv_seg') for name, _ in head.named_parameters())
    with pytest.raises(ValueError, match='expected those of three levels'):
        MODELS.build(dict(type='FCN8sHead', in_channels=(3, 4), num_classes=2))
