# SPDX-License-Identifier: Apache-2.0
"""Connected regions of class maps on the device of the batch, and what lies inside of them.

``udatools.ops.regions`` finds the same regions with OpenCV, one image at a time on the CPU. In a training step that would wait
for the device. Here all images are labelled together, by hooking trees of pixels onto smaller neighbours and halving their paths
(Shiloach and Vishkin, J. Algorithms 1982; the variant FastSV of Zhang, Azad and Hu, 2020), in a number of rounds that the size of
the maps decides.
"""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


def class_regions(class_bhw: Tensor) -> Tensor:
    """8-connected regions of equal class.

    Args:
        class_bhw (Tensor): int64, (B, H, W), >= 0; negative is no region.

    Returns:
        Tensor: int64, (B, H, W): the flat index ``y * W + x`` of the first pixel of its region in raster order; that of the pixel
        itself outside of regions. No host synchronisation.
    """
    batch, height, width = class_bhw.shape
    pixels = height * width
    own = torch.arange(batch * pixels, device=class_bhw.device)
    parent = own
    same = [(class_bhw == _shifted(class_bhw, dy, dx, -1)) & (class_bhw >= 0) for dy, dx in _NEIGHBOURS]
    for _ in range(_rounds(pixels)):
        grand = parent[parent].view(batch, height, width)
        best = grand
        for (dy, dx), equal in zip(_NEIGHBOURS, same):
            best = torch.where(equal, torch.minimum(best, _shifted(grand, dy, dx, 0)), best)
        best = best.flatten()
        hooked = parent.scatter_reduce(0, parent, best, 'amin')  # the tree of a pixel, then the pixel
        hooked = torch.minimum(hooked, best)
        parent = torch.minimum(hooked, hooked[hooked])
    return (parent % pixels).view(batch, height, width)


_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def _rounds(pixels: int) -> int:
    """The binary logarithm, rounded up, and one: random maps, spirals, combs and serpentines take up to two thirds of it."""
    return (pixels - 1).bit_length() + 1


def _shifted(maps: Tensor, dy: int, dx: int, fill: int) -> Tensor:
    """The value at (y + dy, x + dx), ``fill`` outside of the image."""
    _, height, width = maps.shape
    return F.pad(maps, (1, 1, 1, 1), value=fill)[:, 1 + dy:1 + dy + height, 1 + dx:1 + dx + width]


class RegionMeans(NamedTuple):
    """Mean features of S regions an image; slots without a region are not ``valid``.

    Attributes:
        feature (Tensor): float32, (B, S, D), 0 where not valid; gradients flow to the features.
        class_id (Tensor): int64, (B, S).
        valid (Tensor): bool, (B, S).
    """
    feature: Tensor
    class_id: Tensor
    valid: Tensor


def region_means(features: Tensor, class_bhw: Tensor, *, stuff: Tensor, things: Tensor, max_things: int,
                 min_cells: int = 1) -> RegionMeans:
    """Mean feature of each stuff class and of each connected region of a thing class, in every image.

    Args:
        features (Tensor): float, (B, D, h, w).
        class_bhw (Tensor): int64, (B, h, w), class of each cell; negative belongs to nothing.
        stuff (Tensor): int64, (K,), classes that are one region an image, wherever they are; slots 0..K-1.
        things (Tensor): int64, (T,), classes whose 8-connected regions stand for instances.
        max_things (int): the largest ones of an image are kept; of equal ones the first in raster order.
        min_cells (int): smaller regions are left out, of stuff too.

    Returns:
        RegionMeans: S = K + min(max_things, h w). No host synchronisation.
    """
    batch, channels = features.shape[:2]
    cells = class_bhw[0].numel()
    flat = class_bhw.flatten(1)
    is_thing = (flat[..., None] == things).any(-1)
    region = class_regions(class_bhw.masked_fill(~is_thing.view_as(class_bhw), -1)).flatten(1)
    sizes = flat.new_zeros(batch, cells).scatter_add_(1, region, is_thing.to(flat.dtype))
    count = min(max_things, cells)
    order = sizes * cells + (cells - 1 - torch.arange(cells, device=flat.device))  # no ties, so the same everywhere
    first = order.topk(count, dim=1).indices
    slots = len(stuff) + count
    slot = flat.new_full((batch, cells), slots)
    slot_of = slot.scatter(1, first, (len(stuff) + torch.arange(count, device=flat.device)).expand(batch, count))
    slot = torch.where(is_thing, slot_of.gather(1, region), slot)
    is_stuff = flat[..., None] == stuff
    slot = torch.where(is_stuff.any(-1), is_stuff.int().argmax(-1), slot)
    inside = F.one_hot(slot, slots + 1)[..., :slots].transpose(1, 2).float()
    area = inside.sum(-1)
    with torch.autocast(features.device.type, enabled=False):  # sums over thousands of cells
        means = torch.bmm(inside, features.float().flatten(2).transpose(1, 2)) / area.clamp_min(1)[..., None]
    class_id = torch.cat([stuff.expand(batch, -1), flat.gather(1, first).clamp_min(0)], 1)
    valid = area >= max(min_cells, 1)
    return RegionMeans(means.view(batch, slots, channels) * valid[..., None], class_id, valid)
