# SPDX-License-Identifier: Apache-2.0
"""Baselines that any active method is compared with: random pixels, and pixels with a high score of their own.

All offer at most ``portion`` of each image as candidates, so that their lists stay small; with a budget, a portion
well above it keeps the cut over the whole set meaningful. Margin is also known as best versus second best; the MCDAL
score is of Cho et al., "MCDAL: Maximum Classifier Discrepancy for Active Learning", 2021.
"""
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udatools.ops.cuts import find_cut, score_histogram, units_within
from udatools.ops.selection import entropy, least_confidence, margin_uncertainty, mcdal_discrepancy
from udatools.ops.spacing import disc, greedy_peaks
from udatools.registry import SELECTORS

from .base import Candidates, Selector, allowed_of, check_count, check_kind, check_portion


class ScoreSelector(Selector):
    """Base class: every pixel has a score, and the best of each image are offered.

    Args:
        portion (float): share of each image that is offered, in (0, 1].
        kind (str): ``'segments'`` or ``'points'``.
        spacing (float): native pixels (Euclidean) between any two offered ones, at least: the best is taken first, and
            its neighbourhood is left out. 0 is without.

    Raises:
        ValueError: for a value out of range.
    """

    inputs: tuple[str, ...] = ('prob', 'excluded')

    def __init__(self, portion: float = 0.05, *, kind: str = 'segments', spacing: float = 0) -> None:
        self.portion, self.kind, self.spacing = check_portion(portion), check_kind(kind), float(spacing)
        check_count('spacing', spacing, 0)

    @abstractmethod
    def score_map(self, outputs: Mapping[str, Tensor], generator: np.random.Generator) -> Tensor:
        """Score of every pixel: float, (H, W), >= 0."""

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """The ``portion`` of highest score; ties at its edge go to the first in (y, x)."""
        score = self.score_map(outputs, generator).clamp_min(0).to(torch.float16).cpu().numpy()
        allowed = allowed_of(outputs, (score.shape[0], score.shape[1]))
        count = max(1, int(self.portion * score.size))
        if self.spacing > 1:
            flat_index = np.sort(greedy_peaks(score, disc(self.spacing), count, allowed))
        else:
            flat_index = np.flatnonzero(allowed)
            chosen = score.ravel()[flat_index]
            cut = find_cut(score_histogram(chosen), count)
            flat_index = flat_index[units_within(chosen, np.ones(chosen.shape, np.int64), cut, cut.rest)]
        return Candidates(flat_index.astype(np.int32), score.ravel()[flat_index])

    def settings(self) -> dict[str, Any]:
        """Type, portion, and what is not at its default."""
        settings: dict[str, Any] = dict(type=type(self).__name__, portion=self.portion)
        if self.kind != 'segments':
            settings['kind'] = self.kind
        if self.spacing:
            settings['spacing'] = self.spacing
        return settings


@SELECTORS.register_module()
class RandomSelector(ScoreSelector):
    """Pixels drawn uniformly; arguments as of :class:`ScoreSelector`."""

    unit_score = 'first'

    def score_map(self, outputs: Mapping[str, Tensor], generator: np.random.Generator) -> Tensor:
        """A draw in [0, 1] for every pixel."""
        return torch.from_numpy(generator.random(tuple(outputs['prob'].shape[-2:])))

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """``portion`` of the pixels with a random score."""
        if self.spacing > 1:
            return super().candidates(outputs, key, generator)
        allowed = np.flatnonzero(allowed_of(outputs, (outputs['prob'].shape[-2], outputs['prob'].shape[-1])))
        count = min(allowed.size, max(1, int(self.portion * outputs['prob'][0].numel())))
        flat_index = allowed[np.sort(generator.choice(allowed.size, count, replace=False))].astype(np.int32)
        return Candidates(flat_index, generator.random(count).astype(np.float16))


@SELECTORS.register_module()
class EntropySelector(ScoreSelector):
    """Pixels where the main model's entropy is highest; arguments as of :class:`ScoreSelector`."""

    def score_map(self, outputs: Mapping[str, Tensor], generator: np.random.Generator) -> Tensor:
        """Entropy in nats."""
        return entropy(outputs['prob'])


@SELECTORS.register_module()
class MarginSelector(ScoreSelector):
    """Pixels where the two best classes are closest: ``1 - (best - second)``; arguments as of :class:`ScoreSelector`."""

    def score_map(self, outputs: Mapping[str, Tensor], generator: np.random.Generator) -> Tensor:
        """One minus the margin."""
        return margin_uncertainty(outputs['prob'])


@SELECTORS.register_module()
class ConfidenceSelector(ScoreSelector):
    """Pixels where the best class is least probable: ``1 - best``; arguments as of :class:`ScoreSelector`."""

    def score_map(self, outputs: Mapping[str, Tensor], generator: np.random.Generator) -> Tensor:
        """One minus the probability of the winning class."""
        return least_confidence(outputs['prob'])


@SELECTORS.register_module()
class MCDALSelector(ScoreSelector):
    """Pixels where two classifiers differ most from each other and from the main model; they need not disagree.

    ``L1(p1, p2) + L1(p, p1) + L1(p, p2)``; arguments as of :class:`ScoreSelector`.
    """

    inputs = ('prob', 'prob1', 'prob2', 'excluded')

    def score_map(self, outputs: Mapping[str, Tensor], generator: np.random.Generator) -> Tensor:
        """The discrepancy of the three predictions."""
        return mcdal_discrepancy(outputs['prob'], outputs['prob1'], outputs['prob2'])
