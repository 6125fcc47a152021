# SPDX-License-Identifier: Apache-2.0
"""Random textures by random convolutions (RandConv: Xu, Liu, Yang, Raffel, Niethammer, ICLR 2021).

A small random filter changes colours and local texture, and leaves shapes where they are. RandConv filters normalised images;
here an image is centred and scaled by its own mean and deviation, and gets them back after the filter.
"""
import torch
import torch.nn.functional as F
from torch import Tensor


def draw_kernel(sizes: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
    """A random filter: float32, (3, 3, k, k), entries N(0, 1 / (3 k^2)), k one of ``sizes`` (odd), each as likely; on the CPU."""
    size = sizes[int(torch.randint(len(sizes), (1, ), generator=generator))]
    return torch.randn(3, 3, size, size, generator=generator) / (3 * size * size)**0.5


@torch.no_grad()
def random_convolution(image_chw: Tensor, kernel: Tensor, share: float) -> Tensor:
    r"""Mixes an image with what a filter makes of it: :math:`a x + (1 - a)\, x * \Theta` of the centred, scaled image x.

    Args:
        image_chw (Tensor): float, (3, H, W), raw.
        kernel (Tensor): float32, (3, 3, k, k), k odd; borders are reflected (repeated, where the image is smaller than that).
        share (float): a, of the image itself, in [0, 1]; 1 is the image.

    Returns:
        Tensor: float32, (3, H, W), with the image's mean and deviation over all channels and pixels. Not clipped: values may
        leave 0..255. A constant image stays as it is.
    """
    image = image_chw.float()
    mean, deviation = image.mean(), image.std(unbiased=False)
    centred = ((image - mean) / deviation.clamp_min(1e-6))[None]
    reach = kernel.shape[-1] // 2
    mode = 'reflect' if reach < min(image.shape[1:]) else 'replicate'
    padded = F.pad(centred, (reach, ) * 4, mode=mode) if reach else centred
    mixed = share * centred + (1 - share) * F.conv2d(padded, kernel.to(image))
    mixed = (mixed - mixed.mean()) / mixed.std(unbiased=False).clamp_min(1e-6)
    return (mixed * deviation + mean)[0]
