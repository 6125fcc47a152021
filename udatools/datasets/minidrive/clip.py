# SPDX-License-Identifier: Apache-2.0
"""Clips of MiniDrive as arrays: frames of one drive, things that keep their numbers, and exact optical flow.

Frame ``t`` of a clip is a pure function of ``(seed, domain, split, index, t)``, the size and the length of the clip.
Everything in a scene is rigid and flat, so where a pixel goes is a homography of its plane (``geometry.py``): the flow
is exact for the point under the pixel's centre, in either direction of time.
"""
from __future__ import annotations

import numpy as np

from .geometry import motion_homographies
from .rasteriser import View
from .render import Trace, make_shot, shoot, trace


class Clip:
    """One drive through a street; frames are rendered when they are asked for.

    Args:
        domain: ``'sim'`` or ``'real'``.
        index: number of the clip, >= 0.
        split: ``'train'``, ``'val'`` or ``'test'``.
        seed: seed of the data set, >= 0.
        size: (width, height) in pixels.
        num_frames: length of the clip, >= 2; the street is built for a drive of that length.

    Raises:
        ValueError: fewer than two frames, or what :func:`make_shot` refuses.
    """

    def __init__(self, domain: str, index: int, split: str = 'train', seed: int = 0,
                 size: tuple[int, int] = (256, 128), num_frames: int = 8) -> None:
        if num_frames < 2:
            raise ValueError(f'a clip has at least 2 frames, got num_frames={num_frames}')
        self.num_frames = num_frames
        self.shot = make_shot(domain, index, split, seed, size, num_frames)
        self._traces: dict[int, Trace] = {}
        # Things are numbered by their objects, and a street has hundreds; counted through they stay small.
        self._numbers = np.union1d(self.shot.scene.instance, 0)

    def _trace(self, time: int) -> Trace:
        if not 0 <= time < self.num_frames:
            raise IndexError(f'got frame {time} of a clip of {self.num_frames}; expected 0..{self.num_frames - 1}')
        if time not in self._traces:
            self._traces[time] = trace(self.shot, time)
        return self._traces[time]

    def item(self, time: int) -> dict[str, np.ndarray]:
        """Render a frame.

        Args:
            time: number of the frame, from 0.

        Returns:
            ``image`` uint8 (H, W, 3) RGB; ``label`` uint8 (H, W) Cityscapes train ids, 255 = void; ``instance`` int32
            (H, W), 0 = stuff, else a number from 1 that a thing has in every frame of the clip.

        Raises:
            IndexError: the clip has no such frame.
        """
        item = shoot(self.shot, self._trace(time), time)
        item['instance'] = np.searchsorted(self._numbers, item['instance']).astype(np.int32)
        return item

    def flow(self, time: int, offset: int) -> tuple[np.ndarray, np.ndarray]:
        """Exact optical flow from a frame to another one of the clip.

        Args:
            time: number of the frame whose pixels move.
            offset: the other frame is ``time + offset``; +1 the next one, -1 the one before.

        Returns:
            flow float32 (2, H, W): the point seen at pixel (x, y) lies at ``(x + flow[0], y + flow[1])`` in the other
            frame, x to the right, y down, in pixels, whether it is seen there or not. valid bool (H, W): the other
            frame shows that point, nothing hides it and it is in the picture.

        Raises:
            IndexError: the clip does not have both frames.
        """
        here, there = self._trace(time), self._trace(time + offset)
        flow, inverse_depth = exact_flow(here.view, here.surface, there.view)
        return flow, visible(flow, inverse_depth, here.surface, there.surface, there.inverse_depth)


def render_clip(domain: str, index: int, split: str = 'train', seed: int = 0, size: tuple[int, int] = (256, 128),
                num_frames: int = 8) -> dict[str, np.ndarray]:
    """Render a clip of T frames at once, with the flow to each next frame; arguments as of :class:`Clip`.

    Returns:
        ``image`` uint8 (T, H, W, 3) RGB; ``label`` uint8 (T, H, W); ``instance`` int32 (T, H, W), the same number for
        the same thing in every frame; ``flow`` float32 (T - 1, H, W, 2), pixels (x, y) from frame t to t+1;
        ``visible`` bool (T - 1, H, W), False where the point of frame t is hidden or out of the picture in frame t+1.
    """
    clip = Clip(domain, index, split, seed, size, num_frames)
    items = [clip.item(t) for t in range(num_frames)]
    flows = [clip.flow(t, 1) for t in range(num_frames - 1)]
    return dict({key: np.stack([item[key] for item in items]) for key in ('image', 'label', 'instance')},
                flow=np.stack([flow.transpose(1, 2, 0) for flow, _ in flows]),
                visible=np.stack([valid for _, valid in flows]))


def exact_flow(view: View, surface: np.ndarray, next_view: View) -> tuple[np.ndarray, np.ndarray]:
    """Optical flow from the planes and the rigid motions of camera and objects.

    Args:
        view: the scene in frame t.
        surface: int32, (H, W), surfaces seen in frame t.
        next_view: the scene in frame t+1.

    Returns:
        ``flow`` float32 (2, H, W), pixels (x, y) from t to t+1; ``inverse_depth`` float32 (H, W), 1 / metre, of each
        point at t+1 (negative: behind the camera, where flow says nothing; zero: the sky).
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
    ratio = np.where(np.abs(ratio) < 1e-9, -1e-9, ratio)
    flow = np.stack([mapped[0] / ratio - x, mapped[1] / ratio - y])
    return flow.astype(np.float32), (inverse_depth / ratio).astype(np.float32)


def visible(flow: np.ndarray, inverse_depth: np.ndarray, surface: np.ndarray, next_surface: np.ndarray,
            next_inverse_depth: np.ndarray) -> np.ndarray:
    """Where the point of frame t is the one seen at its place in frame t+1: same surface, or the same depth.

    A point that the camera has passed is never: its plane has a negative depth at the pixel that its homography gives.

    Args:
        flow: float32, (2, H, W), as :func:`exact_flow` returns it.
        inverse_depth: float32, (H, W), of the points at t+1.
        surface: int32, (H, W), surfaces seen in frame t.
        next_surface: the same in frame t+1.
        next_inverse_depth: float32, (H, W), of what is seen in frame t+1.

    Returns:
        bool, (H, W).
    """
    height, width = surface.shape
    x = np.round(np.arange(width)[None, :] + flow[0])
    y = np.round(np.arange(height)[:, None] + flow[1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    column = np.where(inside, x, 0).astype(np.int64)
    row = np.where(inside, y, 0).astype(np.int64)
    same = next_surface[row, column] == surface
    close = np.abs(next_inverse_depth[row, column] - inverse_depth) <= 0.02 * np.abs(inverse_depth)
    return inside & (same | (close & (surface > 0)))
