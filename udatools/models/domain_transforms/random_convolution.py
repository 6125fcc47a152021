# SPDX-License-Identifier: Apache-2.0
"""Source images in random textures (RandConv: Xu et al., ICLR 2021), in the place of a style transfer that needs trained weights.

LTIR (Kim and Byun, CVPR 2020) stylises the source with paintings by Style-swap, a network on VGG features; the purpose, textures
that say nothing about the class while shapes stay, is the same here.
"""
from collections.abc import Sequence

import torch

from udatools.ops.random_convolution import draw_kernel, random_convolution
from udatools.registry import DOMAIN_TRANSFORMS

from .base import DomainImages, DomainTransform


@DOMAIN_TRANSFORMS.register_module()
class RandomConvolution(DomainTransform):
    """Source images, each with a probability, go through a random filter of their own; the target stays as it is.

    Args:
        prob (float): probability that an image is changed, in [0, 1].
        sizes (Sequence[int]): odd sizes of the filter in pixels, each as likely.
        mix (bool): whether a share of the image itself, even in [0, 1], is mixed in.

    Raises:
        ValueError: for a probability out of range, or sizes that are not odd.
    """

    def __init__(self, prob: float = 1.0, *, sizes: Sequence[int] = (1, 3, 5, 7), mix: bool = True) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob is {prob}; expected a probability in [0, 1]')
        if not sizes or not all(size > 0 and size % 2 for size in sizes):
            raise ValueError(f'sizes is {list(sizes)}; expected odd numbers of pixels, such as [1, 3, 5, 7]')
        self.prob, self.sizes, self.mix = float(prob), tuple(int(size) for size in sizes), bool(mix)

    def __call__(self, images: DomainImages) -> DomainImages:
        """Draws come from torch's generator of the CPU, which is seeded at each iteration."""
        changed = []
        for image in images['source']:
            hit, share = torch.rand(2).tolist()
            kernel = draw_kernel(self.sizes)
            changed.append(random_convolution(image, kernel, share if self.mix else 0.0) if hit < self.prob else image)
        return dict(images, source=changed)
