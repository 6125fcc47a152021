# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy on labels of one domain: source supervision, self-training, LabOR Eq. 3 and Eq. 5."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from udatools.ops.losses import segmentation_cross_entropy
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


@OBJECTIVES.register_module()
class SegmentationCE(Objective):
    """Weighted cross-entropy of one or more heads, mean over the labelled pixels of the global batch.

    Args:
        domain (str): ``'source'``, ``'target'`` or ``'mixed'``.
        heads (dict[str, float]): weight of each head's loss; AdaptSegNet multi-level uses ``dict(main=1, aux=0.1)``,
            LabOR's pixel selector ``dict(main=1, second=1)``.
        loss_weight (float): of their sum.
        class_weight (Sequence[float], optional): factor of each class's pixels, in the order of the train ids. The mean is
            over pixels whatever the factors, so they should average 1 over the data to leave the size of the loss.
        gamma (float): above 0: focal loss with this exponent, at least 1.

    Raises:
        ValueError: when the domain has no labels, a head does not exist, or there is not one factor >= 0 a class.
    """

    def __init__(self, domain: str = 'source', *, heads: dict[str, float] | None = None, loss_weight: float = 1.0,
                 class_weight: Sequence[float] | None = None, gamma: float = 0.0) -> None:
        super().__init__()
        if domain not in ('source', 'target', 'mixed'):
            raise ValueError(f"domain is {domain!r}; expected 'source', 'target' or 'mixed'")
        self.domain = domain
        self.heads = dict(heads or {'main': 1.0})
        self.loss_weight = loss_weight
        self.gamma = gamma
        if class_weight is not None and not all(weight >= 0 for weight in class_weight):
            raise ValueError(f'class_weight is {list(class_weight)}; expected one number >= 0 a class')
        weights = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer('class_weight', weights, persistent=False)

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_<head>`` for each head."""
        domain = batch.domain(self.domain, needed_by='SegmentationCE')
        if domain.label is None:
            raise ValueError(f'SegmentationCE has no labels on the {self.domain} domain; use a labelled dataset, or give it '
                             'a label_dir with pseudo-labels or answers')
        if missing := self.heads.keys() - domain.logits.keys():
            raise ValueError(f'SegmentationCE weighs the heads {sorted(missing)}, the model has {sorted(domain.logits)}')
        num_classes = next(iter(domain.logits.values())).shape[1]
        if self.class_weight is not None and len(self.class_weight) != num_classes:
            raise ValueError(f'SegmentationCE has {len(self.class_weight)} class weights, the model {num_classes} classes; give '
                             'one number a class')
        return {
            f'loss_{head}': self.loss_weight * weight * segmentation_cross_entropy(
                domain.logits[head], domain.label, pixel_weight=domain.weight, class_weight=self.class_weight,
                gamma=self.gamma)
            for head, weight in self.heads.items()
        }
