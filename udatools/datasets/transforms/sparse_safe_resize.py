# SPDX-License-Identifier: Apache-2.0
"""Resizing that keeps isolated labelled points.

Shrinking a label map by nearest neighbour samples one of every few pixels: of 105 single labelled points, 41 survive
2048x1024 -> 1280x640. Here every labelled pixel that was not sampled is splatted to the pixel that its centre maps to,
if that pixel is not labelled yet. Sampling is centre-aligned (as the bilinear resizing of the image is), hence the
pixel that was sampled for a destination has its own centre in it: two labelled pixels compete only if both centres
map to the same destination, and then the one closer to its centre wins. Dense label maps come out as plain nearest.
"""
from __future__ import annotations

import mmcv
import numpy as np
from mmseg.datasets.transforms import Resize

from udatools.datasets.taxonomies import IGNORE
from udatools.registry import TRANSFORMS


def _axis(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Works out one axis in exact integer arithmetic.

    Args:
        source (int): Number of source pixels.
        target (int): Number of destination pixels.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: ``sample`` (target,): source pixel under each destination centre;
            ``place`` (source,): destination pixel that each source centre falls into; ``offset`` (source,): distance of
            the two centres in units of 1 / (2 * source) destination pixels. All int64.
    """
    sample: np.ndarray = (2 * np.arange(target, dtype=np.int64) + 1) * source // (2 * target)
    centre: np.ndarray = (2 * np.arange(source, dtype=np.int64) + 1) * target
    place: np.ndarray = centre // (2 * source)
    offset = np.abs(centre - (2 * place + 1) * source)
    return sample, place, offset


def resize_label(label: np.ndarray, shape: tuple[int, int], ignore_index: int = IGNORE) -> np.ndarray:
    """Resizes a label map by centre-aligned nearest neighbour, without losing labelled points.

    Args:
        label (np.ndarray): Integer, (H, W), ``ignore_index`` where nothing is labelled.
        shape (tuple[int, int]): Height and width of the result, at least 1 each.
        ignore_index (int): Value of pixels that are not labelled. Default: 255.

    Returns:
        np.ndarray: Same dtype, ``shape``. Every labelled pixel has a labelled destination; its value survives unless
            another labelled pixel maps there too.

    Example:
        >>> label = np.full((1, 5), 255, np.uint8); label[0, 1] = 7
        >>> resize_label(label, (1, 2)).tolist()
        [[7, 255]]
    """
    row_sample, row_place, row_offset = _axis(label.shape[0], shape[0])
    col_sample, col_place, col_offset = _axis(label.shape[1], shape[1])
    out = label[row_sample][:, col_sample]
    if not (out == ignore_index).any():
        return out
    rows, cols = np.nonzero(label != ignore_index)
    free = out[row_place[rows], col_place[cols]] == ignore_index
    rows, cols = rows[free], cols[free]
    # Of several candidates the last write wins: far ones first, and among equals the raster-first last.
    distance = (row_offset[rows] * label.shape[1])**2 + (col_offset[cols] * label.shape[0])**2
    order = np.argsort(distance, kind='stable')[::-1]
    rows, cols = rows[order], cols[order]
    out[row_place[rows], col_place[cols]] = label[rows, cols]
    return out


@TRANSFORMS.register_module()
class SparseSafeResize(Resize):
    """mmseg's ``Resize`` whose label maps keep isolated points; see :func:`resize_label`.

    Arguments as mmcv's ``Resize``. Works as ``resize_type`` of ``RandomResize``. Images are resized as usual.
    """

    def _resize_seg(self, results: dict) -> None:
        """Resizes every map named in ``seg_fields``."""
        for field in results.get('seg_fields', []):
            if results.get(field) is None:
                continue
            height, width = results[field].shape[:2]
            new_width, new_height = results['scale']
            if self.keep_ratio:
                new_width, new_height = mmcv.rescale_size((width, height), results['scale'])
            results[field] = resize_label(results[field], (new_height, new_width))
