# SPDX-License-Identifier: Apache-2.0
"""Policies: from histograms of winning probabilities to per-class thresholds, and from those to labels.

Thresholds come from histograms alone, so the generator can count images in parallel and run the policy once in
data-set order. Instance-adaptive: Mei et al., ECCV 2020; class-balanced: Zou et al., ECCV 2018. See
``udatools.ops.thresholds`` for the rules.
"""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from udatools.ops.histograms import SparseHistogram, WinningPrediction, class_histogram, winning_prediction
from udatools.ops.thresholds import class_balanced_label, class_balanced_thresholds, instance_adaptive_step, keep_confident
from udatools.registry import PSEUDO_LABEL_POLICIES


class PseudoLabel(NamedTuple):
    """The pseudo-label of one image.

    Attributes:
        label (np.ndarray): uint8, (H, W), train id, or 255 where none is kept.
        confidence (np.ndarray): float16, (H, W), probability of the class that the rule chose, kept or not.
    """
    label: np.ndarray
    confidence: np.ndarray


class PseudoLabelPolicy(ABC):
    """Base class of policies.

    A *streaming* policy (``needs_whole_set = False``) carries thresholds through the images in data-set order: the
    generator calls :meth:`initial_thresholds` once and :meth:`step` for every image. A *whole-set* policy
    (``needs_whole_set = True``) wants the histogram of all images first: the generator calls :meth:`fit` once, between
    predicting all images and labelling the first. Which pixels are counted (:meth:`statistics`) and which label a pixel
    gets (:meth:`label`) may differ too.

    A streaming policy whose ``instance`` is ``'clip'`` takes one step a clip of at most ``clip_length`` frames, with the
    histogram of all of them. Their probabilities are gone by then, so that it labels with the winners alone
    (:meth:`label_winner`).
    """

    needs_whole_set: bool = False
    instance: str = 'image'
    clip_length: int = 30

    @abstractmethod
    def initial_thresholds(self, num_classes: int) -> np.ndarray:
        """Thresholds before the first image: float64, (C,)."""

    def step(self, theta: np.ndarray, histogram: SparseHistogram) -> np.ndarray:
        """Thresholds of the next image, given those of the image before: float64, (C,)."""
        raise NotImplementedError(f'{type(self).__name__} is no streaming policy; the generator must call fit()')

    def starting_at(self, theta: np.ndarray) -> 'PseudoLabelPolicy':
        """The same streaming policy with these thresholds, float64, (C,), before the first image."""
        raise NotImplementedError(f'{type(self).__name__} does not say how it starts at other thresholds')

    def fit(self, histogram: SparseHistogram, num_classes: int) -> np.ndarray:
        """Thresholds of all images, given the histogram of the whole set: float64, (C,)."""
        raise NotImplementedError(f'{type(self).__name__} is a streaming policy; the generator must call step()')

    def winner(self, prob_chw: Tensor) -> WinningPrediction:
        """What is counted and compared of each pixel: by default the argmax and its probability."""
        return winning_prediction(prob_chw)

    def statistics(self, winner: WinningPrediction, num_classes: int) -> SparseHistogram:
        """What the thresholds need to know of an image: by default every pixel's winning probability."""
        return class_histogram(*winner, num_classes)

    def label(self, prob_chw: Tensor, winner: WinningPrediction, theta: np.ndarray) -> PseudoLabel:
        """Pseudo-label of an image: by default the winner, where its probability reaches its class's threshold.

        Args:
            prob_chw (Tensor): float, (C, H, W), probabilities.
            winner (WinningPrediction): of :meth:`winner`.
            theta (np.ndarray): float64, (C,), thresholds of the image.
        """
        return self.label_winner(winner, theta)

    def label_winner(self, winner: WinningPrediction, theta: np.ndarray) -> PseudoLabel:
        """The winner, where its probability reaches its class's threshold."""
        return PseudoLabel(keep_confident(*winner, theta), winner.confidence)

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
        self.beta, self.gamma = float(beta), float(gamma)
        self.initial: float | list[float] = float(initial)

    def initial_thresholds(self, num_classes: int) -> np.ndarray:
        """``initial`` for every class, or what :meth:`starting_at` was given."""
        return np.full(num_classes, self.initial, np.float64)

    def starting_at(self, theta: np.ndarray) -> 'InstanceAdaptivePolicy':
        """A copy with other thresholds before the first image."""
        other = copy(self)
        other.initial = theta.tolist()
        return other

    def step(self, theta: np.ndarray, histogram: SparseHistogram) -> np.ndarray:
        """One step of the recursion; see :func:`udatools.ops.thresholds.instance_adaptive_step`."""
        return instance_adaptive_step(theta, histogram, self.alpha, self.beta, self.gamma)

    def settings(self) -> dict[str, Any]:
        """Type and numbers of this round."""
        return dict(type=type(self).__name__, alpha=self.alpha, beta=self.beta, gamma=self.gamma,
                    initial=self.initial)


@PSEUDO_LABEL_POLICIES.register_module()
class ClassBalancedPolicy(PseudoLabelPolicy):
    """The same portion of every class, from the whole set (CBST, CRST).

    Thresholds: :func:`udatools.ops.thresholds.class_balanced_thresholds` on every ``stride``-th pixel of each image in
    raster order. Labels: :func:`udatools.ops.thresholds.class_balanced_label`, the class of the largest ratio of
    probability and threshold.

    Args:
        portion (float): portion to keep in round 1, in (0, 1].
        step (float): added with each further round, >= 0.
        maximum (float): the portion never exceeds it, in (0, 1].
        stride (int): distance of the counted pixels.
        round (int): which round this is, from 1.

    Raises:
        ValueError: if a value is outside its range.
    """

    needs_whole_set = True

    def __init__(self,
                 portion: float = 0.2,
                 *,
                 step: float = 0.05,
                 maximum: float = 0.5,
                 stride: int = 4,
                 round: int = 1) -> None:
        stride, number = int(stride), int(round)
        if not 0.0 < portion <= 1.0 or not 0.0 < maximum <= 1.0 or step < 0.0:
            raise ValueError(f'portion={portion}, maximum={maximum}, step={step}; '
                             'expected portion and maximum in (0, 1], step >= 0')
        if stride < 1 or number < 1:
            raise ValueError(f'stride={stride}, round={number}; expected at least 1 each, rounds are counted from 1')
        # Ten decimals: 0.2 + 2 * 0.05 is 0.30000000000000004 in double precision.
        self.portion = float(np.round(min(portion + step * (number - 1), max(portion, maximum)), 10))
        self.stride = stride

    def initial_thresholds(self, num_classes: int) -> np.ndarray:
        """1 for every class: nothing is kept before :meth:`fit`."""
        return np.ones(num_classes, np.float64)

    def statistics(self, winner: WinningPrediction, num_classes: int) -> SparseHistogram:
        """Winning probabilities of every ``stride``-th pixel, from the first on, in raster order."""
        label, confidence = winner.label.ravel(), winner.confidence.ravel()
        return class_histogram(label[::self.stride], confidence[::self.stride], num_classes)

    def fit(self, histogram: SparseHistogram, num_classes: int) -> np.ndarray:
        """The threshold of each class."""
        return class_balanced_thresholds(histogram, num_classes, self.portion)

    def label(self, prob_chw: Tensor, winner: WinningPrediction, theta: np.ndarray) -> PseudoLabel:
        """The class of the largest ratio, where that ratio is at least 1; ``winner`` is not used."""
        return PseudoLabel(*class_balanced_label(prob_chw, theta))

    def settings(self) -> dict[str, Any]:
        """Type and numbers of this round."""
        return dict(type=type(self).__name__, portion=self.portion, stride=self.stride)
