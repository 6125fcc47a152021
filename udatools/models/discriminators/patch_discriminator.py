# SPDX-License-Identifier: Apache-2.0
"""Fully connected discriminator of patch representations (PatchAlign, Tsai et al., ICCV 2019, Sec. 3.3).

Three fully connected layers with leaky ReLU between them, written as 1x1 convolutions: every patch of the grid on its own.
"""
import itertools
from collections.abc import Sequence

import torch.nn as nn
from mmengine.model import BaseModule
from torch import Tensor

from udatools.registry import MODELS


@MODELS.register_module()
class PatchDiscriminator(BaseModule):
    """Scores each patch: low = source, high = target.

    Args:
        in_channels (int): length of a patch's representation, the number of clusters.
        channels (Sequence[int]): output channels of all layers but the last, which has one.
        negative_slope (float): of the leaky ReLU.

    Shape:
        ``(B, in_channels, rows, columns)`` -> ``(B, 1, rows, columns)`` raw scores.
    """

    def __init__(self, in_channels: int, *, channels: Sequence[int] = (256, 512), negative_slope: float = 0.2,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if in_channels < 1:
            raise ValueError(f'in_channels is {in_channels}; expected the number of clusters')
        layers: list[nn.Module] = []
        for c_in, c_out in itertools.pairwise((in_channels, *channels, 1)):
            layers += [nn.Conv2d(c_in, c_out, 1), nn.LeakyReLU(negative_slope)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Raw score of each patch."""
        return self.layers(x)
