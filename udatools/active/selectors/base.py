# SPDX-License-Identifier: Apache-2.0
"""Interface of selectors: per image candidates with a score; the cut to a budget is not their business."""
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Candidates(NamedTuple):
    """Pixels of one image that may be asked for.

    Attributes:
        flat_index (np.ndarray): int32, (N,), distinct, ``y * W + x`` at native resolution.
        score (np.ndarray): float16, (N,), finite, >= 0; larger is asked first.
    """
    flat_index: np.ndarray
    score: np.ndarray


class Selector(ABC):
    """Base class of selectors.

    Attributes:
        inputs (tuple[str, ...]): which outputs it reads, of ``'prob'`` (main model), ``'prob1'``, ``'prob2'`` (the two
            classifiers of the pixel selector); only those are computed. At least one, for the image size.
        kind (str): ``'segments'`` or ``'points'``: how the asked pixels are shown, counted and billed.
    """

    inputs: tuple[str, ...] = ('prob', 'prob1', 'prob2')
    kind: str = 'segments'

    @abstractmethod
    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """Candidates of one image.

        Args:
            outputs (Mapping[str, Tensor]): :attr:`inputs`, each float32, (C, H, W), in [0, 1], native resolution.
            key (str): identity of the image.
            generator (np.random.Generator): seeded by (seed, round, key), the only source of randomness.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """JSON-able settings that the choice depends on."""


def candidates_from(mask: Tensor, score: Tensor) -> Candidates:
    """Candidates at the True pixels of a mask.

    Args:
        mask (Tensor): bool, (H, W).
        score (Tensor): float, (H, W), >= 0.
    """
    flat_index = mask.flatten().nonzero().squeeze(1)
    chosen = score.flatten()[flat_index].clamp_min(0).to(torch.float16)
    return Candidates(flat_index.to(torch.int32).cpu().numpy(), chosen.cpu().numpy())


def check_portion(portion: float) -> float:
    """``portion`` if it lies in (0, 1], else ValueError."""
    if not 0.0 < portion <= 1.0:
        raise ValueError(f'portion is {portion}; expected a number in (0, 1]')
    return float(portion)
