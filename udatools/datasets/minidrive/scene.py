# SPDX-License-Identifier: Apache-2.0
"""A MiniDrive scene: rigid objects made of flat polygons, each with a class, an instance and a material.

``SceneBuilder`` collects polygons in object coordinates; ``Scene`` holds them as arrays, so that posing, projecting and
shading are vectorised over the polygons. Surface 0 is the sky: no polygon, infinitely far.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .taxonomy import SKY, THINGS

# Kinds of procedural texture, see appearance.py.
PLAIN, WINDOWS, BARS, BRICKS, FOLIAGE, TILES = range(6)


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Args:
        colour: RGB, 0..255.
        second: RGB of the second colour of the pattern.
        kind: one of the texture kinds of this module.
        period_u: period of the pattern along u, metres.
        period_v: period of the pattern along v, metres.
        roughness: strength of the noise texture relative to the domain's, >= 0.
        emission: 0 = lit by the sky, 1 = shines by itself.
    """

    colour: tuple[float, float, float]
    second: tuple[float, float, float] = (0.0, 0.0, 0.0)
    kind: int = PLAIN
    period_u: float = 1.0
    period_v: float = 1.0
    roughness: float = 1.0
    emission: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Arrays of a scene with P surfaces (surface 0 = sky) and N objects.

    ``points`` (M, 3) holds the corners of all polygons, ``starts`` (P + 1,) where each begins; ``owner`` (P,) the
    object of a surface; ``axis_u``, ``axis_v``, ``normal`` (P, 3) its frame; ``position``, ``velocity`` (N, 3),
    ``heading``, ``yaw_rate`` (N,) the objects at time 0 (metres, metres a frame, radians, radians a frame).
    """

    points: np.ndarray
    starts: np.ndarray
    owner: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    layer: np.ndarray
    cull: np.ndarray
    ground: np.ndarray
    axis_u: np.ndarray
    axis_v: np.ndarray
    normal: np.ndarray
    materials: tuple[Material, ...]
    position: np.ndarray
    heading: np.ndarray
    velocity: np.ndarray
    yaw_rate: np.ndarray
    shadow: np.ndarray

    def poses(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Position (N, 3) and heading (N,) of the objects at a time counted in frames."""
        return self.position + self.velocity * time, self.heading + self.yaw_rate * time


class SceneBuilder:
    """Collects objects and polygons; ``build`` turns them into a :class:`Scene`."""

    def __init__(self) -> None:
        self._objects: list[tuple[float, ...]] = []
        self._shadows: list[tuple[float, float, float]] = []
        self._polygons: list[np.ndarray] = []
        self._columns: list[tuple[int, int, int, bool, bool]] = []
        self._materials: list[Material] = []

    def add_object(self, x: float, z: float, heading: float = 0.0, velocity: tuple[float, float] = (0.0, 0.0),
                   y: float = 0.0, yaw_rate: float = 0.0, shadow: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> int:
        """Add a rigid object.

        Args:
            x: world X in metres.
            z: world Z in metres.
            heading: radians, 0 faces +Z.
            velocity: (X, Z) metres a frame.
            y: height of its origin in metres.
            yaw_rate: radians a frame.
            shadow: width, length, height in metres of the box that casts its shadow on the ground; zeros = none.

        Returns:
            the index of the object.
        """
        self._objects.append((x, y, z, heading, velocity[0], 0.0, velocity[1], yaw_rate))
        self._shadows.append(shadow)
        return len(self._objects) - 1

    def polygon(self, owner: int, points: Sequence[Sequence[float]] | np.ndarray, label: int, material: Material,
                layer: int = 0, cull: bool = False, ground: bool = False) -> None:
        """Add a flat polygon; its first three corners must not lie on one line.

        Args:
            owner: index of the object.
            points: (N, 3), corners in object coordinates, counter-clockwise seen from outside.
            label: train id or 255.
            material: its look.
            layer: which of several coplanar polygons is on top (larger wins).
            cull: do not draw it when seen from behind.
            ground: the polygon lies on the ground and receives shadows.
        """
        self._polygons.append(np.asarray(points, np.float64))
        self._columns.append((owner, label, layer, cull, ground))
        self._materials.append(material)

    def flat(self, owner: int, outline: Sequence[Sequence[float]] | np.ndarray, label: int, material: Material,
             depth: float = 0.0, layer: int = 0) -> None:
        """Add a polygon in the plane z = depth of the object from a (N, 2) outline of (x, y)."""
        outline = np.asarray(outline, np.float64)
        self.polygon(owner, np.concatenate([outline, np.full((len(outline), 1), depth)], 1), label, material, layer)

    def build(self) -> Scene:
        """Freeze into arrays, with the sky as surface 0."""
        counts = [0] + [len(p) for p in self._polygons]
        starts = np.concatenate([[0], np.cumsum(counts)])
        columns = np.array([(0, SKY, 0, False, False)] + self._columns, np.int64).reshape(-1, 5)
        first = np.array([[p[0], p[1], p[2]] for p in self._polygons]).reshape(-1, 3, 3)
        normal = np.cross(first[:, 1] - first[:, 0], first[:, 2] - first[:, 1])
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        up = np.array([0.0, 1.0, 0.0])
        axis_u = np.cross(up, normal)
        length = np.linalg.norm(axis_u, axis=1, keepdims=True)
        axis_u = np.where(length > 1e-6, axis_u / np.maximum(length, 1e-6), np.array([1.0, 0.0, 0.0]))
        axis_v = np.cross(normal, axis_u)
        sky = np.zeros((1, 3))
        objects = np.array(self._objects, np.float64).reshape(-1, 8)
        is_thing = np.isin(columns[:, 1], sorted(THINGS))
        return Scene(
            points=np.concatenate([np.zeros((0, 3))] + self._polygons), starts=starts, owner=columns[:, 0],
            label=columns[:, 1].astype(np.uint8), instance=np.where(is_thing, columns[:, 0] + 1, 0).astype(np.int32),
            layer=columns[:, 2], cull=columns[:, 3].astype(bool), ground=columns[:, 4].astype(bool),
            axis_u=np.concatenate([sky, axis_u]), axis_v=np.concatenate([sky, axis_v]),
            normal=np.concatenate([sky, normal]),
            materials=(Material((0.0, 0.0, 0.0)),) + tuple(self._materials), position=objects[:, 0:3],
            heading=objects[:, 3], velocity=objects[:, 4:7], yaw_rate=objects[:, 7],
            shadow=np.array(self._shadows, np.float64).reshape(-1, 3))
