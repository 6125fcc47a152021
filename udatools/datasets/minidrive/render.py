# SPDX-License-Identifier: Apache-2.0
"""Stills of MiniDrive as arrays (image, label, instance map), and the shots that clips are made of too.

Item ``index`` of ``(seed, domain, split)`` is a pure function of those and of the size.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .appearance import Weather, draw_weather, expose, shade
from .domains import DOMAINS, DomainStyle, style_of_clip
from .geometry import Camera
from .layout import Street
from .rasteriser import View, look, rasterise, visible_polygons
from .scene import Scene

SPLITS = ('train', 'val', 'test')
SUPERSAMPLE = 2


@dataclass(frozen=True)
class Drive:
    """How the camera moves: straight on at a constant speed, weaving a little.

    ``speed`` is in metres a frame; ``sway`` is the largest angle between its heading and the street in radians,
    ``period`` that of the weaving in frames, ``phase`` in radians.
    """

    speed: float = 0.0
    sway: float = 0.0
    period: float = 1.0
    phase: float = 0.0

    def moved(self, camera: Camera, time: float) -> Camera:
        """The camera after ``time`` frames: it turns as it weaves, its sideways position is the integral of that."""
        rate = 2 * np.pi / self.period
        angle = rate * time + self.phase
        sideways = self.sway * self.speed / rate * (np.sin(angle) - np.sin(self.phase))
        x, y, z = camera.position
        return replace(camera, yaw=camera.yaw + self.sway * np.cos(angle),
                       position=(x + sideways, y, z + self.speed * time))


@dataclass(frozen=True)
class Shot:
    """A scene with its camera and weather, ready to be rendered at any time."""

    style: DomainStyle
    scene: Scene
    camera: Camera
    weather: Weather
    drive: Drive
    sensor_seed: np.random.SeedSequence

    def camera_at(self, time: float) -> Camera:
        """The camera after ``time`` frames of driving."""
        return self.drive.moved(self.camera, time) if self.drive.speed else self.camera


@dataclass(frozen=True)
class Trace:
    """What lies under every pixel centre of a frame.

    ``polygons`` are those of :func:`visible_polygons`; ``surface`` int32 (H, W), 0 = sky; ``inverse_depth`` float32 (H,
    W), 1 / metre.
    """

    view: View
    polygons: list[tuple[int, np.ndarray]]
    surface: np.ndarray
    inverse_depth: np.ndarray


def make_shot(domain: str, index: int, split: str = 'train', seed: int = 0, size: tuple[int, int] = (256, 128),
              num_frames: int = 1) -> Shot:
    """Draw the scene, the camera and the weather of one item.

    Args:
        domain: ``'sim'`` or ``'real'``.
        index: number of the item, >= 0.
        split: ``'train'``, ``'val'`` or ``'test'``.
        seed: seed of the data set, >= 0.
        size: (width, height) in pixels, each >= 32.
        num_frames: how many frames the street must be long enough for.

    Returns:
        the shot. Stills and clips of the same index show different streets.

    Raises:
        ValueError: an unknown domain or split, or a size that is too small.
    """
    if domain not in DOMAINS:
        raise ValueError(f"MiniDrive has no domain {domain!r}; choose one of {', '.join(sorted(DOMAINS))}")
    if split not in SPLITS:
        raise ValueError(f"MiniDrive has no split {split!r}; choose one of {', '.join(SPLITS)}")
    width, height = size
    if width < 32 or height < 32:
        raise ValueError(f'MiniDrive needs a size of at least 32x32, got {width}x{height}')
    if index < 0 or seed < 0 or num_frames < 1:
        raise ValueError(f'index and seed must be >= 0 and num_frames >= 1, got {index}, {seed}, {num_frames}')
    style = DOMAINS[domain] if num_frames == 1 else style_of_clip(DOMAINS[domain], index)
    sequence = np.random.SeedSequence([seed, sorted(DOMAINS).index(domain), SPLITS.index(split), int(num_frames > 1),
                                       index])
    layout_seed, weather_seed, camera_seed, sensor_seed = sequence.spawn(4)
    rng = np.random.default_rng(camera_seed)
    drive = Drive()
    if num_frames > 1:
        drive = Drive(rng.uniform(0.25, 0.6), rng.uniform(0.01, 0.05), rng.uniform(30, 60), rng.uniform(0, 2 * np.pi))
    camera = Camera(width, height, rng.uniform(*style.focal) * width, (rng.uniform(*style.horizon)) * height,
                    (rng.uniform(-0.4, 0.4), rng.uniform(*style.camera_height), 0.0), yaw=rng.uniform(*style.yaw),
                    pitch=rng.uniform(-0.012, 0.012))
    scene = Street(style, np.random.default_rng(layout_seed), drive.speed * num_frames, num_frames).scene()
    weather = draw_weather(style, np.random.default_rng(weather_seed))
    return Shot(style, scene, camera, weather, drive, sensor_seed)


def trace(shot: Shot, time: int = 0) -> Trace:
    """Find the surface under every pixel centre of a frame."""
    view = look(shot.scene, shot.camera_at(time), time)
    polygons = visible_polygons(view)
    return Trace(view, polygons, *rasterise(view, polygons))


def shoot(shot: Shot, traced: Trace, time: int = 0) -> dict[str, np.ndarray]:
    """Render a frame that is traced; returns an item as in :func:`render_still`."""
    view, surface = traced.view, traced.surface
    fine, _ = rasterise(view, traced.polygons, SUPERSAMPLE)
    colour = shade(view, fine, shot.weather, shot.style, SUPERSAMPLE)
    colour = cv2.resize(colour, (view.camera.width, view.camera.height), interpolation=cv2.INTER_AREA)
    sensor = np.random.default_rng([int(shot.sensor_seed.generate_state(1)[0]), time])
    return {'image': expose(colour, view.camera.width, shot.weather, sensor), 'label': shot.scene.label[surface],
            'instance': shot.scene.instance[surface]}


def render_still(domain: str, index: int, split: str = 'train', seed: int = 0,
                 size: tuple[int, int] = (256, 128)) -> dict[str, np.ndarray]:
    """Render one still.

    Args:
        domain: ``'sim'`` or ``'real'``.
        index: number of the item, >= 0.
        split: ``'train'``, ``'val'`` or ``'test'``.
        seed: seed of the data set, >= 0.
        size: (width, height) in pixels.

    Returns:
        ``image`` uint8 (H, W, 3) RGB; ``label`` uint8 (H, W) Cityscapes train ids, 255 = void; ``instance`` int32 (H,
        W), 0 = stuff, else one number for each thing.
    """
    shot = make_shot(domain, index, split, seed, size)
    return shoot(shot, trace(shot))


def render_label(domain: str, index: int, split: str = 'train', seed: int = 0,
                 size: tuple[int, int] = (256, 128)) -> np.ndarray:
    """Label of a still without its image: uint8 (H, W), equal to ``render_still(...)['label']`` but faster."""
    shot = make_shot(domain, index, split, seed, size)
    return shot.scene.label[trace(shot).surface]
