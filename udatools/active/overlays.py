# SPDX-License-Identifier: Apache-2.0
"""``overlays/<key>.jpg`` of a request package: where an image is asked, for eyes only; nothing reads them."""
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from udatools.utils.atomic import write_bytes_atomic

from .request import Request

_EDGE, _FILL = (0, 255, 255), (0, 0, 0)  # BGR: yellow on black is seen on any street
_QUALITY = 90


def draw_asked(image: np.ndarray, region: np.ndarray, *, points: bool) -> np.ndarray:
    """The image with its points ringed, or its regions outlined.

    Args:
        image (np.ndarray): uint8, (H, W, 3), BGR.
        region (np.ndarray): uint16, (H, W), region ids, 0 = not asked.
        points (bool): every asked pixel is a question of its own.

    Returns:
        np.ndarray: uint8, (H, W, 3); inside the rings and outlines as it was.
    """
    drawn = image.copy()
    width_px = max(1, round(max(region.shape) / 1000))
    if points:
        for y, x in np.argwhere(region):
            for colour, thickness in ((_FILL, 3 * width_px), (_EDGE, width_px)):
                cv2.circle(drawn, (int(x), int(y)), 5 * width_px, colour, thickness, cv2.LINE_AA)
        return drawn
    # Pixels just outside a region, those of two regions that touch included.
    grown = cv2.dilate(region, np.ones((2 * width_px + 1, ) * 2, np.uint8))
    drawn[(grown > 0) & (grown != region)] = _EDGE
    return drawn


def write_overlays(request: Request, images: Iterable[tuple[str, str | Path]]) -> int:
    """Write the overlays that are missing; an image that cannot be read has none.

    Args:
        request (Request): the package.
        images (Iterable[tuple[str, str | Path]]): key and file of images; those that are not asked are left out.

    Returns:
        int: number of files written.
    """
    written = 0
    for key, path in images:
        target = request.root / 'overlays' / f'{key}.jpg'
        if not request[key].asked or target.is_file():
            continue
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        region = request.regions(key)
        if image is None or image.shape[:2] != region.shape:
            continue
        drawn = draw_asked(image, region, points=request.kind == 'points')
        write_bytes_atomic(target, cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())
        written += 1
    return written
