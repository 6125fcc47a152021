# SPDX-License-Identifier: Apache-2.0
"""One discriminator a class, each of the features of its class (WDA: Paul et al., ECCV 2020, Sec. 3.3).

Fully connected layers with leaky ReLU between them; the classes share nothing, and are computed together as grouped convolutions.
The widths of the authors' layers were not at hand.
"""
import itertools
from collections.abc import Sequence

import torch.nn as nn
from mmengine.model import BaseModule
from torch import Tensor

from udatools.registry import MODELS


@MODELS.register_module()
class CategoryDiscriminators(BaseModule):
    """Scores the feature of each class: low = source, high = target.

    Args:
        in_channels (int): D, channels of a feature.
        num_classes (int): C.
        channels (Sequence[int]): outputs of all layers of one discriminator but the last, which has one.
        negative_slope (float): of the leaky ReLU.

    Shape:
        ``(B, C, D)`` -> ``(B, C)`` raw scores.
    """

    def __init__(self, in_channels: int, num_classes: int, *, channels: Sequence[int] = (256, 256), negative_slope: float = 0.2,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if min(in_channels, num_classes) < 1:
            raise ValueError(f'in_channels={in_channels}, num_classes={num_classes}; expected the channels of a feature and the '
                             'number of classes')
        self.in_channels, self.num_classes = in_channels, num_classes
        layers: list[nn.Module] = []
        for c_in, c_out in itertools.pairwise([in_channels, *channels, 1]):
            layers += [nn.Conv1d(num_classes * c_in, num_classes * c_out, 1, groups=num_classes), nn.LeakyReLU(negative_slope)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, features: Tensor) -> Tensor:
        """Raw score of each class's feature.

        Raises:
            ValueError: for another number of classes or channels.
        """
        if features.shape[1:] != (self.num_classes, self.in_channels):
            raise ValueError(f'the discriminators got features {tuple(features.shape)}; expected (B, {self.num_classes}, '
                             f'{self.in_channels}): give in_channels of the aligned level')
        return self.layers(features.flatten(1)[..., None])[..., 0]
