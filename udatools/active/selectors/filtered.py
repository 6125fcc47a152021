# SPDX-License-Identifier: Apache-2.0
"""What people should not be asked: slivers, image borders, the bonnet of the camera's own car, too many regions."""
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from udatools.ops.regions import components_of, ego_component, members_of, unit_scores
from udatools.ops.selection import predicted_class
from udatools.registry import SELECTORS

from ..image_questions import IMAGE_KINDS
from .base import Candidates, Selector, allowed_of, check_count


@SELECTORS.register_module()
class FilteredSelector(Selector):
    """Another selector whose candidates suit people.

    ``border``, ``ego_class`` and ``ego_mask`` take pixels out before the other selector chooses. ``min_size`` and
    ``max_regions`` are about regions: those that the other selector names, or else connected components; they keep
    regions whole, so a budget then takes a region or leaves it, also one in pixels.

    Args:
        selector (Mapping | Selector): the other selector, or its config.
        min_size (int): regions with fewer native pixels are left out; not for points.
        border (int): pixels nearer than this to the image edge are left out, in native pixels.
        ego_class (int | None): train id; the connected region predicted as this class that touches the centre of the
            bottom row is left out.
        ego_mask (str | Path | None): image file of native size whose nonzero pixels are left out.
        max_regions (int | None): at most so many regions (or points) an image, best score first.

    Raises:
        ValueError: for a value out of range, a mask that cannot be read, ``min_size`` with points, or a selector that asks
            whole images.
    """

    def __init__(self, selector: Mapping[str, Any] | Selector, *, min_size: int = 0, border: int = 0,
                 ego_class: int | None = None, ego_mask: str | Path | None = None, max_regions: int | None = None) -> None:
        self.selector: Selector = SELECTORS.build(dict(selector)) if isinstance(selector, Mapping) else selector
        check_count('min_size', min_size, 0)
        check_count('border', border, 0)
        check_count('ego_class', 0 if ego_class is None else ego_class, 0)
        check_count('max_regions', 1 if max_regions is None else max_regions, 1)
        self.kind, self.unit_score = self.selector.kind, self.selector.unit_score
        if self.kind in IMAGE_KINDS:
            raise ValueError(f'{type(self.selector).__name__} asks whole images ({self.kind}), of which no pixels can be kept '
                             'out; use it without a FilteredSelector')
        if min_size > 1 and self.kind == 'points':
            raise ValueError(f'min_size is {min_size}, but {type(self.selector).__name__} asks for points, and a point is '
                             'one pixel; leave min_size out here (LabORPPLSelector has a min_size of its own, for its mask)')
        self.min_size, self.border, self.ego_class, self.max_regions = min_size, border, ego_class, max_regions
        self.ego_mask = None if ego_mask is None else _read_mask(Path(ego_mask))
        needed = () if ego_class is None else ('prob', )
        self.inputs = tuple(dict.fromkeys((*self.selector.inputs, *needed, 'excluded')))

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """Those of the other selector that pass."""
        height, width = next(iter(outputs.values())).shape[-2:]
        allowed = allowed_of(outputs, (height, width)) & self._wanted(outputs, key, (height, width))
        outputs = dict(outputs, excluded=torch.from_numpy(~allowed))
        found = self.selector.candidates(outputs, key, generator)
        found = found.take(allowed.ravel()[found.flat_index])
        found = found.take(np.argsort(found.flat_index, kind='stable'))
        return self._choose_regions(found, (height, width))

    def _wanted(self, outputs: Mapping[str, Tensor], key: str, size: tuple[int, int]) -> np.ndarray:
        inside = np.zeros(size, bool)
        inside[self.border:size[0] - self.border, self.border:size[1] - self.border] = True
        if self.ego_class is not None:
            inside &= ~ego_component(predicted_class(outputs['prob']).cpu().numpy(), self.ego_class)
        if self.ego_mask is not None:
            if self.ego_mask.shape != size:
                raise ValueError(f'ego_mask is {self.ego_mask.shape}, image {key!r} is {size} (height, width); give a mask '
                                 'of the native size of the images')
            inside &= ~self.ego_mask
        return inside

    def _choose_regions(self, found: Candidates, size: tuple[int, int]) -> Candidates:
        if self.min_size <= 1 and self.max_regions is None:
            return found
        if self.kind == 'points':
            best = np.argsort(-found.score.astype(np.float32), kind='stable')[:self.max_regions]
            return found.take(np.sort(best))
        region, how = found.region, 'first'
        if region is None:
            region, how = components_of(found.flat_index, size), self.unit_score
        member, pixels = members_of(region)
        score = unit_scores(found.score, member, pixels, how)
        large = np.flatnonzero(pixels >= self.min_size)
        best = large[np.argsort(-score[large].astype(np.float32), kind='stable')[:self.max_regions]]
        kept = np.isin(member, best)
        return Candidates(found.flat_index[kept], score[member[kept]], member[kept].astype(np.int32))

    def settings(self) -> dict[str, Any]:
        """The other selector's, and the filters that are on; a mask by its content."""
        settings: dict[str, Any] = dict(type=type(self).__name__, selector=self.selector.settings())
        filters: dict[str, Any] = dict(min_size=self.min_size or None, border=self.border or None, ego_class=self.ego_class,
                                       max_regions=self.max_regions)
        if self.ego_mask is not None:
            filters['ego_mask'] = sha256(f'{self.ego_mask.shape}'.encode() + self.ego_mask.tobytes()).hexdigest()
        return {**settings, **{name: value for name, value in filters.items() if value is not None}}


def _read_mask(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError(f'ego_mask {path} is not there or cannot be read as an image; expected one whose nonzero pixels '
                         'are the ego vehicle')
    mask: np.ndarray = (image.reshape(*image.shape[:2], -1) != 0).any(axis=2)
    return mask
