# SPDX-License-Identifier: Apache-2.0
"""Shading of a rasterised MiniDrive view, and what the camera does to it, in the style of a domain.

Surface colours carry a procedural pattern (windows, bars, bricks, foliage, tiles) and a noise texture that are fixed to
the surface, so they move with it in a clip; only sensor noise is drawn anew for each frame.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .domains import DomainStyle
from .rasteriser import View
from .scene import BARS, BRICKS, FOLIAGE, TILES, WINDOWS

_TILE = 512
_TEXELS_PER_M = 24.0


@dataclass(frozen=True)
class Weather:
    """What stays the same over a clip: light, haze, and the settings of the camera."""

    ambient: float
    shadow: float
    haze: float
    blur_px: float
    noise: float
    vignetting: float
    gamma: float
    gain: float
    saturation: float
    tint: np.ndarray
    sky_top: np.ndarray
    sky_low: np.ndarray
    cloud: np.ndarray
    phase: np.ndarray
    light: np.ndarray


def draw_weather(style: DomainStyle, rng: np.random.Generator) -> Weather:
    """Draw the light and the camera of a scene from a domain."""

    def colour(name: str) -> np.ndarray:
        options = style.palette[name]
        base = np.array(options[rng.integers(len(options))], np.float32)
        return np.clip(base + rng.normal(0, style.colour_jitter), 0, 255).astype(np.float32)

    light = np.array(style.light) + rng.normal(0, 0.15, 3)
    light[1] = max(light[1], 0.3)
    warmth = rng.normal(0, style.colour_jitter / 300)
    return Weather(
        ambient=rng.uniform(*style.ambient), shadow=rng.uniform(*style.shadow), haze=rng.uniform(*style.haze),
        blur_px=rng.uniform(*style.blur), noise=rng.uniform(*style.noise), vignetting=rng.uniform(*style.vignetting),
        gamma=rng.uniform(*style.gamma), gain=rng.uniform(*style.gain), saturation=rng.uniform(*style.saturation),
        tint=np.array([1 + warmth, 1, 1 - warmth], np.float32), sky_top=colour('sky_top'), sky_low=colour('sky_low'),
        cloud=colour('cloud'), phase=rng.uniform(0, _TILE, 2), light=light / np.linalg.norm(light))


@lru_cache(maxsize=1)
def noise_tile() -> np.ndarray:
    """Periodic multi-octave noise: float32 (512, 512), zero mean, unit deviation, amplitude about 1 / f."""
    rng = np.random.default_rng(20240229)
    spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE)))
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None, :])
    frequency[0, 0] = np.inf
    tile = np.fft.irfft2(spectrum / (frequency + 2 / _TILE), s=(_TILE, _TILE))
    return (tile / tile.std()).astype(np.float32)


def _noise(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return noise_tile()[v.astype(np.int64) & (_TILE - 1), u.astype(np.int64) & (_TILE - 1)]


@lru_cache(maxsize=1)
def _cloud_tile() -> np.ndarray:
    """The noise tile without its fine octaves."""
    tile = cv2.GaussianBlur(np.tile(noise_tile(), (3, 3)), (0, 0), 7.0, sigmaY=4.0)[_TILE:2 * _TILE, _TILE:2 * _TILE]
    return tile / tile.std()


def _cloud_noise(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return _cloud_tile()[v.astype(np.int64) & (_TILE - 1), u.astype(np.int64) & (_TILE - 1)]


def _pattern(kind: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Share of the second colour, 0..1, of a texture kind at surface coordinates counted in periods."""
    fu, fv = u - np.floor(u), v - np.floor(v)
    if kind == WINDOWS:
        return ((np.abs(fu - 0.5) < 0.24) & (np.abs(fv - 0.55) < 0.27)).astype(np.float32)
    if kind == BARS:
        return (fu > 0.42).astype(np.float32) * (fv > 0.1)
    if kind == BRICKS:
        shifted = u + 0.5 * (np.floor(v) % 2)
        return ((shifted - np.floor(shifted) < 0.12) | (fv < 0.2)).astype(np.float32)
    if kind == TILES:
        return 0.6 * ((fu < 0.07) | (fv < 0.07)).astype(np.float32)
    raise ValueError(f'texture kind {kind} has no pattern')


def shadow_map(view: View, weather: Weather, scale: int) -> np.ndarray:
    """Pixels of the ground plane in the shadow of an object: uint8 (H * scale, W * scale), 0 or 1.

    Args:
        view: the posed scene.
        weather: gives the light.
        scale: pixels drawn per image pixel along an axis.
    """
    camera, scene = view.camera, view.scene
    mask = np.zeros((camera.height * scale, camera.width * scale), np.uint8)
    slope = -weather.light[[0, 2]] / weather.light[1]
    position, heading = scene.poses(view.time)
    matrix = camera.intrinsics() @ camera.rotation()
    for owner in np.flatnonzero(scene.shadow[:, 0] > 0):
        width, length, height = scene.shadow[owner]
        c, s = np.cos(heading[owner]), np.sin(heading[owner])
        base = np.array([(-width, -length), (-width, length), (width, length), (width, -length)]) / 2
        base = base @ np.array([[c, -s], [s, c]]) + position[owner][[0, 2]]
        outline = cv2.convexHull(np.concatenate([base, base + slope * height]).astype(np.float32))[:, 0].astype(float)
        world = np.stack([outline[:, 0], np.zeros(len(outline)), outline[:, 1]], 1) - camera.position
        image = world @ matrix.T
        if (image[:, 2] < 0.5).any():
            continue
        pixels = image[:, :2] / image[:, 2:] * scale + (scale - 1) / 2
        cv2.fillPoly(mask, [np.round(np.clip(pixels, -1e4, 1e4) * 16).astype(np.int32)], 1, shift=4)
    return mask


def shade(view: View, surface: np.ndarray, weather: Weather, style: DomainStyle, scale: int) -> np.ndarray:
    """Colour of every pixel of a map of surfaces.

    Args:
        view: the posed scene.
        surface: int32, (H * scale, W * scale), as the rasteriser returns it.
        weather: light and haze.
        style: texture strength and colours of the domain.
        scale: pixels per image pixel along an axis.

    Returns:
        float32, (H * scale, W * scale, 3), RGB, about 0..255.
    """
    scene, camera = view.scene, view.camera
    height, width = surface.shape
    offset = (scale - 1) / 2
    x = ((np.arange(width, dtype=np.float32) - offset) / scale)[None, :]
    y = ((np.arange(height, dtype=np.float32) - offset) / scale)[:, None]
    rows = view.rows.reshape(-1, 9).T.astype(np.float32)
    inverse = np.maximum(rows[6][surface] * x + rows[7][surface] * y + rows[8][surface], 1e-4)
    u = (rows[0][surface] * x + rows[1][surface] * y + rows[2][surface]) / inverse
    v = (rows[3][surface] * x + rows[4][surface] * y + rows[5][surface]) / inverse

    columns = np.array([(*m.colour, *m.second, m.period_u, m.period_v, m.roughness, m.emission)
                        for m in scene.materials], np.float32)
    kind = np.array([m.kind for m in scene.materials])
    normal = np.einsum('pij,pj->pi', view.rotation, scene.normal)
    light = camera.rotation() @ weather.light
    corner = scene.points[np.minimum(scene.starts[:-1], len(scene.points) - 1)]
    toward = np.einsum('pi,pi->p', normal, np.einsum('pij,pj->pi', view.rotation, corner) + view.translation)
    normal = normal * np.where(toward > 0, -1.0, 1.0)[:, None]
    lambert = weather.ambient + (1.15 - weather.ambient) * np.clip(normal @ light, 0, 1)
    shine = columns[:, 9]
    brightness = (lambert * (1 - shine) + shine).astype(np.float32)
    first = (columns[:, 0:3] * brightness[:, None])
    second = (columns[:, 3:6] * brightness[:, None])

    share = np.zeros(surface.shape, np.float32)
    detail_px = np.clip(camera.focal_px * scale * inverse / 6.0, 0, 1)  # fades patterns finer than about a pixel
    pixel_kind = kind[surface]
    for texture in (WINDOWS, BARS, BRICKS, TILES):
        where = np.flatnonzero(pixel_kind == texture)
        if len(where):
            s = surface.ravel()[where]
            wave = _pattern(texture, u.ravel()[where] / columns[s, 6], v.ravel()[where] / columns[s, 7])
            mean = {WINDOWS: 0.26, BARS: 0.52, BRICKS: 0.3, TILES: 0.08}[texture]
            fade = np.clip(detail_px.ravel()[where] * columns[s, 6] * 1.5, 0, 1)
            share.ravel()[where] = mean + (wave - mean) * fade
    rough = columns[:, 8][surface]
    coarse = _noise(u * 3.0 + surface * 37, v * 3.0 + surface * 91)
    fine = _noise(u * _TEXELS_PER_M + surface * 53, v * _TEXELS_PER_M + surface * 17)
    leaves = pixel_kind == FOLIAGE
    share = np.where(leaves, np.clip(0.5 + 0.5 * fine, 0, 1) * min(1.0, style.texture * 5), share * np.where(
        pixel_kind == WINDOWS, 1.0, 0.5 + 0.5 * style.pattern))
    colour = first[surface] * (1 - share[..., None]) + second[surface] * share[..., None]
    texture = 1 + style.texture * rough * (0.55 * coarse + 0.6 * fine * np.minimum(detail_px + 0.3, 1))
    colour *= np.clip(texture, 0.35, 1.8)[..., None]

    shadows = shadow_map(view, weather, scale).view(bool) & scene.ground[surface]
    colour[shadows] *= 1 - weather.shadow
    sky = surface == 0
    _paint_sky(colour, sky, view, weather, style, scale)
    clear = np.exp(-weather.haze / inverse)[..., None]
    hazy = np.array(style.haze_colour, np.float32) * (1 - clear) + colour * clear
    return np.where(sky[..., None], colour, hazy)


def _paint_sky(colour: np.ndarray, sky: np.ndarray, view: View, weather: Weather, style: DomainStyle,
               scale: int) -> None:
    ys, xs = np.nonzero(sky)
    offset = (scale - 1) / 2
    pixels = np.stack([(xs - offset) / scale, (ys - offset) / scale, np.ones(len(xs))])
    rays = view.camera.rotation().T @ np.linalg.inv(view.camera.intrinsics()) @ pixels
    elevation = np.arctan2(rays[1], np.hypot(rays[0], rays[2]))
    azimuth = np.arctan2(rays[0], rays[2])
    up = np.clip(elevation / 0.35, 0, 1).astype(np.float32)[:, None]
    base = weather.sky_low * (1 - up) + weather.sky_top * up
    wave = _cloud_noise(azimuth * 150 + weather.phase[0] + _TILE, elevation * 380 + weather.phase[1] + _TILE)
    cover = np.clip(style.clouds * (0.5 + wave), 0, 1)[:, None]
    colour[ys, xs] = base * (1 - cover) + weather.cloud * cover


def expose(colour: np.ndarray, camera_width: int, weather: Weather, rng: np.random.Generator) -> np.ndarray:
    """Turn shaded colours into the picture a camera records.

    Args:
        colour: float32, (H, W, 3), about 0..255.
        camera_width: width in pixels, scales the blur.
        weather: settings of the camera.
        rng: source of the sensor noise of this frame.

    Returns:
        uint8, (H, W, 3), RGB.
    """
    height, width = colour.shape[:2]
    if weather.blur_px > 0:
        colour = cv2.GaussianBlur(colour, (0, 0), weather.blur_px * camera_width / 256)
    grey = colour @ np.array([0.299, 0.587, 0.114], np.float32)
    colour = grey[..., None] + weather.saturation * (colour - grey[..., None])
    colour = colour * (weather.tint * weather.gain)
    if weather.vignetting > 0:
        y, x = np.ogrid[-1:1:height * 1j, -1:1:width * 1j]
        colour = colour * (1 - weather.vignetting * (0.35 * y * y + 0.65 * x * x)).astype(np.float32)[..., None]
    if weather.gamma != 1:
        colour = 255 * (np.clip(colour, 0, 255) / 255) ** np.float32(weather.gamma)
    if weather.noise > 0:
        colour = colour + weather.noise * rng.standard_normal(colour.shape, np.float32)
    return np.clip(np.round(colour), 0, 255).astype(np.uint8)
