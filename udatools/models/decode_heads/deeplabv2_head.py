# SPDX-License-Identifier: Apache-2.0
"""DeepLabv2 head (Chen et al., TPAMI 2018, ASPP of the VGG/ResNet variant used by the AdaptSegNet line).

The sum of parallel dilated 3x3 convolutions straight to class scores; no norm, no activation, no global pooling. mmseg
has no such head (its ``ASPPHead`` is the one of DeepLabv3). ``dropout_ratio`` drops feature *channels* before the
convolutions; the authors' networks use none, LabOR's pixel selector needs it to tell its two classifiers apart.
"""
from collections.abc import Iterable, Sequence

import torch.nn as nn
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor

from udatools.registry import MODELS


@MODELS.register_module()
class DeepLabV2Head(BaseDecodeHead):
    r"""Sum of dilated convolutions: :math:`f(x) = \sum_d W_d *_d x + b_d`.

    Args:
        dilations (Sequence[int]): dilation (and padding) of each 3x3 branch, in feature pixels.
        init_std (float): standard deviation of the initial weights; the paper's 0.01. Biases start at zero.
        kwargs: those of ``BaseDecodeHead``: ``in_channels``, ``in_index``, ``num_classes``, ``align_corners``, ...
            ``channels`` has no meaning here and defaults to ``num_classes``.

    Shape:
        features ``[(B, in_channels, h, w), ...]`` -> logits ``(B, num_classes, h, w)``, float, unnormalised.
    """

    def __init__(self, dilations: Sequence[int] = (6, 12, 18, 24), *, init_std: float = 0.01,
                 dropout_ratio: float = 0.0, **kwargs) -> None:
        if not dilations or min(dilations) < 1:
            raise ValueError(f'dilations is {tuple(dilations)}; expected one or more integers >= 1, such as (6, 12, 18, 24)')
        kwargs.setdefault('channels', kwargs['num_classes'])
        kwargs.setdefault('loss_decode', dict(type='CrossEntropyLoss', avg_non_ignore=True))  # objectives bring their own
        super().__init__(dropout_ratio=dropout_ratio, init_cfg=None, **kwargs)
        del self.conv_seg  # of the base class: this head classifies by its dilated convolutions
        self.dilations = tuple(dilations)
        self.init_std = init_std
        self.branches = nn.ModuleList(
            nn.Conv2d(self.in_channels, self.out_channels, 3, padding=d, dilation=d) for d in self.dilations)
        self.init_weights()

    def init_weights(self) -> None:
        """Weights N(0, init_std), biases 0."""
        self.initialise(self.branches)

    def initialise(self, branches: Iterable[nn.Conv2d]) -> None:
        """The same for one classifier's convolutions."""
        for branch in branches:
            nn.init.normal_(branch.weight, std=self.init_std)
            nn.init.zeros_(branch.bias)

    def dropped(self, inputs: Sequence[Tensor]) -> Tensor:
        """The feature that is classified."""
        feature = self._transform_inputs(inputs)
        return feature if self.dropout is None else self.dropout(feature)

    @staticmethod
    def classify(branches: nn.ModuleList, feature: Tensor) -> Tensor:
        """Sum of the branches' answers."""
        return sum((branch(feature) for branch in branches[1:]), branches[0](feature))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Class scores of one level of the backbone's features."""
        return self.classify(self.branches, self.dropped(inputs))
