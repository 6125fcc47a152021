# SPDX-License-Identifier: Apache-2.0
"""The most confident portion of every class, or whatever is confident enough (FDA: Yang and Soatto, CVPR 2020, Sec. 4).

The paper keeps the top 66 % of each class and everything above 0.9. The authors' code reads the threshold at 66 % of the
*ascending* order, which keeps the top 34 %: ``portion=0.34`` is that reading.
"""
from typing import Any

import numpy as np
from torch import Tensor

from udatools.ops.histograms import SparseHistogram, WinningPrediction
from udatools.registry import PSEUDO_LABEL_POLICIES

from .policies import ClassBalancedPolicy, PseudoLabel, PseudoLabelPolicy


@PSEUDO_LABEL_POLICIES.register_module()
class TopPortionPolicy(ClassBalancedPolicy):
    """Thresholds of :class:`ClassBalancedPolicy`; labels are the argmax, never a class of a larger ratio.

    Args:
        portion (float): of the pixels predicted as a class to keep, in (0, 1].
        cap (float, optional): pixels at least this confident are kept in any case, in (0, 1].
        stride (int): distance of the counted pixels; the authors count all.

    Raises:
        ValueError: if a value is outside its range.
    """

    def __init__(self, portion: float = 0.66, *, cap: float | None = 0.9, stride: int = 1) -> None:
        if cap is not None and not 0.0 < cap <= 1.0:
            raise ValueError(f'cap is {cap}; expected a threshold in (0, 1], or None for none')
        super().__init__(portion, step=0.0, maximum=1.0, stride=stride)
        self.cap = cap

    def fit(self, histogram: SparseHistogram, num_classes: int) -> np.ndarray:
        """The threshold of each class, at most ``cap``."""
        theta = super().fit(histogram, num_classes)
        return theta if self.cap is None else np.minimum(theta, self.cap)

    def label(self, prob_chw: Tensor, winner: WinningPrediction, theta: np.ndarray) -> PseudoLabel:
        """The winner, where its probability reaches the threshold of its class."""
        return PseudoLabelPolicy.label(self, prob_chw, winner, theta)

    def settings(self) -> dict[str, Any]:
        """Type and numbers."""
        return super().settings() | dict(cap=self.cap)
