# SPDX-License-Identifier: Apache-2.0
"""Region impurity and prediction uncertainty: ask where many classes meet and the model is unsure.

Xie et al., "Towards Fewer Annotations: Active Learning via Region Impurity and Prediction Uncertainty for Domain
Adaptive Semantic Segmentation" (RIPU), CVPR 2022. The authors leave void pixels out with the ground truth before they
choose, keep the centres of windows apart and let windows overlap, and look for the largest score of the whole map once a
window. Here ground truth is out of reach, windows are disjoint, so that each has one price, and pixels are sorted once.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udatools.ops.impurity import ripu_score
from udatools.ops.spacing import greedy_peaks, square
from udatools.registry import SELECTORS

from .base import Candidates, Selector, allowed_of, check_count, check_portion
from .baselines import ScoreSelector


@SELECTORS.register_module()
class RIPUPixelSelector(ScoreSelector):
    """Single pixels in impure and uncertain neighbourhoods.

    Args:
        portion (float): share of each image that is offered, in (0, 1].
        radius (int): native pixels; neighbourhoods have ``2 * radius + 1`` rows and columns.
        kind (str): ``'segments'`` or ``'points'``.
        spacing (float): native pixels between any two offered ones, at least.
    """

    def __init__(self, portion: float = 0.05, *, radius: int = 1, kind: str = 'segments', spacing: float = 0) -> None:
        super().__init__(portion, kind=kind, spacing=spacing)
        check_count('radius', radius, 1)
        self.radius = int(radius)

    def score_map(self, outputs: Mapping[str, Tensor], generator: np.random.Generator) -> Tensor:
        """Impurity times uncertainty."""
        return ripu_score(outputs['prob'], self.radius)

    def settings(self) -> dict[str, Any]:
        """Those of the base, and the radius."""
        return dict(super().settings(), radius=self.radius)


@SELECTORS.register_module()
class RIPURegionSelector(Selector):
    """Square windows, best centre first, that do not overlap; every window is asked as a whole, pixel by pixel.

    Args:
        portion (float): share of each image that windows may cover, in (0, 1]; at least one is offered.
        radius (int): native pixels; windows have ``2 * radius + 1`` rows and columns, fewer at the image border.

    Raises:
        ValueError: for a value out of range.
    """

    inputs = ('prob', 'excluded')
    kind = 'segments'

    def __init__(self, portion: float = 0.05, *, radius: int = 1) -> None:
        check_count('radius', radius, 1)
        self.portion, self.radius = check_portion(portion), int(radius)

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """Windows around the peaks of the score, excluded pixels left out."""
        score = ripu_score(outputs['prob'], self.radius).to(torch.float16).cpu().numpy()
        height, width = score.shape
        allowed = allowed_of(outputs, (height, width))
        side = 2 * self.radius + 1
        limit = max(1, int(self.portion * score.size / side**2))
        centre = greedy_peaks(score, square(2 * self.radius), limit, allowed)
        offset = np.arange(-self.radius, self.radius + 1)
        y = (centre // width)[:, None, None] + offset[:, None]
        x = (centre % width)[:, None, None] + offset
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        region = np.broadcast_to(np.arange(centre.size, dtype=np.int32)[:, None, None], inside.shape)[inside]
        flat_index = (y * width + x)[inside]
        found = Candidates(flat_index.astype(np.int32), score.ravel()[centre][region], region)
        return found.take(allowed.ravel()[flat_index])

    def settings(self) -> dict[str, Any]:
        """Type and arguments."""
        return dict(type=type(self).__name__, portion=self.portion, radius=self.radius)
