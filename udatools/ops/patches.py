# SPDX-License-Identifier: Apache-2.0
"""Patches of images, scaled up (LSE: Subhani and Ali, ECCV 2020), on the device of the batch."""
import torch
import torch.nn.functional as F
from torch import Tensor


def scaled_patches(images: Tensor, label: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """A random patch of each image, brought to the size of the image, and its labels.

    Args:
        images (Tensor): float, (B, 3, H, W).
        label (Tensor): int64, (B, H, W), 0..255.
        scale (float): >= 1: a patch has H / scale rows and W / scale columns, and lies inside its image. Where it lies is drawn
            from the generator of the device.

    Returns:
        tuple[Tensor, Tensor]: images, bilinear, and label, nearest; of the same shapes and dtypes.
    """
    slack = (1 - 1 / scale) * (2 * torch.rand(len(images), 2, device=images.device) - 1)  # of the centre, in [-1, 1]
    affine = torch.zeros(len(images), 2, 3, device=images.device)
    affine[:, 0, 0] = affine[:, 1, 1] = 1 / scale
    affine[:, :, 2] = slack
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    sampled = F.grid_sample(images.float(), grid, mode='bilinear', padding_mode='border', align_corners=False)
    named = F.grid_sample(label[:, None].float(), grid, mode='nearest', padding_mode='border', align_corners=False)
    return sampled.to(images.dtype), named[:, 0].to(label.dtype)
