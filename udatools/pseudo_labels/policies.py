# SPDX-License-Identifier: Apache-2.0
"""Policies: from histograms of winning probabilities to per-class thresholds.

A policy sees only histograms, never an image, so the generator can compute those in parallel and run the policy once
in data-set order. Instance-adaptive: Mei et al., ECCV 2020; see ``udatools.ops.thresholds`` for the rule.
"""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from udatools.ops.histograms import SparseHistogram
from udatools.ops.thresholds import instance_adaptive_step
from udatools.registry import PSEUDO_LABEL_POLICIES


class PseudoLabelPolicy(ABC):
    """Base class of policies.

    A *streaming* policy (``needs_whole_set = False``) carries thresholds through the images in data-set order: the
    generator calls :meth:`initial_thresholds` once and :meth:`step` for every image. A *whole-set* policy
    (``needs_whole_set = True``) wants the histogram of all images first: the generator makes one more pass of
    inference and calls :meth:`fit` once.
    """

    needs_whole_set: bool = False

    @abstractmethod
    def initial_thresholds(self, num_classes: int) -> np.ndarray:
        """Thresholds before the first image: float64, (C,)."""

    def step(self, theta: np.ndarray, histogram: SparseHistogram) -> np.ndarray:
        """Thresholds of the next image, given those of the image before: float64, (C,)."""
        raise NotImplementedError(f'{type(self).__name__} is no streaming policy; the generator must call fit()')

    def fit(self, histogram: SparseHistogram, num_classes: int) -> np.ndarray:
        """Thresholds of all images, given the histogram of the whole set: float64, (C,)."""
        raise NotImplementedError(f'{type(self).__name__} is a streaming policy; the generator must call step()')

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """JSON-able settings that the labels depend on; they become part of the hash of the inputs."""


@PSEUDO_LABEL_POLICIES.register_module()
class InstanceAdaptivePolicy(PseudoLabelPolicy):
    """Thresholds that follow each image with momentum (IAST).

    Args:
        alpha (float | Sequence[float]): share of confident pixels to keep, in (0, 1]; a sequence has one value a
            round and its last one serves all later rounds. The paper: 0.2, 0.25, 0.3.
        beta (float): momentum, in [0, 1].
        gamma (float): exponent, >= 0.
        initial (float): threshold of every class before the first image, in (0, 1).
        round (int): which round this is, from 1.

    Raises:
        ValueError: if a value is outside its range.
    """

    def __init__(self,
                 alpha: float | Sequence[float] = 0.2,
                 *,
                 beta: float = 0.9,
                 gamma: float = 8.0,
                 initial: float = 0.9,
                 round: int = 1) -> None:
        alphas = [float(a) for a in alpha] if isinstance(alpha, Sequence) else [float(alpha)]
        round = int(round)
        if not alphas or not all(0.0 < a <= 1.0 for a in alphas):
            raise ValueError(f'alpha is {alpha}; expected numbers in (0, 1], one or one a round')
        if round < 1:
            raise ValueError(f'round is {round}; rounds are counted from 1')
        if not 0.0 <= beta <= 1.0 or gamma < 0.0 or not 0.0 < initial < 1.0:
            raise ValueError(f'beta={beta}, gamma={gamma}, initial={initial}; '
                             'expected beta in [0, 1], gamma >= 0, initial in (0, 1)')
        self.alpha = alphas[min(round, len(alphas)) - 1]
        self.beta, self.gamma, self.initial = float(beta), float(gamma), float(initial)

    def initial_thresholds(self, num_classes: int) -> np.ndarray:
        """``initial`` for every class."""
        return np.full(num_classes, self.initial, np.float64)

    def step(self, theta: np.ndarray, histogram: SparseHistogram) -> np.ndarray:
        """One step of the recursion; see :func:`udatools.ops.thresholds.instance_adaptive_step`."""
        return instance_adaptive_step(theta, histogram, self.alpha, self.beta, self.gamma)

    def settings(self) -> dict[str, Any]:
        """Type and numbers of this round."""
        return dict(type=type(self).__name__, alpha=self.alpha, beta=self.beta, gamma=self.gamma,
                    initial=self.initial)
