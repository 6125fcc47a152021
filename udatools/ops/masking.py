# SPDX-License-Identifier: Apache-2.0
"""Withholding random patches of images (MIC: Hoyer, Dai, Wang, Van Gool, CVPR 2023, Eq. 4), on the device of the batch."""
import torch
from torch import Tensor


def random_patch_mask(shape: tuple[int, int, int], block: int, ratio: float, device: torch.device | str = 'cpu') -> Tensor:
    """Draws which pixels stay: each image is a grid of squares, and each square is withheld or not on its own.

    The grid starts at the upper left; squares at the right and lower border are cut where the size is no multiple of theirs.

    Args:
        shape (tuple[int, int, int]): (B, H, W).
        block (int): side of a square in pixels, >= 1.
        ratio (float): probability that a square is withheld, in [0, 1].
        device (torch.device | str): of the result; its generator is drawn from.

    Returns:
        Tensor: bool, (B, H, W), True = seen.

    Example:
        >>> random_patch_mask((1, 3, 5), 2, 0.0).all().item()
        True
    """
    batch, height, width = shape
    seen = torch.rand(batch, -(-height // block), -(-width // block), device=device) >= ratio
    return seen.repeat_interleave(block, 1).repeat_interleave(block, 2)[:, :height, :width]
