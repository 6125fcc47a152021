# SPDX-License-Identifier: Apache-2.0
"""Baselines that any active method is compared with: random pixels, and pixels of high entropy.

Both offer at most ``portion`` of each image as candidates, so that their lists stay small; with a budget, a portion
well above it keeps the cut over the whole set meaningful.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udatools.ops.selection import entropy
from udatools.registry import SELECTORS

from .base import Candidates, Selector, check_portion


@SELECTORS.register_module()
class RandomSelector(Selector):
    """Pixels drawn uniformly.

    Args:
        portion (float): share of each image that is offered, in (0, 1].
    """

    inputs = ('prob', )

    def __init__(self, portion: float = 0.05) -> None:
        self.portion = check_portion(portion)

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """``portion`` of the pixels with a random score."""
        num_pixels = outputs['prob'].shape[-2] * outputs['prob'].shape[-1]
        count = max(1, int(self.portion * num_pixels))
        flat_index = np.sort(generator.choice(num_pixels, count, replace=False)).astype(np.int32)
        return Candidates(flat_index, generator.random(count).astype(np.float16))

    def settings(self) -> dict[str, Any]:
        """Type and portion."""
        return dict(type=type(self).__name__, portion=self.portion)


@SELECTORS.register_module()
class EntropySelector(Selector):
    """Pixels where the main model's entropy is highest.

    Args:
        portion (float): share of each image that is offered, in (0, 1].
    """

    inputs = ('prob', )

    def __init__(self, portion: float = 0.05) -> None:
        self.portion = check_portion(portion)

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """The ``portion`` of highest entropy; ties at its edge go to the first in (y, x)."""
        score = entropy(outputs['prob']).flatten().clamp_min(0).to(torch.float16).cpu().numpy()
        count = max(1, int(self.portion * score.size))
        # A stable sort on the float16 values: the same pixels on every machine.
        flat_index = np.sort(np.argsort(-score.astype(np.float32), kind='stable')[:count])
        return Candidates(flat_index.astype(np.int32), score[flat_index])

    def settings(self) -> dict[str, Any]:
        """Type and portion."""
        return dict(type=type(self).__name__, portion=self.portion)
