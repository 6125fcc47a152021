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
        region (np.ndarray | None): int32, (N,), region of every pixel, asked as a whole or not at all, with one score;
            None: every pixel is a unit of its own.
    """
    flat_index: np.ndarray
    score: np.ndarray
    region: np.ndarray | None = None

    def take(self, chosen: np.ndarray) -> 'Candidates':
        """Some of the candidates: bool, (N,), or positions."""
        return Candidates(self.flat_index[chosen], self.score[chosen],
                          None if self.region is None else self.region[chosen])


class Selector(ABC):
    """Base class of selectors.

    Attributes:
        inputs (tuple[str, ...]): what it reads; only that is computed. ``'prob'`` (main model), ``'prob1'``, ``'prob2'``
            (the two classifiers of the pixel selector), ``'image'`` (uint8, RGB, (3, H, W)): at least one of these, for
            the image size. ``'excluded'`` (bool, (H, W), on the CPU): pixels that will not be asked, because they are
            answered already or a filter keeps them out; what a selector offers there anyway is dropped.
        kind (str): ``'segments'``, ``'points'`` or ``'regions'`` (one label a region): how the asked pixels are shown,
            counted and billed; or a question about the image, of ``udatools.active.image_questions.IMAGE_KINDS``.
        unit_score (str): score of a connected component of candidates: the ``'mean'`` of its pixels, or that of its
            ``'first'`` pixel, for scores that are drawn (the mean of a draw favours small components).
    """

    inputs: tuple[str, ...] = ('prob', 'prob1', 'prob2')
    kind: str = 'segments'
    unit_score: str = 'mean'

    @abstractmethod
    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """Candidates of one image.

        Args:
            outputs (Mapping[str, Tensor]): :attr:`inputs`; probabilities are float32, (C, H, W), in [0, 1], native
                resolution.
            key (str): identity of the image.
            generator (np.random.Generator): seeded by (seed, round, key), the only source of randomness.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """JSON-able settings that the choice depends on.

        An argument that is added later is left out at its default: rounds that are paid for stay the same rounds.
        """


def candidates_from(mask: Tensor, score: Tensor) -> Candidates:
    """Candidates at the True pixels of a mask.

    Args:
        mask (Tensor): bool, (H, W).
        score (Tensor): float, (H, W), >= 0.
    """
    flat_index = mask.flatten().nonzero().squeeze(1)
    chosen = score.flatten()[flat_index].clamp_min(0).to(torch.float16)
    return Candidates(flat_index.to(torch.int32).cpu().numpy(), chosen.cpu().numpy())


def allowed_of(outputs: Mapping[str, Tensor], size: tuple[int, int]) -> np.ndarray:
    """Where something may be asked, bool, (H, W): everywhere but in ``outputs['excluded']``, if that is given."""
    excluded = outputs.get('excluded')
    return np.ones(size, bool) if excluded is None else ~excluded.numpy()


def check_portion(portion: float) -> float:
    """``portion`` if it lies in (0, 1], else ValueError."""
    if not 0.0 < portion <= 1.0:
        raise ValueError(f'portion is {portion}; expected a number in (0, 1]')
    return float(portion)


def check_kind(kind: str, kinds: tuple[str, ...] = ('segments', 'points')) -> str:
    """``kind`` if it is one of ``kinds``, else ValueError."""
    if kind not in kinds:
        raise ValueError(f'kind is {kind!r}; expected one of {kinds}')
    return kind


def check_count(name: str, value: float, at_least: float) -> None:
    """Raise ValueError if an argument is smaller than it may be."""
    if value < at_least:
        raise ValueError(f'{name} is {value}; expected a number >= {at_least}')
