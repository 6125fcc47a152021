# SPDX-License-Identifier: Apache-2.0
"""Which images are easy: target images ranked by what a model makes of them, and cut in two.

By mean entropy: IntraDA (Pan et al., CVPR 2020, Sec. 3.2). By the confident share of each predicted class, rare ones counting
more: TPLD (Shin et al., ECCV 2020, Sec. 4.2). The score of an image is a function of its own prediction and the thresholds of its
pseudo-label, so it is found in the pass that labels it, and the cut is the same for any number of processes. (IntraDA's paper
also divides the entropy by the number of rare classes, in a variant that is not here.)
"""
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from udatools.ops.histograms import WinningPrediction
from udatools.ops.selection import entropy
from udatools.registry import IMAGE_RANKINGS


class ImageRanking(ABC):
    """Base class of rankings.

    Args:
        portion (float): share of the images that count as easy, in (0, 1); at least one image is in either part.

    Raises:
        ValueError: for a portion outside its range.
    """

    def __init__(self, portion: float) -> None:
        if not 0.0 < portion < 1.0:
            raise ValueError(f'portion is {portion}; expected the share of easy images, in (0, 1)')
        self.portion = float(portion)

    @abstractmethod
    def difficulty(self, prob_chw: Tensor, winner: WinningPrediction, theta: np.ndarray) -> float:
        """The larger, the harder.

        Args:
            prob_chw (Tensor): float, (C, H, W), probabilities of an image.
            winner (WinningPrediction): their argmax and maximum.
            theta (np.ndarray): float64, (C,), thresholds of the image's pseudo-label.
        """

    def split(self, difficulties: Mapping[str, float]) -> dict[str, Any]:
        """Cut a set in two.

        Args:
            difficulties (Mapping[str, float]): by image key.

        Returns:
            dict[str, Any]: ``easy`` and ``hard``, lists of keys, easiest first, ties by key; ``difficulty`` of each key; the
            ``ranking``'s settings. What ``split.json`` holds.

        Raises:
            ValueError: for less than two images.
        """
        if len(difficulties) < 2:
            raise ValueError(f'{len(difficulties)} image cannot be cut into easy and hard ones; give the target set two or more')
        ranked = sorted(difficulties, key=lambda key: (difficulties[key], key))
        count = min(max(1, round(self.portion * len(ranked))), len(ranked) - 1)
        return dict(ranking=self.settings(), easy=ranked[:count], hard=ranked[count:],
                    difficulty={key: difficulties[key] for key in ranked})

    def settings(self) -> dict[str, Any]:
        """JSON-able settings that the split depends on; they become part of the hash of the inputs."""
        return dict(type=type(self).__name__, portion=self.portion)


@IMAGE_RANKINGS.register_module()
class EntropyRanking(ImageRanking):
    """Mean entropy of an image's pixels, in units of log C (IntraDA, Eq. 4; its easy portion is 0.67)."""

    def __init__(self, portion: float = 0.67) -> None:
        super().__init__(portion)

    def difficulty(self, prob_chw: Tensor, winner: WinningPrediction, theta: np.ndarray) -> float:
        """In [0, 1]."""
        return float(entropy(prob_chw).double().mean()) / math.log(len(prob_chw))


@IMAGE_RANKINGS.register_module()
class ConfidenceRanking(ImageRanking):
    r"""TPLD's score of confidence, :math:`\frac{1}{K'} \sum_k \frac{N_k^*}{N_k} \frac{1}{\theta_k}`, with its sign turned.

    The sum is over the K' classes that the image is predicted to hold, :math:`N_k` is the number of its pixels predicted as k and
    :math:`N_k^*` of those that reach the threshold. The easy portion of the paper is 0.3.
    """

    def __init__(self, portion: float = 0.3) -> None:
        super().__init__(portion)

    def difficulty(self, prob_chw: Tensor, winner: WinningPrediction, theta: np.ndarray) -> float:
        """At most 0."""
        label = winner.label.ravel()
        confident = winner.confidence.astype(np.float64).ravel() >= theta[label]
        predicted = np.bincount(label, minlength=len(theta))
        kept = np.bincount(label[confident], minlength=len(theta))
        present = predicted > 0
        return -float(np.mean(kept[present] / predicted[present] / theta[present]))
