# SPDX-License-Identifier: Apache-2.0
"""Random colours and blur of a whole batch on its device, without a host synchronisation.

What consistency training means by a strong augmentation. Colours are changed by a gain and a shift a channel where the authors
of such methods change brightness, contrast, hue and saturation of unnormalised images.
"""
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur


def random_colour(images: Tensor, *, jitter: float, blur_sigma_px: float) -> Tensor:
    """Changes the colours of every image, and blurs each with probability one half.

    Args:
        images (Tensor): float, (B, C, H, W), normalised.
        jitter (float): gain and shift of each channel of an image are drawn from ``1 +- jitter`` and ``+- jitter``, in units
            of the normalised image.
        blur_sigma_px (float): standard deviation of the Gaussian blur, of 5 x 5 pixels; 0 = none.

    Returns:
        Tensor: float, (B, C, H, W).
    """
    shape, device = (len(images), images.shape[1], 1, 1), images.device
    gain = 1 + jitter * (2 * torch.rand(shape, device=device) - 1)
    shift = jitter * (2 * torch.rand(shape, device=device) - 1)
    images = images * gain + shift
    if blur_sigma_px:
        sharp = torch.rand(len(images), 1, 1, 1, device=device) < 0.5
        images = torch.where(sharp, images, gaussian_blur(images, [5, 5], [blur_sigma_px, blur_sigma_px]))
    return images
