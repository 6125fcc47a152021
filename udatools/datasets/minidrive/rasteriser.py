# SPDX-License-Identifier: Apache-2.0
"""Hidden-surface removal: polygons of a posed scene to a map of surface indices, with a depth buffer.

Depth is exact (inverse depth is linear in the pixel for a plane), so crossing objects never pop, and the same map gives
labels, instances, depth and flow. Coverage is that of ``cv2.fillPoly`` with subpixel corners: thin things stay visible.
"""
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import NEAR_M, Camera, clip_near, object_to_camera, plane_maps
from .scene import Scene

_LAYER_BIAS = 2e-3
_SUBPIXEL_BITS = 5
_LIMIT_PX = 1 << 15


@dataclass(frozen=True)
class View:
    """A scene as one camera sees it at one time; arrays are per surface.

    ``rotation`` (P, 3, 3) and ``translation`` (P, 3) map object to camera coordinates; ``rows`` and ``normal_over_d``
    are those of :func:`geometry.plane_maps` at a scale of one; row 0 is the sky.
    """

    scene: Scene
    camera: Camera
    time: float
    rotation: np.ndarray
    translation: np.ndarray
    rows: np.ndarray
    normal_over_d: np.ndarray


def look(scene: Scene, camera: Camera, time: float = 0.0) -> View:
    """Pose a scene in front of a camera at a time counted in frames."""
    position, heading = scene.poses(time)
    rotation, translation = object_to_camera(camera, position, heading)
    rotation, translation = rotation[scene.owner], translation[scene.owner].copy()
    rotation[0], translation[0] = camera.rotation(), 0.0
    rows = np.zeros((len(scene.label), 3, 3))
    normal_over_d = np.zeros((len(scene.label), 3))
    rows[1:], normal_over_d[1:] = plane_maps(camera, rotation[1:], translation[1:], scene.points[scene.starts[1:-1]],
                                             scene.axis_u[1:], scene.axis_v[1:])
    return View(scene, camera, time, rotation, translation, rows, normal_over_d)


def visible_polygons(view: View) -> list[tuple[int, np.ndarray]]:
    """Surfaces in front of the camera and facing it: (index, (N, 2) float pixel corners at a scale of one)."""
    scene, camera = view.scene, view.camera
    surface = np.repeat(np.arange(len(scene.label)), np.diff(scene.starts))
    points = np.einsum('mij,mj->mi', view.rotation[surface], scene.points) + view.translation[surface]
    first = scene.starts[1:-1]
    normal = np.einsum('pij,pj->pi', view.rotation[1:], scene.normal[1:])
    faces = np.concatenate([[False], ~scene.cull[1:] | (np.einsum('pi,pi->p', normal, points[first]) < 0)])
    near = np.minimum.reduceat(points[:, 2], first) < NEAR_M
    behind = np.maximum.reduceat(points[:, 2], first) < NEAR_M
    x_px = points[:, 0] / np.maximum(points[:, 2], NEAR_M) * camera.focal_px + (camera.width - 1) / 2
    y_px = points[:, 1] / np.maximum(points[:, 2], NEAR_M) * camera.focal_px + camera.horizon_px
    outside = ((np.maximum.reduceat(x_px, first) < -1) | (np.minimum.reduceat(x_px, first) > camera.width)
               | (np.maximum.reduceat(y_px, first) < -1) | (np.minimum.reduceat(y_px, first) > camera.height))
    drawn = faces[1:] & ~behind & (near | ~outside)
    result = []
    for index in np.flatnonzero(drawn) + 1:
        part = slice(scene.starts[index], scene.starts[index + 1])
        if near[index - 1]:
            clipped = clip_near(points[part])
            if len(clipped) < 3:
                continue
            corners = clipped[:, :2] / clipped[:, 2:] * camera.focal_px
            corners = corners + ((camera.width - 1) / 2, camera.horizon_px)
        else:
            corners = np.stack([x_px[part], y_px[part]], 1)
        result.append((int(index), corners))
    return result


def rasterise(view: View, polygons: list[tuple[int, np.ndarray]], scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draw the polygons with a depth buffer.

    Args:
        view: the posed scene.
        polygons: as :func:`visible_polygons` returns them.
        scale: pixels drawn per image pixel along an axis; the image is ``scale`` times as large and aligned by area.

    Returns:
        ``surface`` int32 (H * scale, W * scale), index of the surface seen, 0 = sky; ``inverse_depth`` float32 of the
        same shape, 1 / metre, 0 at the sky.
    """
    height, width = view.camera.height * scale, view.camera.width * scale
    surface = np.zeros((height, width), np.int32)
    nearest = np.zeros((height, width), np.float32)
    if not polygons:
        return surface, nearest
    offset = (scale - 1) / 2
    x = (np.arange(width, dtype=np.float32) - offset) / scale
    y = (np.arange(height, dtype=np.float32) - offset) / scale
    counts = np.array([len(corners) for _, corners in polygons], np.int64)
    ends = np.cumsum(counts, dtype=np.int64)
    starts: np.ndarray = ends - counts
    pixels = np.clip(np.concatenate([corners for _, corners in polygons]) * scale + offset, -_LIMIT_PX, _LIMIT_PX)
    low = np.maximum(np.floor(np.minimum.reduceat(pixels, starts)).astype(int), 0)
    high = np.minimum(np.ceil(np.maximum.reduceat(pixels, starts)).astype(int) + 1, (width, height))
    fixed = np.round((pixels - np.repeat(low, counts, 0)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    depths = view.rows[:, 2].astype(np.float32)
    biases = (1 + _LAYER_BIAS * view.scene.layer).astype(np.float32)
    for k, (index, _) in enumerate(polygons):
        (x0, y0), (x1, y1) = low[k], high[k]
        if x0 >= x1 or y0 >= y1:
            continue
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [fixed[starts[k]:ends[k]]], 1, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
        a, b, c = depths[index]
        depth = (a * x[x0:x1])[None, :] + (b * y[y0:y1] + c)[:, None]
        buffer = nearest[y0:y1, x0:x1]
        biased = depth * biases[index]
        wins = (biased > buffer) & mask.view(bool)
        np.copyto(buffer, biased, where=wins)
        np.copyto(surface[y0:y1, x0:x1], index, where=wins)
    return surface, nearest
