# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbours as a picture: a row a query, the query on the left, its neighbours in the order of similarity."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from udatools.visualization.browse import text
from udatools.visualization.charts import short
from udatools.visualization.panels import hstack, resize_image, vstack

__all__ = ['retrieval_grid']

UInt8 = npt.NDArray[np.uint8]
FRAME, FRAME_COLOUR = 3, (31, 98, 201)


def retrieval_grid(queries: Sequence[str], neighbours: Sequence[Sequence[tuple[str, float]]], query_image: Callable[[str], UInt8],
                   neighbour_image: Callable[[str], UInt8], *, names: tuple[str, str], width: int = 200) -> UInt8:
    """Draw queries and neighbours.

    Args:
        queries (Sequence[str]): keys.
        neighbours (Sequence): for each query (key, cosine similarity), the most similar first.
        query_image (Callable): key -> uint8, (H, W, 3), RGB.
        neighbour_image (Callable): the same for neighbours.
        names (tuple[str, str]): domain of the queries, of the neighbours.
        width (int): of a picture, in pixels, >= 40.

    Returns:
        ndarray: uint8, RGB. All pictures of a row have the height of the query.

    Raises:
        ValueError: without queries, or if ``width`` is too small.
    """
    if not queries or width < 40:
        raise ValueError(f'got {len(queries)} queries and a width of {width} pixels; expected at least 1 and 40')
    rows = []
    for key, found in zip(queries, neighbours):
        image = query_image(key)
        size = (max(1, round(image.shape[0] * width / image.shape[1])), width)
        title = short(f'{names[0]} {key.rpartition("/")[2]}', width // 7).replace('…', '..')  # OpenCV writes ASCII
        cells = [text(_framed(resize_image(image, size)), title)]
        cells += [text(fit(neighbour_image(other), size), f'{names[1]} {rank}: {similarity:.3f}')
                  for rank, (other, similarity) in enumerate(found, 1)]
        rows.append(hstack([cells[0], np.full((cells[0].shape[0], 4, 3), 255, np.uint8), *cells[1:]], gap_px=4))
    return vstack(rows, gap_px=8)


def fit(image: UInt8, size: tuple[int, int]) -> UInt8:
    """Resize into (height, width) without bending; what stays empty is grey."""
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    inner = max(1, min(size[0], round(image.shape[0] * scale))), max(1, min(size[1], round(image.shape[1] * scale)))
    canvas = np.full((*size, 3), 225, np.uint8)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[top:top + inner[0], left:left + inner[1]] = resize_image(image, inner)
    return canvas


def _framed(image: UInt8) -> UInt8:
    framed = image.copy()
    cv2.rectangle(framed, (0, 0), (image.shape[1] - 1, image.shape[0] - 1), FRAME_COLOUR, 2 * FRAME - 1)
    return framed
