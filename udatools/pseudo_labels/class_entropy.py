# SPDX-License-Identifier: Apache-2.0
"""Entropy thresholds of each class that follow the predictions of the round (LSE: Subhani and Ali, ECCV 2020).

Our reading: the threshold of a class is the entropy that a given portion of the pixels predicted as this class stays below; it is
found anew in every round, from the predictions of the whole target set, and the portion grows with the rounds.
"""
import numpy as np
from torch import Tensor

from udatools.ops.histograms import WinningPrediction, certain_prediction
from udatools.registry import PSEUDO_LABEL_POLICIES

from .policies import ClassBalancedPolicy, PseudoLabel, PseudoLabelPolicy


@PSEUDO_LABEL_POLICIES.register_module()
class ClassEntropyPolicy(ClassBalancedPolicy):
    """The same portion of every class, those pixels whose predictions have the lowest entropy; labels are the argmax.

    Confidences and thresholds on disk are one minus the normalised entropy, in [0, 1].

    Args:
        portion, step, maximum, stride, round: as of :class:`ClassBalancedPolicy`.
    """

    def winner(self, prob_chw: Tensor) -> WinningPrediction:
        """The argmax, and one minus the normalised entropy."""
        return certain_prediction(prob_chw)

    def label(self, prob_chw: Tensor, winner: WinningPrediction, theta: np.ndarray) -> PseudoLabel:
        """The argmax, where the entropy does not exceed the threshold of its class."""
        return PseudoLabelPolicy.label(self, prob_chw, winner, theta)
