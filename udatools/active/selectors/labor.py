# SPDX-License-Identifier: Apache-2.0
"""LabOR: ask where two classifiers disagree, for every pixel there (SPL) or for one point a class (PPL).

Shin et al., "LabOR: Labeling Only if Required for Domain Adaptive Semantic Segmentation", ICCV 2021, Eq. 2 and
Algorithm 1, lines 13-21. The paper asks for the whole mask, or for all points, however many these are; the scores added
here let a budget cut them exactly.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udatools.ops.prototypes import DISTANCES, nearest_to_prototypes
from udatools.ops.regions import component_sizes, label_components
from udatools.ops.selection import inconsistency_mask, l1_discrepancy, mcdal_discrepancy, predicted_class
from udatools.registry import SELECTORS

from .base import Candidates, Selector, allowed_of, candidates_from, check_count

#: Orders of picks that the exponents of normal float16 numbers can tell apart.
MAX_POINTS = 30


@SELECTORS.register_module()
class LabORSPLSelector(Selector):
    """Candidates are the inconsistency mask, scored by the discrepancy of the classifiers.

    Args:
        score (str): what a budget cuts the mask by. ``'l1'``: L1 distance of the two classifiers, largest first;
            ``'mcdal'``: plus that of each to the main model; ``'uniform'``: an even random draw, which keeps the mask's
            own mix of classes (the largest distances crowd on the one or two pairs of classes that the model confuses
            most, and asking the same question again teaches little). Without a budget all three ask the same.

    Raises:
        ValueError: if ``score`` is another word.
    """

    def __init__(self, score: str = 'l1') -> None:
        if score not in ('l1', 'mcdal', 'uniform'):
            raise ValueError(f"score is {score!r}; expected 'l1', 'mcdal' or 'uniform'")
        self.score = score
        self.unit_score = 'first' if score == 'uniform' else 'mean'
        self.inputs = ('prob', 'prob1', 'prob2') if score == 'mcdal' else ('prob1', 'prob2')

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """The inconsistency mask with its scores."""
        prob1, prob2 = outputs['prob1'], outputs['prob2']
        mask = inconsistency_mask(prob1, prob2)
        if self.score == 'l1':
            score = l1_discrepancy(prob1, prob2)
        elif self.score == 'mcdal':
            score = mcdal_discrepancy(outputs['prob'], prob1, prob2)
        else:
            score = torch.from_numpy(generator.random(tuple(mask.shape))).to(mask.device)
        return candidates_from(mask, score)

    def settings(self) -> dict[str, Any]:
        """Type and score."""
        return dict(type=type(self).__name__, score=self.score)


@SELECTORS.register_module()
class LabORPPLSelector(Selector):
    """Point-based pixel labelling: the most representative pixels of every class inside the inconsistency mask.

    D^(k) are the pixels of the mask that belong to class k, mu^(k) is the mean of the main model's probability vectors
    over D^(k), and the pixel of D^(k) whose vector is nearest to mu^(k) is offered. Without a budget all of them are
    asked. A budget takes the first picks of all classes before any second pick, and among picks of one order those of
    the largest L1 distance of the two classifiers.

    Args:
        class_from (str): which prediction says the class k of a pixel: that of the ``'main'`` model, or that of the
            pixel ``'selector'``, whose two classifiers are averaged.
        distance (str): ``'l2'``, the distance that the mean minimises and so the one that "nearest to the mean" is
            about; ``'l1'``; or ``'cosine'``. The slides leave it open.
        points_per_class (int): picks a class, image and round, 1 to 30.
        min_distance (float): native pixels (Euclidean) between picks of one class, at least.
        min_size (int): connected components of the mask with fewer native pixels are left out, for people: slivers at
            boundaries are hard to see. 0 keeps the whole mask.

    Raises:
        ValueError: for a value out of range.
    """

    inputs = ('prob', 'prob1', 'prob2', 'excluded')
    kind = 'points'

    def __init__(self, class_from: str = 'main', *, distance: str = 'l2', points_per_class: int = 1,
                 min_distance: float = 0, min_size: int = 0) -> None:
        if class_from not in ('main', 'selector'):
            raise ValueError(f"class_from is {class_from!r}; expected 'main' or 'selector'")
        if distance not in DISTANCES:
            raise ValueError(f'distance is {distance!r}; expected one of {DISTANCES}')
        if not 1 <= points_per_class <= MAX_POINTS:
            raise ValueError(f'points_per_class is {points_per_class}; expected 1 to {MAX_POINTS}')
        check_count('min_distance', min_distance, 0)
        check_count('min_size', min_size, 0)
        self.class_from, self.distance, self.points_per_class = class_from, distance, int(points_per_class)
        self.min_distance, self.min_size = float(min_distance), int(min_size)

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """One point a class, or more; scored ``2^(15 - order) * (1 + L1 / 2)``, where order 0 is the first pick."""
        prob, prob1, prob2 = outputs['prob'], outputs['prob1'], outputs['prob2']
        mask = inconsistency_mask(prob1, prob2)
        if self.min_size > 1:
            sizes = component_sizes(label_components(mask.cpu().numpy()))
            mask = mask & torch.from_numpy(sizes >= self.min_size).to(mask.device)
        class_hw = predicted_class(prob if self.class_from == 'main' else prob1 + prob2)
        allowed = torch.from_numpy(allowed_of(outputs, (mask.shape[0], mask.shape[1]))).to(mask.device)
        picks = nearest_to_prototypes(
            prob, mask, class_hw, distance=self.distance, points_per_class=self.points_per_class,
            min_distance=self.min_distance, allowed=allowed)
        # The exponent holds the order and the mantissa the distance, which stays below the next exponent.
        largest = 1 - 2 * torch.finfo(torch.float16).eps
        distance = (l1_discrepancy(prob1, prob2).flatten()[picks.flat_index] / 2).clamp(0, largest)
        score = ((1 + distance) * 2.0**(15 - picks.order)).to(torch.float16).cpu().numpy()
        flat_index = picks.flat_index.cpu().numpy()
        ascending = np.argsort(flat_index)
        return Candidates(flat_index[ascending].astype(np.int32), score[ascending])

    def settings(self) -> dict[str, Any]:
        """Type and all arguments."""
        return dict(type=type(self).__name__, class_from=self.class_from, distance=self.distance,
                    points_per_class=self.points_per_class, min_distance=self.min_distance, min_size=self.min_size)
