# SPDX-License-Identifier: Apache-2.0
"""Spatial label histograms of patches, and K-means (Lloyd 1982, seeded by k-means++: Arthur and Vassilvitskii, SODA 2007).

What PatchAlign (Tsai et al., ICCV 2019, Sec. 3.2) clusters: each patch of a label map is divided into 2 x 2 cells, and the
class histograms of the cells, one after the other, describe it.
"""
import torch
from torch import Tensor


def patch_grid(size: tuple[int, int], patch_size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of patches of about ``patch_size`` (height, width) in an image of ``size``; at least one each."""
    rows, columns = (max(1, round(length / patch)) for length, patch in zip(size, patch_size, strict=True))
    return rows, columns


def patch_label_histograms(label: Tensor, num_classes: int, grid: tuple[int, int], cells: int = 2,
                           ignore_index: int = 255) -> tuple[Tensor, Tensor]:
    """Class histograms of the cells of every patch.

    Row y belongs to row ``y * rows * cells // H`` of cells, columns alike; a histogram is the share of each class in the
    cell's labelled pixels, zero in a cell without any.

    Args:
        label (Tensor): int64, (B, H, W), 0..C-1, ``ignore_index`` = not labelled.
        num_classes (int): C.
        grid (tuple[int, int]): rows and columns of patches.
        cells (int): cells of a patch along each axis.
        ignore_index (int): the value that is left out.

    Returns:
        tuple[Tensor, Tensor]: float32, (B, rows, columns, cells * cells * C), in [0, 1], cells in raster order; and bool,
        (B, rows, columns), whether a patch has any labelled pixel. No host synchronisation.
    """
    batch, height, width = label.shape
    rows, columns = grid[0] * cells, grid[1] * cells
    row = torch.arange(height, device=label.device) * rows // height
    column = torch.arange(width, device=label.device) * columns // width
    cell = row[:, None] * columns + column[None, :]
    slot = cell * (num_classes + 1) + label.masked_fill(label == ignore_index, num_classes)  # unlabelled ones have their own
    counts = torch.zeros(batch, rows * columns * (num_classes + 1), device=label.device)
    counts.scatter_add_(1, slot.flatten(1), torch.ones_like(slot, dtype=counts.dtype).flatten(1))
    counts = counts.view(batch, grid[0], cells, grid[1], cells, num_classes + 1)[..., :num_classes]
    share = counts / counts.sum(-1, keepdim=True).clamp(min=1)
    share = share.permute(0, 1, 3, 2, 4, 5).flatten(3)
    return share, share.sum(-1) > 0


def nearest_centre(points: Tensor, centres: Tensor) -> Tensor:
    """Index of the nearest centre (Euclidean): int64, (...), for points (..., D) and centres (K, D)."""
    distance = torch.cdist(points.flatten(0, -2), centres, compute_mode='donot_use_mm_for_euclid_dist')
    return distance.argmin(1).view(points.shape[:-1])


def kmeans(points: Tensor, num_clusters: int, *, seed: int = 0, max_iterations: int = 100) -> Tensor:
    """K-means centres.

    Args:
        points (Tensor): float, (N, D), on the CPU.
        num_clusters (int): K.
        seed (int): of the first centres; the global random state is not touched.
        max_iterations (int): of Lloyd's algorithm, which stops when no point moves.

    Returns:
        Tensor: same dtype, (min(K, number of distinct points), D). A cluster that loses its points keeps its centre.

    Raises:
        ValueError: without points or clusters.
    """
    if points.dim() != 2 or not len(points) or num_clusters < 1:
        raise ValueError(f'got points of shape {tuple(points.shape)} and {num_clusters} clusters; expected (N, D) with N >= 1 '
                         'and one or more clusters')
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    squared = torch.full((len(points),), torch.inf, dtype=points.dtype)
    for _ in range(num_clusters - 1):  # k-means++: far points are more likely
        squared = torch.minimum(squared, (points - points[chosen[-1]]).square().sum(1))
        if not squared.any():
            break  # every distinct point is a centre
        chosen.append(_draw(squared, generator))
    centres = points[chosen].clone()
    previous = None
    for _ in range(max_iterations):
        assigned = nearest_centre(points, centres)
        if previous is not None and torch.equal(assigned, previous):
            break
        previous = assigned
        sums = torch.zeros_like(centres).index_add_(0, assigned, points)
        counts = torch.bincount(assigned, minlength=len(centres))[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return centres


def _draw(weights: Tensor, generator: torch.Generator) -> int:
    """An index with a probability proportional to its weight; one of weight 0 is never drawn."""
    cumulative = weights.double().cumsum(0)
    at = torch.rand(1, generator=generator, dtype=torch.float64) * cumulative[-1]
    index = int(torch.searchsorted(cumulative, at, right=True))
    return min(index, int(weights.nonzero()[-1]))
