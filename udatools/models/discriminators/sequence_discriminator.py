# SPDX-License-Identifier: Apache-2.0
"""Discriminator of clips (Shin et al., Video DA, 2021, Sec. 4.3 and 5.1; Eq. 8).

The image discriminator with a three-dimensional first convolution of temporal stride 2. The paper does not give its temporal
kernel; two frames are what its clips have. A wider kernel with padding would see the same two frames and zeros.
"""
import torch.nn as nn
from torch import Tensor

from udatools.registry import MODELS

from .image_discriminator import ImageDiscriminator


@MODELS.register_module()
class SequenceDiscriminator(ImageDiscriminator):
    """Scores each patch of every two consecutive frames: low = source, high = target.

    ``AdversarialAlignment`` hands it clips, because ``takes_clips`` says so.

    Args:
        args, kwargs: those of :class:`ImageDiscriminator`.

    Shape:
        ``(B, in_channels, T, H, W)`` with T >= 2 -> ``(B * floor(T / 2), 1, ~H/32, ~W/32)`` raw scores; a last frame without a
        partner is not looked at.

    Raises:
        ValueError: for single frames, or an input too small for a single score.
    """

    takes_clips = True

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        first = self.layers[0]
        kernel = (2, *first.kernel_size)
        self.layers[0] = nn.Conv3d(first.in_channels, first.out_channels, kernel, stride=2, padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Raw score maps of the clips ``x``."""
        if x.ndim != 5 or x.shape[2] < 2:
            raise ValueError(f'the sequence discriminator got a tensor of shape {tuple(x.shape)}; expected (B, C, T, H, W) with '
                             'T >= 2: give clips (ClipDataset with frame_offsets=(0, -1)), or use the ImageDiscriminator')
        self._check_size(x)
        of_pairs = self.layers[0](x).transpose(1, 2).flatten(0, 1)
        return self.layers[1:](of_pairs)
