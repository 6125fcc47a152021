# SPDX-License-Identifier: Apache-2.0
"""LabOR's segment-based pixel labelling: ask for every pixel where two classifiers disagree.

Shin et al., "LabOR: Labeling Only if Required for Domain Adaptive Semantic Segmentation", ICCV 2021, Eq. 2. The
paper asks for the whole mask, whose size is an outcome; the score added here lets a budget cut it exactly.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from udatools.ops.selection import inconsistency_mask, l1_discrepancy, mcdal_discrepancy
from udatools.registry import SELECTORS

from .base import Candidates, Selector, candidates_from


@SELECTORS.register_module()
class LabORSPLSelector(Selector):
    """Candidates are the inconsistency mask, scored by the discrepancy of the classifiers.

    Args:
        score (str): ``'l1'``: L1 distance of the two classifiers; ``'mcdal'``: plus that of each to the main model.

    Raises:
        ValueError: if ``score`` is another word.
    """

    def __init__(self, score: str = 'l1') -> None:
        if score not in ('l1', 'mcdal'):
            raise ValueError(f"score is {score!r}; expected 'l1' or 'mcdal'")
        self.score = score
        self.inputs = ('prob1', 'prob2') if score == 'l1' else ('prob', 'prob1', 'prob2')

    def candidates(self, outputs: Mapping[str, Tensor], key: str, generator: np.random.Generator) -> Candidates:
        """The inconsistency mask with its scores."""
        prob1, prob2 = outputs['prob1'], outputs['prob2']
        score = l1_discrepancy(prob1, prob2) if self.score == 'l1' else mcdal_discrepancy(
            outputs['prob'], prob1, prob2)
        return candidates_from(inconsistency_mask(prob1, prob2), score)

    def settings(self) -> dict[str, Any]:
        """Type and score."""
        return dict(type=type(self).__name__, score=self.score)
