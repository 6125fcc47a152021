# SPDX-License-Identifier: Apache-2.0
"""Class-balanced labels made denser by voting of confident neighbours: first phase of TPLD (Shin et al., ECCV 2020, Sec. 4.1).

What the paper leaves open, and how it is read here, is in :mod:`udatools.ops.voting`.
"""
from typing import Any

import numpy as np
from torch import Tensor

from udatools.ops.histograms import WinningPrediction
from udatools.ops.thresholds import voted_label
from udatools.registry import PSEUDO_LABEL_POLICIES

from .policies import ClassBalancedPolicy, PseudoLabel


@PSEUDO_LABEL_POLICIES.register_module()
class VotedClassBalancedPolicy(ClassBalancedPolicy):
    """Thresholds of :class:`ClassBalancedPolicy`; a pixel below them may be outvoted by its neighbours.

    Args:
        window (int): side of the window in native pixels, odd.
        weight (float): of the pixel's own ratio of probability and threshold, in [0, 1].
        iterations (int): how often it is voted, >= 0; 0 leaves the labels of :class:`ClassBalancedPolicy`.
        kwargs: those of :class:`ClassBalancedPolicy`.

    Raises:
        ValueError: if a value is outside its range.
    """

    def __init__(self, *, window: int = 57, weight: float = 0.7, iterations: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if window < 1 or window % 2 == 0 or not 0.0 <= weight <= 1.0 or iterations < 0:
            raise ValueError(f'window={window}, weight={weight}, iterations={iterations}; expected an odd window, a weight in '
                             '[0, 1] and iterations >= 0')
        self.voting: dict[str, Any] = dict(window=int(window), weight=float(weight), iterations=int(iterations))

    def label(self, prob_chw: Tensor, winner: WinningPrediction, theta: np.ndarray) -> PseudoLabel:
        """The class of the largest ratio, where that is at least 1, else the class that wins the vote, if one does."""
        return PseudoLabel(*voted_label(prob_chw, theta, **self.voting))

    def settings(self) -> dict[str, Any]:
        """Type and numbers of this round."""
        return super().settings() | self.voting
