# SPDX-License-Identifier: Apache-2.0
"""Keeps two classifiers apart by the angle between their weights (CLAN, Luo et al., CVPR 2019, Eq. 3).

Two classifiers of the same features that are trained by the same cross-entropy become one; their disagreement would tell
nothing. The authors add a constant 1 to the loss, which changes no gradient and is left out.
"""
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


@OBJECTIVES.register_module()
class ClassifierWeightCosine(Objective):
    """Cosine similarity of all weights and biases of the two classifiers, as two long vectors.

    Args:
        loss_weight (float): the paper's 0.01.
    """

    def __init__(self, loss_weight: float = 0.01) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_cosine``, and the unweighted ``cosine`` to watch. Gradients reach the two classifiers only."""
        head = model.decode_head
        if not hasattr(head, 'flat_weights'):
            raise ValueError(f'ClassifierWeightCosine needs a decode head with two classifiers (DualDeepLabV2Head), the model '
                             f'has {type(head).__name__}')
        first, second = head.flat_weights()
        cosine = F.cosine_similarity(first, second, dim=0)
        return {'loss_cosine': self.loss_weight * cosine, 'cosine': cosine.detach()}
