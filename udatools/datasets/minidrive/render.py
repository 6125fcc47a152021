# SPDX-License-Identifier: Apache-2.0
"""Stills and clips of MiniDrive as arrays: image, label, instance map, and exact optical flow.

Item ``index`` of ``(seed, domain, split)`` is a pure function of those and of the size.
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .appearance import Weather, draw_weather, expose, shade
from .domains import DOMAINS, DomainStyle
from .geometry import Camera, motion_homographies
from .layout import Street
from .rasteriser import View, look, rasterise, visible_polygons
from .scene import Scene

SPLITS = ('train', 'val', 'test')
SUPERSAMPLE = 2


@dataclass(frozen=True)
class Shot:
    """A scene with its camera and weather, ready to be rendered at any time."""

    style: DomainStyle
    scene: Scene
    camera: Camera
    weather: Weather
    speed: float
    yaw_rate: float
    sensor_seed: np.random.SeedSequence

    def camera_at(self, time: float) -> Camera:
        """The camera after ``time`` frames of driving."""
        yaw = self.camera.yaw + self.yaw_rate * time
        x, y, z = self.camera.position
        return replace(self.camera, yaw=yaw, position=(x, y, z + self.speed * time))


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
    style = DOMAINS[domain]
    sequence = np.random.SeedSequence([seed, sorted(DOMAINS).index(domain), SPLITS.index(split), int(num_frames > 1),
                                       index])
    layout_seed, weather_seed, camera_seed, sensor_seed = sequence.spawn(4)
    rng = np.random.default_rng(camera_seed)
    speed = rng.uniform(0.25, 0.6) if num_frames > 1 else 0.0
    yaw_rate = rng.uniform(-0.004, 0.004) if num_frames > 1 else 0.0
    camera = Camera(width, height, rng.uniform(*style.focal) * width, (rng.uniform(*style.horizon)) * height,
                    (rng.uniform(-0.4, 0.4), rng.uniform(*style.camera_height), 0.0), yaw=rng.uniform(*style.yaw),
                    pitch=rng.uniform(-0.012, 0.012))
    scene = Street(style, np.random.default_rng(layout_seed), travel_m=speed * num_frames).scene()
    weather = draw_weather(style, np.random.default_rng(weather_seed))
    return Shot(style, scene, camera, weather, speed, yaw_rate, sensor_seed)


def render_view(shot: Shot, time: int = 0) -> tuple[dict[str, np.ndarray], View, np.ndarray, np.ndarray]:
    """Render one frame; returns (item as in :func:`render_still`, view, surface map, inverse depth)."""
    camera = shot.camera_at(time)
    view = look(shot.scene, camera, time)
    polygons = visible_polygons(view)
    surface, inverse_depth = rasterise(view, polygons)
    fine, _ = rasterise(view, polygons, SUPERSAMPLE)
    colour = shade(view, fine, shot.weather, shot.style, SUPERSAMPLE)
    colour = cv2.resize(colour, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    sensor = np.random.default_rng([int(shot.sensor_seed.generate_state(1)[0]), time])
    item = {'image': expose(colour, camera.width, shot.weather, sensor), 'label': shot.scene.label[surface],
                'instance': shot.scene.instance[surface]}
    return item, view, surface, inverse_depth


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
    return render_view(make_shot(domain, index, split, seed, size))[0]


def render_label(domain: str, index: int, split: str = 'train', seed: int = 0,
                 size: tuple[int, int] = (256, 128)) -> np.ndarray:
    """Label of a still without its image: uint8 (H, W), equal to ``render_still(...)['label']`` but faster."""
    shot = make_shot(domain, index, split, seed, size)
    view = look(shot.scene, shot.camera)
    surface, _ = rasterise(view, visible_polygons(view))
    return shot.scene.label[surface]


def exact_flow(view: View, surface: np.ndarray, next_view: View) -> tuple[np.ndarray, np.ndarray]:
    """Optical flow from the planes and the rigid motions of camera and objects.

    Args:
        view: the scene in frame t.
        surface: int32, (H, W), surfaces seen in frame t.
        next_view: the scene in frame t+1.

    Returns:
        ``flow`` float32 (H, W, 2), pixels (x, y) from t to t+1; ``inverse_depth`` float32 (H, W), 1 / metre, of each
        point at t+1 (zero or negative: behind the camera or the sky).
    """
    homography = motion_homographies(view.camera, view.rotation, view.translation, view.normal_over_d, next_view.camera,
                                     next_view.rotation, next_view.translation)
    height, width = surface.shape
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    h = homography.reshape(-1, 9).T
    mapped = [h[3 * k][surface] * x + h[3 * k + 1][surface] * y + h[3 * k + 2][surface] for k in range(3)]
    rows = view.rows[:, 2].T
    inverse_depth = rows[0][surface] * x + rows[1][surface] * y + rows[2][surface]
    ratio = mapped[2]  # depth at t+1 over depth at t
    flow = np.stack([mapped[0] / ratio - x, mapped[1] / ratio - y], -1)
    return flow.astype(np.float32), (inverse_depth / ratio).astype(np.float32)


def render_clip(domain: str, index: int, split: str = 'train', seed: int = 0, size: tuple[int, int] = (256, 128),
                num_frames: int = 8) -> dict[str, np.ndarray]:
    """Render a clip of T frames.

    Args:
        domain: ``'sim'`` or ``'real'``.
        index: number of the clip, >= 0.
        split: ``'train'``, ``'val'`` or ``'test'``.
        seed: seed of the data set, >= 0.
        size: (width, height) in pixels.
        num_frames: T, >= 2.

    Returns:
        ``image`` uint8 (T, H, W, 3) RGB; ``label`` uint8 (T, H, W); ``instance`` int32 (T, H, W), the same number for
        the same thing in every frame; ``flow`` float32 (T - 1, H, W, 2), pixels (x, y) from frame t to t+1;
        ``visible`` bool (T - 1, H, W), False where the point of frame t is hidden or out of the picture in frame t+1.

    Raises:
        ValueError: fewer than two frames, or what :func:`make_shot` refuses.
    """
    if num_frames < 2:
        raise ValueError(f'a clip has at least 2 frames, got num_frames={num_frames}')
    shot = make_shot(domain, index, split, seed, size, num_frames)
    frames = [render_view(shot, t) for t in range(num_frames)]
    flows, seen = [], []
    for (_, view, surface, _), (_, next_view, next_surface, next_depth) in zip(frames, frames[1:]):
        flow, depth = exact_flow(view, surface, next_view)
        flows.append(flow)
        seen.append(_visible(flow, depth, surface, next_surface, next_depth))
    items = [frame[0] for frame in frames]
    return dict({key: np.stack([item[key] for item in items]) for key in ('image', 'label', 'instance')},
                flow=np.stack(flows), visible=np.stack(seen))


def _visible(flow: np.ndarray, inverse_depth: np.ndarray, surface: np.ndarray, next_surface: np.ndarray,
             next_inverse_depth: np.ndarray) -> np.ndarray:
    """Where the point of frame t is the one seen at its place in frame t+1: same surface, or the same depth."""
    height, width = surface.shape
    x = np.round(np.arange(width)[None, :] + flow[..., 0])
    y = np.round(np.arange(height)[:, None] + flow[..., 1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & np.isfinite(flow).all(-1)
    column = np.where(inside, x, 0).astype(np.int64)
    row = np.where(inside, y, 0).astype(np.int64)
    same = next_surface[row, column] == surface
    close = np.abs(next_inverse_depth[row, column] - inverse_depth) <= 0.02 * np.abs(inverse_depth)
    return inside & (same | (close & (surface > 0)))
