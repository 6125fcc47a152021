# SPDX-License-Identifier: Apache-2.0
"""Pixels of a polygon, by the rule that a pixel belongs to it if its centre lies inside (even-odd)."""
import numpy as np


def polygon_pixels(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels whose centre (x + 0.5, y + 0.5) is inside a polygon; what reaches beyond the image is cut.

    Each row's centre line is crossed by the edges at some x; the pixels to the right of an odd number of crossings are
    inside. So polygons that share an edge share no pixel and leave none out.

    Args:
        points (np.ndarray): float64, (N, 2), x and y in pixels, continuous: pixel 0 covers [0, 1).
        height (int): of the image.
        width (int): of the image.

    Returns:
        np.ndarray: int64, (M,), ascending, row-major.

    Raises:
        ValueError: if there are fewer than three points, or one is not finite or absurdly far away.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f'the polygon has {len(points)} points; expected three or more')
    if not (np.abs(points) < 1e7).all():
        raise ValueError('a point of the polygon is no place in the image')
    # Every edge downwards, so that rounding is the same for both polygons that share it.
    following = np.roll(points, -1, axis=0)
    swap = following[:, 1] < points[:, 1]
    x0, y0 = np.where(swap[:, None], following, points).T
    x1, y1 = np.where(swap[:, None], points, following).T
    first = np.clip(np.ceil(y0 - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(y1 - 0.5), 0, height).astype(np.int64)
    crossed = last - first
    edge = np.repeat(np.arange(len(points)), crossed)
    row = np.arange(crossed.sum()) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
    if row.size == 0:
        return np.empty(0, np.int64)
    x = x0[edge] + (row + 0.5 - y0[edge]) * (x1[edge] - x0[edge]) / (y1[edge] - y0[edge])
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    top, left = int(row.min()), int(column.min())
    shape = (int(row.max()) - top + 1, int(column.max()) - left + 1)
    crossings = np.bincount((row - top) * shape[1] + column - left, minlength=shape[0] * shape[1]).reshape(shape)
    y, x = np.nonzero(np.cumsum(crossings, axis=1) % 2)
    return (y + top) * width + x + left
