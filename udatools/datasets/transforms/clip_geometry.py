# SPDX-License-Identifier: Apache-2.0
"""Geometry of clips: drawn once for all frames, and the flow goes with the pixels.

Resizing multiplies flow values by the factor of their axis, mirroring negates those to the right, cropping moves the grid and
leaves the values. Images and labels go through the transforms of mmseg and udatools for single images.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import RandomResize
from mmseg.datasets.transforms import RandomCrop

from udatools.datasets.transforms.clip_loading import ClipTransform, map_flows
from udatools.datasets.transforms.sparse_safe_resize import SparseSafeResize
from udatools.registry import TRANSFORMS


def resize_flow_maps(flow: np.ndarray, valid: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Resizes flow and scales its values, so that it points at the same thing in resized frames.

    Bilinear between pixel centres, as images are; unknown pixels have no weight, so they do not pull their neighbours to 0.
    The mask is sampled at the nearest centre.

    Args:
        flow (np.ndarray): float32, (R, 2, H, W), pixels to the right and down.
        valid (np.ndarray): bool, (R, H, W), where the flow is known.
        shape (tuple[int, int]): Height and width of the result.

    Returns:
        tuple[np.ndarray, np.ndarray]: float32, ``(R, 2, *shape)``, 0 where unknown; bool, ``(R, *shape)``.

    Example:
        >>> flow, valid = resize_flow_maps(np.full((1, 2, 4, 4), 3, np.float32), np.ones((1, 4, 4), bool), (2, 8))
        >>> flow[0, :, 0, 0].tolist()
        [6.0, 1.5]
    """
    height, width = valid.shape[1:]
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(shape, (height, width)))
    resized_valid = valid[:, rows][:, :, columns]
    resized = np.zeros((len(flow), 2, *shape), np.float32)
    factors = np.array([shape[1] / width, shape[0] / height], np.float32)[:, None, None]
    for out, known, one, weight in zip(resized, resized_valid, flow, valid.astype(np.float32)):
        weighted = np.stack([*(one * weight), weight], -1)
        *total, norm = cv2.resize(weighted, shape[::-1], interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
        np.divide(total, norm, out=out, where=np.broadcast_to(known, out.shape))
        out *= factors
    return resized, resized_valid


@TRANSFORMS.register_module()
class ClipResize(ClipTransform):
    """Resizes a clip: frames bilinearly, labels as :class:`SparseSafeResize` does, flow with its values.

    Args:
        **kwargs: Those of mmcv's ``Resize``: ``scale`` (width, height), ``scale_factor``, ``keep_ratio``, ...
    """

    def __init__(self, **kwargs: Any) -> None:
        self.resize = SparseSafeResize(**kwargs)

    def transform_clip(self, results: dict) -> dict:
        """Resizes ``images`` and flows."""
        results['images'] = [self.resize(image) for image in results['images']]
        _resize_flows(results)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.resize})'


@TRANSFORMS.register_module()
class ClipRandomResize(ClipTransform):
    """Resizes a clip as :class:`ClipResize` does, to a size that is drawn once.

    Args:
        scale (tuple): As of mmcv's ``RandomResize``: (width, height), or two of them to draw between.
        ratio_range (tuple[float, float], optional): Smallest and largest factor of ``scale``.
        **kwargs: Those of mmcv's ``Resize``, ``keep_ratio`` for one.
    """

    def __init__(self, scale: tuple, ratio_range: tuple[float, float] | None = None, **kwargs: Any) -> None:
        self.resize = RandomResize(scale, ratio_range=ratio_range, resize_type='SparseSafeResize', **kwargs)

    def transform_clip(self, results: dict) -> dict:
        """Resizes ``images`` and flows."""
        first, *others = results['images']
        first = self.resize(first)  # draws, and leaves the scale in the transform inside
        results['images'] = [first, *(self.resize.resize(image) for image in others)]
        _resize_flows(results)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.resize})'


def _resize_flows(results: dict) -> None:
    shape = results['images'][0]['img'].shape[:2]
    map_flows(results, lambda flow, valid: resize_flow_maps(flow, valid, shape))


@TRANSFORMS.register_module()
class ClipRandomCrop(ClipTransform):
    """Crops a clip to one random window; smaller frames are left as they are on that side.

    Args:
        crop_size (int | Sequence[int]): Height and width in pixels.
        cat_max_ratio (float): Windows in which one class has this share of the labelled pixels, or which hold one class only,
            are drawn anew, up to ten times; judged on the label of the key frame. Default: 1, any window will do.

    Raises:
        ValueError: If ``cat_max_ratio`` is below 1 and no labels were loaded.
    """

    def __init__(self, crop_size: int | Sequence[int], cat_max_ratio: float = 1.0) -> None:
        self.crop = RandomCrop(crop_size if isinstance(crop_size, int) else tuple(crop_size), cat_max_ratio)

    def transform_clip(self, results: dict) -> dict:
        """Crops ``images`` and flows."""
        if self.crop.cat_max_ratio < 1 and 'gt_seg_map' not in results['images'][0]:
            raise ValueError(f'ClipRandomCrop has cat_max_ratio={self.crop.cat_max_ratio}, but the clip has no labels; set '
                             'LoadClip(labels=True) or leave cat_max_ratio at 1')
        return _crop_clip(results, *self.crop.crop_bbox(results['images'][0]))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(crop_size={self.crop.crop_size}, cat_max_ratio={self.crop.cat_max_ratio})'


@TRANSFORMS.register_module()
class ClipCenterCrop(ClipTransform):
    """Crops a clip to the window in its middle; smaller frames are left as they are on that side.

    Args:
        crop_size (Sequence[int]): Height and width in pixels.

    Raises:
        ValueError: If a side is below 1.
    """

    def __init__(self, crop_size: Sequence[int]) -> None:
        self.height, self.width = (int(side) for side in crop_size)
        if min(self.height, self.width) < 1:
            raise ValueError(f'ClipCenterCrop got crop_size={tuple(crop_size)}; expected a height and a width, 1 or more')

    def transform_clip(self, results: dict) -> dict:
        """Crops ``images`` and flows."""
        height, width = results['images'][0]['img'].shape[:2]
        top, left = max(height - self.height, 0) // 2, max(width - self.width, 0) // 2
        return _crop_clip(results, top, min(top + self.height, height), left, min(left + self.width, width))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(crop_size={(self.height, self.width)})'


def _crop_clip(results: dict, top: int, bottom: int, left: int, right: int) -> dict:
    for image in results['images']:
        for name in ('img', *image.get('seg_fields', ())):
            image[name] = image[name][top:bottom, left:right]
        image['img_shape'] = image['img'].shape[:2]
    map_flows(results, lambda flow, valid: (flow[:, :, top:bottom, left:right], valid[:, top:bottom, left:right]))
    return results


@TRANSFORMS.register_module()
class ClipRandomFlip(ClipTransform):
    """Mirrors a whole clip left to right; flow to the right becomes flow to the left.

    Args:
        prob (float): Of mirroring, in [0, 1]. Default: 0.5.

    Raises:
        ValueError: For another probability.
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'ClipRandomFlip got prob={prob}; expected a probability in [0, 1]')
        self.prob = prob

    def transform_clip(self, results: dict) -> dict:
        """Flips ``images`` and flows, and sets ``flip`` and ``flip_direction`` of each image."""
        flip = bool(np.random.random_sample() < self.prob)  # scoped to the item, see udatools.utils.rng
        for image in results['images']:
            image['flip'], image['flip_direction'] = flip, 'horizontal' if flip else None
            if flip:
                for name in ('img', *image.get('seg_fields', ())):
                    image[name] = mmcv.imflip(image[name])
        if flip:
            sign = np.array([-1, 1], np.float32)[:, None, None]
            map_flows(results, lambda flow, valid: (flow[..., ::-1] * sign, valid[..., ::-1]))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob})'
