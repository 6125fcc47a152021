# SPDX-License-Identifier: Apache-2.0
"""Multi-level self-produced guidance (Chen, Xue, Cai, "Maximum Squares Loss", ICCV 2019, Sec. 3.4).

The auxiliary head, on weaker features, learns from the labels that both heads together are sure of. Nothing is stored: the
labels are of this very batch. The main head has no gradient from it.
"""
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from udatools.ops.losses import segmentation_cross_entropy
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


@OBJECTIVES.register_module()
class SelfProducedGuidance(Objective):
    """Cross-entropy of one head on confident labels of the mean prediction of several, on the target.

    Args:
        threshold (float): least probability of the mean prediction, in [0, 1).
        student (str): the head that learns.
        heads (tuple[str, ...]): whose probabilities are averaged.
        loss_weight (float): the paper's 0.1.
    """

    def __init__(self, threshold: float = 0.95, *, student: str = 'aux', heads: tuple[str, ...] = ('main', 'aux'),
                 loss_weight: float = 0.1) -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise ValueError(f'threshold is {threshold}; expected a value in [0, 1), the paper uses 0.95')
        self.threshold, self.student, self.heads, self.loss_weight = threshold, student, tuple(heads), loss_weight

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_<student>``, and the share of guided pixels as ``coverage``."""
        target = batch.domain('target', needed_by='SelfProducedGuidance')
        if missing := {self.student, *self.heads} - target.logits.keys():
            raise ValueError(f'SelfProducedGuidance needs the heads {sorted(missing)}, the model has {sorted(target.logits)}; '
                             'use a multi-level model')
        with torch.no_grad():
            prob = sum((target.logits[head].float().softmax(1) for head in self.heads[1:]),
                       target.logits[self.heads[0]].float().softmax(1)) / len(self.heads)
            confidence, label = prob.max(1)
            kept = confidence > self.threshold
            label = label.masked_fill(~kept, 255)
        loss = segmentation_cross_entropy(target.logits[self.student], label)
        return {f'loss_{self.student}': self.loss_weight * loss, 'coverage': kept.float().mean()}
