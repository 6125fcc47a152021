# SPDX-License-Identifier: Apache-2.0
"""Crops around classes that a model hardly ever predicts (CBST, Zou et al., ECCV 2018: mining of hard samples).

What is rare is read from the ``coverage.json`` of the round's pseudo-labels. Of several rare classes in one image each is as
likely, which is our reading: a large one would crowd out the others.
"""
from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from udatools.datasets.taxonomies import IGNORE
from udatools.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RareClassCrop(BaseTransform):
    """Crops to a fixed size, with ``prob`` around a pixel of a rare class, else anywhere.

    Comes after the label is loaded. The class is drawn evenly among the rare ones that the label map holds, the pixel
    evenly among those of the class; the crop is centred on it as far as the image allows. An image smaller than the crop is
    padded on the right and at the bottom.

    Args:
        crop_size (tuple[int, int]): Height and width in pixels.
        coverage (str, optional): ``coverage.json`` of the round. Looked for when an item is loaded, as pseudo-labels are:
            without a file, or with None, nothing is rare and every crop is random.
        share (float): A class is rare if it makes up less than this share of the predicted pixels. Default: 1e-3.
        prob (float): Of a crop around a rare class where the image has one, in [0, 1]. Default: 0.8.
        pad_value (Sequence[int]): Colour of padded pixels, BGR. Default: ImageNet's mean, about 0 after normalisation.

    Raises:
        ValueError: If a value is outside its range, or there is no ``gt_seg_map`` yet.
    """

    def __init__(self,
                 crop_size: tuple[int, int],
                 *,
                 coverage: str | None = None,
                 share: float = 1e-3,
                 prob: float = 0.8,
                 pad_value: Sequence[int] = (104, 116, 124)) -> None:
        if len(crop_size) != 2 or min(crop_size) < 1:
            raise ValueError(f'crop_size is {crop_size}; expected (height, width) in pixels')
        if not 0 <= prob <= 1 or not 0 <= share <= 1:
            raise ValueError(f'share={share}, prob={prob}; expected both in [0, 1]')
        self.crop_size = int(crop_size[0]), int(crop_size[1])
        self.coverage = coverage
        self.share, self.prob = share, prob
        self.pad_value = tuple(pad_value)
        self._rare: np.ndarray = np.zeros(0, np.int64)
        self._read_at: tuple[int, int] | None = None

    def rare_classes(self) -> np.ndarray:
        """Train ids of the rare classes; the file is read once, and again when it has changed."""
        if self.coverage is None:
            return self._rare
        try:
            stat = os.stat(self.coverage)
        except FileNotFoundError:
            return np.zeros(0, np.int64)
        if self._read_at != (stamp := (stat.st_mtime_ns, stat.st_size)):
            with open(self.coverage, encoding='utf-8') as stream:
                classes = json.load(stream)['classes']
            predicted: np.ndarray = np.array([entry['predicted'] for entry in classes.values()], np.float64)
            self._rare = np.flatnonzero(predicted < self.share * predicted.sum())
            self._read_at = stamp
        return self._rare

    def transform(self, results: dict) -> dict:
        """Crops ``img`` and every map in ``seg_fields``."""
        if 'gt_seg_map' not in results:
            raise ValueError('RareClassCrop found no gt_seg_map; put it after LoadDomainLabel')
        height, width = results['img'].shape[:2]
        top, left = self._corner(results['gt_seg_map'])
        rows, columns = slice(top, top + self.crop_size[0]), slice(left, left + self.crop_size[1])
        missing = max(0, self.crop_size[0] - height), max(0, self.crop_size[1] - width)
        image = results['img'][rows, columns]
        if any(missing):
            padded = np.empty((*self.crop_size, image.shape[2]), image.dtype)
            padded[:] = self.pad_value
            padded[:image.shape[0], :image.shape[1]] = image
            image = padded
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        for field in results.get('seg_fields', []):
            results[field] = np.pad(results[field][rows, columns], tuple((0, more) for more in missing),
                                    constant_values=IGNORE)
        return results

    def _corner(self, label: np.ndarray) -> tuple[int, int]:
        """Top and left of the crop."""
        room = [max(0, side - size) for side, size in zip(label.shape, self.crop_size)]
        rare = self.rare_classes()
        # The draws do not depend on what the label holds, so that later transforms see the same numbers in every round.
        mine, which, where, *anywhere = np.random.random_sample(5)  # scoped to the item, see udatools.utils.rng
        if mine < self.prob and rare.size:
            present = np.flatnonzero(np.bincount(label.ravel(), minlength=256)[:IGNORE])
            candidates = np.intersect1d(rare, present)
            if candidates.size:
                pixels = np.flatnonzero(label == candidates[int(which * candidates.size)])
                centre = np.unravel_index(pixels[int(where * pixels.size)], label.shape)
                top, left = (int(np.clip(at - size // 2, 0, most)) for at, size, most in zip(centre, self.crop_size, room))
                return top, left
        top, left = (int(draw * (most + 1)) for draw, most in zip(anywhere, room))
        return top, left

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, coverage={self.coverage!r}, share={self.share}, '
                f'prob={self.prob})')
