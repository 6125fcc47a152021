# SPDX-License-Identifier: Apache-2.0
"""Pinhole geometry of MiniDrive: camera, rigid poses, planes as seen from a camera, and the homographies of motion.

World axes: X right, Y up, Z along the street, in metres; Y = 0 is the ground. Camera axes: x right, y down, z along the
optical axis. Pixel ``(i, j)`` has its centre at ``x = j, y = i``. Everything is planar, so a pixel of frame t moves to
frame t+1 by the homography ``K (R + T n^T / d) K^-1`` of its plane ``n . X = d`` and of the rigid motion ``X' = R X +
T`` between the two camera frames (Hartley and Zisserman, Multiple View Geometry, 13.1): optical flow is exact.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR_M = 0.25


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with a pose.

    Args:
        width: image width in pixels.
        height: image height in pixels.
        focal_px: focal length in pixels.
        horizon_px: image row of the optical axis.
        position: (3,) world position in metres.
        yaw: heading in radians, positive turns right.
        pitch: tilt in radians, positive looks down.
    """

    width: int
    height: int
    focal_px: float
    horizon_px: float
    position: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0

    def intrinsics(self) -> np.ndarray:
        """float64, (3, 3): maps camera coordinates to homogeneous pixels."""
        return np.array([[self.focal_px, 0, (self.width - 1) / 2], [0, self.focal_px, self.horizon_px], [0, 0, 1.0]])

    def rotation(self) -> np.ndarray:
        """float64, (3, 3): maps world directions to camera directions."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        to_axes = np.array([[cy, 0, -sy], [0, -1.0, 0], [sy, 0, cy]])
        tilt = np.array([[1.0, 0, 0], [0, cp, -sp], [0, sp, cp]])
        return tilt @ to_axes


def heading_rotation(heading: np.ndarray) -> np.ndarray:
    """Rotations of objects about the vertical axis.

    Args:
        heading: float, (N,), radians; 0 faces +Z, positive turns right.

    Returns:
        float64, (N, 3, 3): maps object directions to world directions.
    """
    c, s = np.cos(heading), np.sin(heading)
    zero, one = np.zeros_like(c), np.ones_like(c)
    return np.stack([np.stack([c, zero, s], -1), np.stack([zero, one, zero], -1), np.stack([-s, zero, c], -1)], -2)


def object_to_camera(camera: Camera, position: np.ndarray, heading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rigid motions from object coordinates to camera coordinates.

    Args:
        camera: the camera.
        position: float, (N, 3), world position of each object's origin.
        heading: float, (N,), radians.

    Returns:
        rotation float64 (N, 3, 3) and translation float64 (N, 3): ``X_camera = rotation X_object + translation``.
    """
    rotation = camera.rotation()
    return rotation @ heading_rotation(heading), (position - np.asarray(camera.position)) @ rotation.T


def plane_maps(camera: Camera, rotation: np.ndarray, translation: np.ndarray, point: np.ndarray, axis_u: np.ndarray,
               axis_v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Linear maps from pixels to inverse depth and surface coordinates, one per plane.

    Args:
        camera: the camera.
        rotation: (P, 3, 3), object to camera.
        translation: (P, 3), object to camera.
        point: (P, 3), a point of each plane in object coordinates.
        axis_u: (P, 3), unit vector in the plane, object coordinates.
        axis_v: (P, 3), unit vector in the plane perpendicular to ``axis_u``.

    Returns:
        ``rows`` float64 (P, 3, 3): for a homogeneous pixel p, ``rows p = (u / z, v / z, 1 / z)`` where u and v are the
        dot products of the surface point (object coordinates, metres) with the axes, and z is the depth; and
        ``normal_over_d`` float64 (P, 3), the plane ``normal_over_d . X = 1`` in camera coordinates.
    """
    inverse_k = np.linalg.inv(camera.intrinsics())
    u_c = np.einsum('pij,pj->pi', rotation, axis_u)
    v_c = np.einsum('pij,pj->pi', rotation, axis_v)
    point_c = np.einsum('pij,pj->pi', rotation, point) + translation
    normal = np.cross(u_c, v_c)
    distance = np.einsum('pi,pi->p', normal, point_c)
    distance = np.where(np.abs(distance) < 1e-9, 1e-9, distance)
    normal_over_d = normal / distance[:, None]
    row_u = u_c - np.einsum('pi,pi->p', u_c, translation)[:, None] * normal_over_d
    row_v = v_c - np.einsum('pi,pi->p', v_c, translation)[:, None] * normal_over_d
    rows = np.stack([row_u, row_v, normal_over_d], 1) @ inverse_k
    return rows, normal_over_d


def motion_homographies(camera: Camera, rotation: np.ndarray, translation: np.ndarray, normal_over_d: np.ndarray,
                        next_camera: Camera, next_rotation: np.ndarray, next_translation: np.ndarray) -> np.ndarray:
    """Homographies that carry the pixels of each plane from one frame to the next.

    Args:
        camera: camera of the frame.
        rotation: (P, 3, 3), object to camera in the frame.
        translation: (P, 3), object to camera in the frame.
        normal_over_d: (P, 3), as ``plane_maps`` returns it.
        next_camera: camera of the next frame.
        next_rotation: (P, 3, 3), object to camera in the next frame.
        next_translation: (P, 3), object to camera in the next frame.

    Returns:
        float64, (P, 3, 3), homogeneous pixel to homogeneous pixel; the third coordinate is z'/z.
    """
    relative = next_rotation @ np.swapaxes(rotation, 1, 2)
    shift = next_translation - np.einsum('pij,pj->pi', relative, translation)
    euclidean = relative + shift[:, :, None] * normal_over_d[:, None, :]
    return next_camera.intrinsics() @ euclidean @ np.linalg.inv(camera.intrinsics())


def clip_near(points: np.ndarray, near: float = NEAR_M) -> np.ndarray:
    """Cut a polygon at the near plane (Sutherland and Hodgman, Reentrant polygon clipping, 1974).

    Args:
        points: float, (N, 3), camera coordinates.
        near: smallest depth kept, metres.

    Returns:
        float, (M, 3), the part with z >= near; M = 0 when nothing is left.
    """
    kept: list[np.ndarray] = []
    for start, end in zip(points, np.roll(points, -1, 0)):
        inside, next_inside = start[2] >= near, end[2] >= near
        if inside:
            kept.append(start)
        if inside != next_inside:
            kept.append(start + (end - start) * ((near - start[2]) / (end[2] - start[2])))
    return np.array(kept).reshape(-1, 3)
