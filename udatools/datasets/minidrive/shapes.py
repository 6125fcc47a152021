# SPDX-License-Identifier: Apache-2.0
"""Outlines and boxes from which the objects of MiniDrive are put together."""
from __future__ import annotations

import numpy as np

from .scene import Material, SceneBuilder

# Faces of a box by name: corner order gives an outward normal. Bits of a corner: x, y, z at their upper ends.
_FACES = {
    'rear': ((0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 0)),
    'front': ((1, 0, 1), (1, 1, 1), (0, 1, 1), (0, 0, 1)),
    'left': ((0, 0, 1), (0, 1, 1), (0, 1, 0), (0, 0, 0)),
    'right': ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 0, 1)),
    'top': ((0, 1, 0), (0, 1, 1), (1, 1, 1), (1, 1, 0)),
}


def disc(x: float, y: float, radius: float, corners: int = 10, squash: float = 1.0) -> np.ndarray:
    """Outline of a disc (or ellipse): float64 (corners, 2)."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([x + radius * np.cos(angle), y + radius * squash * np.sin(angle)], 1)


def blob(rng: np.random.Generator, x: float, y: float, radius: float, squash: float = 1.0, corners: int = 14,
         ragged: float = 0.25) -> np.ndarray:
    """Outline of a ragged round shape, for crowns of trees and shrubs: float64 (corners, 2)."""
    angle = np.arange(corners) * (2 * np.pi / corners)
    length = radius * (1 + ragged * rng.uniform(-1, 1, corners))
    return np.stack([x + length * np.cos(angle), y + length * squash * np.sin(angle)], 1)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Outline of a rectangle: float64 (4, 2)."""
    return np.array([(x0, y0), (x0, y1), (x1, y1), (x1, y0)])


def bar(start: tuple[float, float], end: tuple[float, float], width: float) -> np.ndarray:
    """Outline of a thick line: float64 (4, 2)."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    direction = (b - a) / max(float(np.hypot(*(b - a))), 1e-9)
    side = np.array([-direction[1], direction[0]]) * width / 2
    return np.array([a - side, a + side, b + side, b - side])


def box(builder: SceneBuilder, owner: int, low: tuple[float, float, float], high: tuple[float, float, float],
        label: int, material: Material, faces: tuple[str, ...] = ('rear', 'front', 'left', 'right', 'top'),
        taper: tuple[float, float, float] = (0.0, 0.0, 0.0), layer: int = 0) -> dict[str, np.ndarray]:
    """Add a box, perhaps narrower at its top.

    Args:
        builder: receives the faces.
        owner: index of the object.
        low: smallest x, y, z in object coordinates.
        high: largest x, y, z.
        label: train id.
        material: of all faces.
        faces: which faces to add.
        taper: metres by which the top is drawn in at the sides, at the rear and at the front.
        layer: see ``SceneBuilder.polygon``.

    Returns:
        corners (4, 3) of each added face, for details on it.
    """
    side, rear, front = taper
    added = {}
    for name in faces:
        corners = np.array([[(low, high)[bit][axis] for axis, bit in enumerate(bits)] for bits in _FACES[name]])
        for corner, bits in zip(corners, _FACES[name]):
            if bits[1]:
                corner[0] += -side if bits[0] else side
                corner[2] += -front if bits[2] else rear
        builder.polygon(owner, corners, label, material, layer=layer, cull=True)
        added[name] = corners
    return added


def on_face(corners: np.ndarray, rect: tuple[float, float, float, float]) -> np.ndarray:
    """Corners (4, 3) of a detail on a face of a box.

    Args:
        corners: (4, 3), as ``box`` returns them (lower, upper, upper, lower).
        rect: left, bottom, right, top as fractions of the face in [0, 1].
    """
    left, bottom, right, top = rect

    def at(u: float, v: float) -> np.ndarray:
        lower = corners[0] + (corners[3] - corners[0]) * u
        upper = corners[1] + (corners[2] - corners[1]) * u
        return lower + (upper - lower) * v

    return np.array([at(left, bottom), at(left, top), at(right, top), at(right, bottom)])


def detail(builder: SceneBuilder, owner: int, corners: np.ndarray, rect: tuple[float, float, float, float], label: int,
           material: Material, layer: int = 1) -> None:
    """Paint a rectangle on a face of a box, see :func:`on_face`."""
    builder.polygon(owner, on_face(corners, rect), label, material, layer=layer, cull=True)


def wheels(builder: SceneBuilder, owner: int, x: float, radius: float, positions: tuple[float, ...], label: int,
           tyre: Material, hub: Material) -> None:
    """Add wheels on both sides of a vehicle: discs in the planes X = -x and X = x at the given z."""
    for side in (-x, x):
        for z in positions:
            for size, material, layer in ((radius, tyre, 1), (radius * 0.5, hub, 2)):
                outline = disc(z, radius, size, 8)
                outline = outline if side < 0 else outline[::-1]
                corners = np.stack([np.full(len(outline), side), outline[:, 1], outline[:, 0]], 1)
                builder.polygon(owner, corners, label, material, layer=layer, cull=True)
