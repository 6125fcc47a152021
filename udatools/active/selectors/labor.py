# SPDX-License-Identifier: Apache-2.0
"""LabOR's segment-based pixel labelling: ask for every pixel where two classifiers disagree.

Shin et al., "LabOR: Labeling Only if Required for Domain Adaptive Semantic Segmentation", ICCV 2021, Eq. 2. The
paper asks for the whole mask, whose size is an outcome; the score added here lets a budget cut it exactly.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from udatools.ops.selection import inconsistency_mask, l1_discrepancy, mcdal_discrepancy
from udatools.registry import SELECTORS

from .base import Candidates, Selector, candidates_from


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
