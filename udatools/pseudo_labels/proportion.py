# SPDX-License-Identifier: Apache-2.0
"""Policies tuned to keep a given share of all pixels (Shin et al., Video DA, 2021, appendix C, Table 7).

Pseudo-labels of two policies can be compared only where both keep the same share: fewer labels are righter ones. The network runs
once; thresholds are functions of histograms, so that a policy is tried without predicting anything again.

Thresholds that follow a set start at 0.9 and take a tenth of a step for each instance. On the hundreds of clips of the paper the
start is soon forgotten; on ten it decides how much is kept, whatever alpha is. :meth:`Trials.settle` lets the recursion run over
the set beforehand.
"""
import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from udatools.ops.histograms import SparseHistogram, merge_histograms

from .generator import Predictor
from .policies import PseudoLabelPolicy
from .spool import Spool

_STEPS = 24
_SETTLED = 50  # steps after which, with a momentum of 0.9, half a percent of the start is left


class Trials:
    """One pass over a set, after which any policy can be asked how much it would keep; a context manager.

    Args:
        predictor (Predictor): of the set.
        count (int): number of images.
        num_classes (int): number of classes.
        makers (Sequence[Callable[[float], PseudoLabelPolicy]]): policies that will be tried, by the parameter that decides how
            much they keep, in (0, 1].
        clips (Mapping[str, Sequence[int]], optional): as of :func:`generate_pseudo_labels`.
        folder (str | Path): room for compact predictions, which whole-set policies need: their labels may not be the winners.
    """

    def __init__(self, predictor: Predictor, count: int, num_classes: int, makers: Sequence[Callable[[float], PseudoLabelPolicy]],
                 clips: Mapping[str, Sequence[int]] | None, folder: str | Path) -> None:
        self.predictor, self.count, self.num_classes = predictor, count, num_classes
        self.policies = {type(policy): policy for policy in (make(0.5) for make in makers)}
        self.clips = {} if clips is None else clips
        self.spool = Spool(folder)
        self._counted: dict[type, list[SparseHistogram]] = {}

    def __enter__(self) -> 'Trials':
        self.spool.__enter__()
        of_images: dict[type, list[SparseHistogram]] = {kind: [] for kind in self.policies}
        for index in range(self.count):
            compact = self.predictor.infer(index)
            if any(policy.needs_whole_set for policy in self.policies.values()):
                self.spool.write(compact)
            prob = self.predictor.expand(compact)
            for kind, policy in self.policies.items():
                of_images[kind].append(policy.statistics(policy.winner(prob), self.num_classes))
        for kind, policy in self.policies.items():
            images = of_images[kind]
            if policy.needs_whole_set:
                self._counted[kind] = [merge_histograms(images)]
            elif policy.instance == 'clip':
                self._counted[kind] = [merge_histograms([images[i] for i in frames]) for frames in self.clips.values()]
            else:
                self._counted[kind] = images
        return self

    def __exit__(self, *error: Any) -> None:
        self.spool.__exit__(*error)

    def share(self, policy: PseudoLabelPolicy) -> float:
        """Share of the pixels that a policy keeps, in [0, 1]: what its labels would have, without making them.

        Raises:
            KeyError: for a type of policy that was not announced.
        """
        counted = self._counted[type(policy)]
        return self._of_labels(policy, counted[0]) if policy.needs_whole_set else self._of_histograms(policy, counted)

    def settle(self, policy: PseudoLabelPolicy) -> PseudoLabelPolicy:
        """A streaming policy that starts where its recursion over the set ends; a whole-set policy as it is.

        The recursion goes over the set once, and again until it has taken 50 steps: five times over ten clips.
        """
        if policy.needs_whole_set:
            return policy
        instances, theta = self._counted[type(policy)], policy.initial_thresholds(self.num_classes)
        for _ in range(math.ceil(_SETTLED / len(instances))):
            theta = reduce(policy.step, instances, theta)
        return policy.starting_at(theta)

    def _of_histograms(self, policy: PseudoLabelPolicy, instances: Sequence[SparseHistogram]) -> float:
        theta, kept, pixels = policy.initial_thresholds(self.num_classes), 0, 0
        for histogram in instances:
            theta = policy.step(theta, histogram)
            confidence = histogram.bins.astype(np.uint16).view(np.float16).astype(np.float64)
            kept += int(histogram.counts[confidence >= theta[histogram.classes]].sum())
            pixels += int(histogram.counts.sum())
        return kept / pixels

    def _of_labels(self, policy: PseudoLabelPolicy, total: SparseHistogram) -> float:
        theta, kept, pixels = policy.fit(total, self.num_classes), 0, 0
        self.spool.rewind()
        for _ in range(self.count):
            prob = self.predictor.expand(self.spool.read())
            label = policy.label(prob, policy.winner(prob), theta).label
            kept += int((label != 255).sum())
            pixels += label.size
        return kept / pixels


def match_proportion(share_of: Callable[[float], float], proportion: float, *, tolerance: float = 1e-3,
                     low: float = 1e-3, high: float = 1.0) -> tuple[float, float]:
    """The value of a parameter at which a share is reached, by bisection.

    Args:
        share_of (Callable[[float], float]): share at a value; grows with it, roughly.
        proportion (float): wanted, in (0, 1).
        tolerance (float): a share this close is good enough; after 24 steps the closest seen counts.
        low (float): smallest value.
        high (float): largest value.

    Returns:
        tuple[float, float]: the value and its share.

    Raises:
        ValueError: if the proportion is not between the shares at both ends; says what these are.

    Example:
        >>> match_proportion(lambda value: value**2, 0.25, low=0.0)[0]
        0.5
    """
    ends = {value: share_of(value) for value in (low, high)}
    if not ends[low] - tolerance <= proportion <= ends[high] + tolerance:
        raise ValueError(f'a share of {proportion} cannot be reached: {ends[low]:.4f} of the pixels are kept at {low:g} and '
                         f'{ends[high]:.4f} at {high:g}; ask for a share in between')
    best = min(ends.items(), key=lambda item: abs(item[1] - proportion))
    for _ in range(_STEPS):
        if abs(best[1] - proportion) <= tolerance:
            break
        middle = (low + high) / 2
        share = share_of(middle)
        best = min(best, (middle, share), key=lambda item: abs(item[1] - proportion))
        low, high = (middle, high) if share < proportion else (low, middle)
    return best
