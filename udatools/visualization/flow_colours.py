# SPDX-License-Identifier: Apache-2.0
"""Optical flow as colours: hue is the direction, saturation the length; still is white, unknown is grey."""

from math import pi

import cv2
import numpy as np
import numpy.typing as npt

UNKNOWN_COLOUR = (90, 90, 90)


def colourise_flow(
    flow: npt.NDArray, valid: npt.NDArray | None = None, largest_px: float | None = None
) -> npt.NDArray[np.uint8]:
    """Paint a flow.

    Args:
        flow (ndarray): float, (2, H, W), pixels to the right and down. To the right is red, down yellow-green, to the left
            cyan, up violet.
        valid (ndarray | None): bool, (H, W), where the flow is known; by default where it is finite.
        largest_px (float | None): length with full saturation, > 0. By default the 99th percentile of the known lengths, at
            least one pixel, so that noise on a still scene stays pale. Give one number to compare pictures.

    Returns:
        ndarray: uint8, (H, W, 3), RGB.

    Raises:
        ValueError: the shapes do not fit, or ``largest_px`` is not positive.

    Example:
        >>> colourise_flow(np.array([[[0.0, 2.0]], [[0.0, 0.0]]]), largest_px=2.0)[0].tolist()
        [[255, 255, 255], [255, 0, 0]]
    """
    if flow.ndim != 3 or flow.shape[0] != 2 or (valid is not None and valid.shape != flow.shape[1:]):
        shape = None if valid is None else valid.shape
        raise ValueError(f'flow has shape {flow.shape} and valid {shape}; expected (2, H, W) and (H, W)')
    if largest_px is not None and not largest_px > 0:
        raise ValueError(f'largest_px is {largest_px}; expected a positive number of pixels')
    known = np.isfinite(flow).all(0)
    if valid is not None:
        known &= valid
    u, v = np.where(known, flow, 0).astype(np.float32)
    length = np.hypot(u, v)
    if largest_px is None:
        largest_px = max(1.0, float(np.quantile(length[known], 0.99))) if known.any() else 1.0
    hue = np.arctan2(v, u) * np.float32(180 / pi) % 360
    hsv = np.stack([hue, np.minimum(length / largest_px, 1), np.ones_like(length)], -1).astype(np.float32)
    colours = np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)
    return np.where(known[..., None], colours, np.array(UNKNOWN_COLOUR, np.uint8))
