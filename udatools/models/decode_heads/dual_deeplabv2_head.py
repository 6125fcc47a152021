# SPDX-License-Identifier: Apache-2.0
"""Two DeepLabv2 classifiers on the same features (CLAN, Luo et al., CVPR 2019, Sec. 3.1).

What is delivered is the sum of their logits; training also reads the two. Both are linear, so the sum is one classifier with
the summed weights, which is what ``engine/export.py`` writes.
"""
from collections.abc import Sequence

import torch
import torch.nn as nn
from torch import Tensor

from udatools.registry import MODELS

from .deeplabv2_head import DeepLabV2Head


@MODELS.register_module()
class DualDeepLabV2Head(DeepLabV2Head):
    """Two :class:`DeepLabV2Head` classifiers, ``branches`` and ``second_branches``.

    ``UDASegmentor`` gives the logits ``first`` and ``second`` next to their sum ``main``. Arguments as of ``DeepLabV2Head``.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.second_branches = nn.ModuleList(
            nn.Conv2d(self.in_channels, self.out_channels, 3, padding=d, dilation=d) for d in self.dilations)
        self.init_weights()

    def init_weights(self) -> None:
        """Both drawn on their own: equal classifiers would stay equal."""
        super().init_weights()
        if hasattr(self, 'second_branches'):  # not yet, while the base class is being built
            self.initialise(self.second_branches)

    def pair(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of the two classifiers, (B, num_classes, h, w) each."""
        feature = self.dropped(inputs)
        return self.classify(self.branches, feature), self.classify(self.second_branches, feature)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Sum of the two."""
        first, second = self.pair(inputs)
        return first + second

    def flat_weights(self) -> tuple[Tensor, Tensor]:
        """All weights and biases of each classifier as one vector, in the same order."""
        first, second = (torch.cat([parameter.flatten() for parameter in branches.parameters()])
                         for branches in (self.branches, self.second_branches))
        return first, second
