# SPDX-License-Identifier: Apache-2.0
"""Builders of the movable and thin objects of MiniDrive: vehicles, people, two-wheelers, poles, lights, signs, trees.

Every builder adds polygons to an object whose origin lies on the ground, facing +z. Sizes are in metres.
"""
from __future__ import annotations

import numpy as np

from .domains import RGB, DomainStyle
from .scene import BARS, FOLIAGE, WINDOWS, Material, SceneBuilder
from .shapes import bar, blob, box, detail, disc, rectangle, wheels
from .taxonomy import BICYCLE, BUS, CAR, LIGHT, MOTORCYCLE, PERSON, POLE, RIDER, SIGN, TRAIN, TRUCK, VEGETATION, VOID


def darken(colour: RGB, factor: float, offset: float = 0.0) -> RGB:
    """``factor * colour + offset`` for each channel, 0..255."""
    return factor * colour[0] + offset, factor * colour[1] + offset, factor * colour[2] + offset


class Painter:
    """Draws colours of a domain: ``painter('car')`` is a material with a colour from that palette entry."""

    def __init__(self, style: DomainStyle, rng: np.random.Generator) -> None:
        self.style = style
        self.rng = rng

    def colour(self, name: str, jitter: float = 1.0) -> tuple[float, float, float]:
        """RGB from a palette entry, 0..255, jittered by the domain's deviation times ``jitter``."""
        options = self.style.palette[name]
        base = np.array(options[self.rng.integers(len(options))], np.float64)
        sigma = self.style.colour_jitter * jitter
        value = base + self.rng.normal(0, sigma) + self.rng.normal(0, sigma * 0.4, 3)
        return tuple(float(c) for c in np.clip(value, 4, 252))

    def __call__(self, name: str, second: str | None = None, kind: int = 0, period: tuple[float, float] = (1.0, 1.0),
                 roughness: float = 1.0, emission: float = 0.0) -> Material:
        """A material; ``second`` names the palette entry of the pattern's other colour."""
        return Material(self.colour(name), self.colour(second) if second else (0.0, 0.0, 0.0), kind, period[0],
                        period[1], roughness, emission)


def car(builder: SceneBuilder, owner: int, paint: Painter) -> None:
    """A car of one of three builds: saloon, estate, van."""
    rng = paint.rng
    build = rng.integers(3)
    width, length = rng.uniform(0.86, 0.94), rng.uniform(2.0, 2.25)
    waist, roof = ((0.85, 1.42), (0.9, 1.5), (1.0, 1.85))[build]
    rear = ((0.75, 0.55), (0.1, 0.35), (0.05, 0.2))[build]
    front = ((1.3, 0.7), (1.2, 0.7), (0.8, 0.5))[build]
    body, glass, tyre = paint('car', roughness=0.3), paint('glass', roughness=0.2), paint('tyre', roughness=0.5)
    box(builder, owner, (-width + 0.12, 0.08, -length + 0.25), (width - 0.12, 0.4, length - 0.25), CAR, tyre)
    faces = box(builder, owner, (-width, 0.28, -length), (width, waist, length), CAR, body, taper=(0.04, 0.08, 0.12))
    cabin = box(builder, owner, (-width + 0.04, waist, -length + rear[0]), (width - 0.04, roof, length - front[0]), CAR,
                body, taper=(0.16, rear[1], front[1]))
    for name in ('rear', 'front', 'left', 'right'):
        detail(builder, owner, cabin[name], (0.1, 0.1, 0.9, 0.86), CAR, glass)
    wheels(builder, owner, width + 0.01, 0.33, (-length + 0.8, length - 0.85), CAR, tyre, paint('hub'))
    tail, lamp, plate = paint('tail', emission=0.4), paint('lamp', emission=0.4), paint('sign_field')
    for left in (0.04, 0.8):
        detail(builder, owner, faces['rear'], (left, 0.55, left + 0.16, 0.82), CAR, tail)
        detail(builder, owner, faces['front'], (left, 0.55, left + 0.16, 0.8), CAR, lamp)
    for name in ('rear', 'front'):
        detail(builder, owner, faces[name], (0.36, 0.3, 0.64, 0.46), CAR, plate)
        detail(builder, owner, faces[name], (0.02, 0.0, 0.98, 0.14), CAR, tyre)


def truck(builder: SceneBuilder, owner: int, paint: Painter) -> None:
    """A lorry: a cab in front, a taller load behind it."""
    rng = paint.rng
    cab, load, dark = paint('truck', roughness=0.4), paint('cargo', roughness=0.5), paint('tyre')
    glass, tail = paint('glass', roughness=0.2), paint('tail', emission=0.4)
    half, height = 2.0 + rng.uniform(0.3, 1.6), rng.uniform(3.0, 3.6)
    box(builder, owner, (-1.0, 0.35, -half), (1.0, 0.95, half), TRUCK, dark)
    body = box(builder, owner, (-1.22, 0.95, -half), (1.22, height, half - 2.1), TRUCK, load)
    front = box(builder, owner, (-1.12, 0.45, half - 1.95), (1.12, 2.7, half), TRUCK, cab, taper=(0.08, 0.0, 0.25))
    detail(builder, owner, front['front'], (0.08, 0.52, 0.92, 0.9), TRUCK, glass)
    for name in ('left', 'right'):
        detail(builder, owner, front[name], (0.25, 0.52, 0.8, 0.88), TRUCK, glass)
        detail(builder, owner, body[name], (0.0, 0.0, 1.0, 0.06), TRUCK, dark)
    detail(builder, owner, body['rear'], (0.49, 0.0, 0.51, 1.0), TRUCK, dark)
    detail(builder, owner, body['rear'], (0.0, 0.0, 1.0, 0.05), TRUCK, dark)
    for left in (0.03, 0.85):
        detail(builder, owner, body['rear'], (left, 0.06, left + 0.12, 0.11), TRUCK, tail, layer=2)
        detail(builder, owner, front['front'], (left, 0.08, left + 0.12, 0.18), TRUCK, paint('lamp', emission=0.4))
    wheels(builder, owner, 1.23, 0.5, (-half + 0.9, -half + 2.0, half - 1.0), TRUCK, dark, paint('hub'))


def bus(builder: SceneBuilder, owner: int, paint: Painter) -> None:
    """A bus: one long body with a band of windows."""
    half = paint.rng.uniform(4.6, 6.0)
    body = paint('bus', roughness=0.3)
    glass = paint('glass', 'bus', kind=WINDOWS, period=(1.5, 40.0), roughness=0.2)
    dark, tail = paint('tyre'), paint('tail', emission=0.4)
    faces = box(builder, owner, (-1.25, 0.3, -half), (1.25, 3.05, half), BUS, body, taper=(0.06, 0.05, 0.08))
    for name in ('left', 'right'):
        detail(builder, owner, faces[name], (0.03, 0.45, 0.97, 0.84), BUS, glass)
        detail(builder, owner, faces[name], (0.0, 0.0, 1.0, 0.07), BUS, dark)
    detail(builder, owner, faces['rear'], (0.12, 0.5, 0.88, 0.85), BUS, paint('glass'))
    detail(builder, owner, faces['front'], (0.05, 0.3, 0.95, 0.83), BUS, paint('glass'))
    detail(builder, owner, faces['front'], (0.25, 0.87, 0.75, 0.96), BUS, paint('lamp', emission=0.5))
    for left in (0.03, 0.85):
        detail(builder, owner, faces['rear'], (left, 0.1, left + 0.12, 0.3), BUS, tail)
        detail(builder, owner, faces['front'], (left, 0.1, left + 0.12, 0.2), BUS, paint('lamp', emission=0.5))
    wheels(builder, owner, 1.26, 0.48, (-half + 1.8, half - 2.3), BUS, dark, paint('hub'))


def train(builder: SceneBuilder, owner: int, paint: Painter) -> None:
    """A tram: longer and taller than a bus, with a slanted nose, a light stripe and gear on its roof."""
    half = paint.rng.uniform(9.0, 13.0)
    body, stripe, dark = paint('train', roughness=0.3), paint('stripe', roughness=0.3), paint('tyre')
    glass = paint('glass', 'stripe', kind=WINDOWS, period=(2.2, 40.0), roughness=0.2)
    faces = box(builder, owner, (-1.25, 0.15, -half), (1.25, 3.4, half), TRAIN, body, taper=(0.1, 0.7, 0.7))
    box(builder, owner, (-0.8, 3.4, -half + 2.5), (0.8, 3.85, half - 2.5), TRAIN, stripe)
    for name in ('left', 'right'):
        detail(builder, owner, faces[name], (0.0, 0.0, 1.0, 0.1), TRAIN, dark)
        detail(builder, owner, faces[name], (0.0, 0.3, 1.0, 0.42), TRAIN, stripe)
        detail(builder, owner, faces[name], (0.03, 0.46, 0.97, 0.82), TRAIN, glass)
        detail(builder, owner, faces[name], (0.0, 0.88, 1.0, 1.0), TRAIN, stripe)
    for name in ('rear', 'front'):
        detail(builder, owner, faces[name], (0.1, 0.42, 0.9, 0.8), TRAIN, paint('glass'))
        detail(builder, owner, faces[name], (0.0, 0.27, 1.0, 0.37), TRAIN, stripe)
        detail(builder, owner, faces[name], (0.0, 0.84, 1.0, 1.0), TRAIN, stripe)
        for left in (0.12, 0.7):
            detail(builder, owner, faces[name], (left, 0.13, left + 0.18, 0.22), TRAIN, paint('lamp', emission=0.6))


def _figure(builder: SceneBuilder, owner: int, paint: Painter, label: int, height: float) -> None:
    """A walking figure seen from the front or the back."""
    rng = paint.rng
    scale, stride, shoulder = height / 1.75, rng.uniform(0.05, 0.24), rng.uniform(0.21, 0.27)
    cloth, trousers, skin = paint('cloth'), paint('trousers'), paint('skin')
    for side in (-1, 1):
        leg = bar((side * 0.09, 0.86), (side * 0.09 + side * stride, 0.0), 0.17)
        builder.flat(owner, leg * scale, label, trousers)
        arm = bar((side * shoulder, 1.38), (side * (shoulder + stride * 0.6), 0.8), 0.11)
        builder.flat(owner, arm * scale, label, cloth)
    torso = np.array([(-0.17, 0.8), (-shoulder, 1.42), (shoulder, 1.42), (0.17, 0.8)])
    builder.flat(owner, torso * scale, label, cloth, layer=1)
    builder.flat(owner, disc(0, 1.58, 0.125, 8, 1.2) * scale, label, skin, layer=1)


def person(builder: SceneBuilder, owner: int, paint: Painter) -> None:
    """A pedestrian."""
    _figure(builder, owner, paint, PERSON, paint.rng.uniform(1.55, 1.88))


def bicycle(builder: SceneBuilder, owner: int, paint: Painter) -> None:
    """A bicycle seen from its side: two filled wheels and a frame."""
    frame, tyre = paint('bicycle'), paint('tyre')
    spokes = Material(darken(tyre.colour, 0.5, 60), kind=BARS, second=tyre.colour, period_u=0.22)
    for x in (-0.52, 0.52):
        builder.flat(owner, disc(x, 0.34, 0.36, 12), BICYCLE, tyre)
        builder.flat(owner, disc(x, 0.34, 0.25, 10), BICYCLE, spokes, layer=1)
    for start, end in (((-0.52, 0.34), (-0.15, 0.85)), ((-0.15, 0.8), (0.4, 0.85)), ((-0.05, 0.34), (0.42, 0.8)),
                       ((-0.05, 0.34), (-0.18, 0.92)), ((0.52, 0.34), (0.38, 1.0)), ((-0.52, 0.34), (-0.05, 0.34))):
        builder.flat(owner, bar(start, end, 0.075), BICYCLE, frame, layer=2)
    builder.flat(owner, rectangle(-0.32, 0.9, -0.06, 0.98), BICYCLE, tyre, layer=2)
    builder.flat(owner, rectangle(0.26, 0.98, 0.5, 1.05), BICYCLE, tyre, layer=2)


def motorcycle(builder: SceneBuilder, owner: int, paint: Painter) -> None:
    """A motorcycle seen from its side: fat wheels, a heavy body, a screen."""
    body, tyre, hub = paint('motorcycle', roughness=0.3), paint('tyre'), paint('hub')
    for x in (-0.68, 0.68):
        builder.flat(owner, disc(x, 0.32, 0.34, 10), MOTORCYCLE, tyre)
        builder.flat(owner, disc(x, 0.32, 0.16, 8), MOTORCYCLE, hub, layer=1)
    builder.flat(owner, [(-0.5, 0.3), (-0.85, 0.75), (-0.2, 0.78), (0.1, 0.98), (0.45, 0.92), (0.5, 0.6), (0.3, 0.25)],
                 MOTORCYCLE, body, layer=2)
    builder.flat(owner, rectangle(-0.35, 0.22, 0.3, 0.5), MOTORCYCLE, hub, layer=3)
    builder.flat(owner, rectangle(-0.9, 0.76, -0.1, 0.88), MOTORCYCLE, tyre, layer=3)
    builder.flat(owner, bar((0.66, 0.32), (0.36, 1.1), 0.09), MOTORCYCLE, hub, layer=3)
    builder.flat(owner, bar((0.3, 1.02), (0.5, 1.3), 0.08), MOTORCYCLE, paint('glass'), layer=3)
    builder.flat(owner, disc(0.56, 0.92, 0.1, 8), MOTORCYCLE, paint('lamp', emission=0.4), layer=3)


def rider(builder: SceneBuilder, owner: int, paint: Painter, seat: float) -> None:
    """The person on a two-wheeler seen from its side, leaning forward, with a helmet; ``seat`` is its height."""
    cloth, trousers = paint('cloth'), paint('trousers')
    builder.flat(owner, bar((-0.2, seat), (0.12, seat - 0.1), 0.2), RIDER, trousers, depth=-0.02, layer=4)
    builder.flat(owner, bar((0.12, seat - 0.05), (-0.02, seat - 0.6), 0.15), RIDER, trousers, depth=-0.02, layer=4)
    builder.flat(owner, bar((-0.2, seat - 0.05), (0.08, seat + 0.58), 0.34), RIDER, cloth, depth=-0.02, layer=5)
    builder.flat(owner, bar((0.05, seat + 0.48), (0.38, seat + 0.12), 0.12), RIDER, cloth, depth=-0.02, layer=6)
    builder.flat(owner, disc(0.16, seat + 0.76, 0.14, 8), RIDER, paint('skin'), depth=-0.02, layer=6)
    builder.flat(owner, [(0.0, seat + 0.76), (0.04, seat + 0.92), (0.18, seat + 0.95), (0.3, seat + 0.86),
                         (0.31, seat + 0.76)], RIDER, paint('helmet'), depth=-0.02, layer=7)


def pole(builder: SceneBuilder, owner: int, paint: Painter, height: float, width: float, arm: float = 0.0) -> None:
    """A post; ``arm`` is the signed length of a lamp arm at its top, 0 = none."""
    material = paint('pole', roughness=0.6)
    builder.flat(owner, rectangle(-width / 2, 0.0, width / 2, height), POLE, material)
    if arm:
        builder.flat(owner, bar((0.0, height - 0.1), (arm, height + 0.25), width * 0.7), POLE, material)
        builder.flat(owner, rectangle(arm - 0.3, height + 0.15, arm + 0.3, height + 0.33), POLE, material, layer=1)


def flat_arm(builder: SceneBuilder, owner: int, paint: Painter, x: float, y: float) -> None:
    """A horizontal arm of a post, from its axis to ``x`` at height ``y``."""
    builder.flat(owner, bar((0.0, y), (x, y), 0.12), POLE, paint('pole', roughness=0.6))


def traffic_light(builder: SceneBuilder, owner: int, paint: Painter, x: float, y: float) -> None:
    """A signal head with one lamp lit, its lower edge at height ``y``."""
    rng = paint.rng
    builder.flat(owner, rectangle(x - 0.2, y, x + 0.2, y + 1.05), LIGHT, paint('housing', roughness=0.4), depth=-0.1)
    lit = rng.integers(3)
    for k, bright in enumerate(((255, 50, 40), (255, 190, 40), (60, 240, 130))):
        lamp = Material(bright if k == lit else darken(bright, 0.22, 10), roughness=0.0,
                        emission=float(k == lit))
        builder.flat(owner, disc(x, y + 0.87 - 0.34 * k, 0.14, 8), LIGHT, lamp, depth=-0.11, layer=1)


def traffic_sign(builder: SceneBuilder, owner: int, paint: Painter, y: float, size: float) -> None:
    """A round, three-cornered or square sign with a border and a field, or its grey back."""
    rng = paint.rng
    shape = rng.integers(4)
    outline = (disc(0, 0, 0.5, 12), np.array([(-0.55, -0.4), (0.0, 0.55), (0.55, -0.4)]),
               rectangle(-0.46, -0.46, 0.46, 0.46), rectangle(-0.75, -0.4, 0.75, 0.4))[shape]
    centre = np.array([0.0, y])
    builder.flat(owner, outline * size + centre, SIGN, paint('sign', roughness=0.3), depth=-0.08)
    field = paint('sign_field' if rng.random() < 0.7 else 'sign', roughness=0.3)
    builder.flat(owner, outline * size * 0.62 + centre, SIGN, field, depth=-0.09, layer=1)


def tree(builder: SceneBuilder, owner: int, paint: Painter, height: float) -> None:
    """A tree: a trunk and a crown of three or four ragged blobs, all vegetation."""
    rng = paint.rng
    radius = height * rng.uniform(0.24, 0.34)
    builder.flat(owner, bar((0.0, 0.0), (rng.uniform(-0.2, 0.2), height * 0.6), 0.05 * height), VEGETATION,
                 paint('trunk'))
    for k in range(3):
        x, y = rng.uniform(-0.5, 0.5) * radius, height - radius * rng.uniform(0.8, 1.5)
        leaf = paint('leaf', 'leaf', kind=FOLIAGE, roughness=2.2)
        builder.flat(owner, blob(rng, x, y, radius * rng.uniform(0.75, 1.0), 0.9), VEGETATION, leaf,
                     depth=-0.3 - 0.25 * k, layer=1)


def shrub(builder: SceneBuilder, owner: int, paint: Painter, height: float) -> None:
    """A shrub: two ragged blobs on the ground."""
    rng = paint.rng
    for k in range(2):
        outline = blob(rng, rng.uniform(-0.5, 0.5) * height, height * 0.45, height * 0.6)
        outline[:, 1] = np.maximum(outline[:, 1], 0.0)
        builder.flat(owner, outline, VEGETATION, paint('leaf', 'leaf', kind=FOLIAGE, roughness=2.2), depth=-0.2 * k,
                     layer=1)


def static(builder: SceneBuilder, owner: int, paint: Painter) -> None:
    """A bin or a cabinet: an object that no class covers (void)."""
    width, height = paint.rng.uniform(0.25, 0.5), paint.rng.uniform(0.8, 1.5)
    box(builder, owner, (-width, 0.0, -width), (width, height, width), VOID, paint('static'))
