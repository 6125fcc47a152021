# SPDX-License-Identifier: Apache-2.0
"""Fully convolutional image discriminator (AdaptSegNet, Tsai et al., CVPR 2018, Sec. 4.2; DCGAN layout).

Five 4x4 stride-2 convolutions with leaky ReLU between them, no normalisation, no sigmoid: the loss takes raw scores.
The paper upsamples the score map to the input; a mean over the map does not need it, so it is left out.
"""
import itertools
from collections.abc import Sequence

import torch.nn as nn
from mmengine.model import BaseModule
from torch import Tensor

from udatools.registry import MODELS


@MODELS.register_module()
class ImageDiscriminator(BaseModule):
    """Scores each patch of a prediction or feature map: low = source, high = target.

    Args:
        in_channels (int): classes (output-space alignment) or feature channels.
        channels (Sequence[int]): output channels of all layers but the last, which has one.
        kernel_size (int): of every layer; IAST uses 3 in the first, see ``first_kernel_size``.
        first_kernel_size (int, optional): of the first layer. Defaults to ``kernel_size``.
        negative_slope (float): of the leaky ReLU.

    Shape:
        ``(B, in_channels, H, W)`` -> ``(B, 1, ~H/32, ~W/32)`` raw scores for the default layout, which needs 32 pixels a side.

    Raises:
        ValueError: for an input too small for a single score.
    """

    def __init__(self, in_channels: int, *, channels: Sequence[int] = (64, 128, 256, 512), kernel_size: int = 4,
                 first_kernel_size: int | None = None, negative_slope: float = 0.2, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if in_channels < 1:
            raise ValueError(f'in_channels is {in_channels}; expected the number of classes or feature channels')
        widths = [in_channels, *channels, 1]
        layers: list[nn.Module] = []
        for depth, (c_in, c_out) in enumerate(itertools.pairwise(widths)):
            kernel = first_kernel_size if depth == 0 and first_kernel_size else kernel_size
            layers += [nn.Conv2d(c_in, c_out, kernel, stride=2, padding=1), nn.LeakyReLU(negative_slope)]
        self.layers = nn.Sequential(*layers[:-1])
        self.smallest = 1  # side of an input that gives one score
        for layer in reversed(layers[:-1:2]):
            self.smallest = 2 * (self.smallest - 1) + layer.kernel_size[0] - 2

    def forward(self, x: Tensor) -> Tensor:
        """Raw score map of ``x``."""
        self._check_size(x)
        return self.layers(x)

    def _check_size(self, x: Tensor) -> None:
        if min(x.shape[-2:]) < self.smallest:
            raise ValueError(f'the discriminator got a map of {x.shape[-2]} x {x.shape[-1]}; its '
                             f'{len(self.layers) // 2 + 1} layers of stride 2 need '
                             f'{self.smallest} pixels a side: give larger images or fewer `channels`')
