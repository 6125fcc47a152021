# SPDX-License-Identifier: Apache-2.0
"""Min-max classifier discrepancy (LabOR, Shin et al., ICCV 2021, Eq. 4; after MCD, Saito et al., CVPR 2018).

``min over the backbone, max over both classifiers`` of the L1 distance of their outputs, in one backward pass: the
classifiers see detached features and climb, the backbone sees detached classifiers and descends.
"""
from typing import TYPE_CHECKING

from torch import Tensor

from udatools.ops.losses import classifier_discrepancy
from udatools.registry import OBJECTIVES

from .base import Objective, call_frozen

if TYPE_CHECKING:
    from udatools.models.segmentors import PixelSelector, UDABatch


@OBJECTIVES.register_module()
class ClassifierDiscrepancy(Objective):
    """Eq. 4 on the target domain; needs a ``PixelSelector``.

    Args:
        classifier_weight (float): of the term that the classifiers climb (its negative is minimised).
        backbone_weight (float): of the term that the backbone descends.
    """

    def __init__(self, classifier_weight: float = 1.0, *, backbone_weight: float = 1.0) -> None:
        super().__init__()
        self.classifier_weight = classifier_weight
        self.backbone_weight = backbone_weight

    def forward(self, batch: 'UDABatch', model: 'PixelSelector') -> dict[str, Tensor]:
        """``loss_classifiers`` (to descend: the negative distance), ``loss_backbone``, and ``discrepancy`` to watch."""
        target = batch.domain('target', needed_by='ClassifierDiscrepancy')
        detached = tuple(feature.detach() for feature in target.features)
        size = target.inputs.shape[2:]
        heads = model.segmentor.decode_head, model.second_head
        climb = classifier_discrepancy(*(model.upsample(head(detached), size) for head in heads))
        descend = classifier_discrepancy(*(model.upsample(call_frozen(head, target.features), size) for head in heads))
        return {
            'loss_classifiers': -self.classifier_weight * climb,
            'loss_backbone': self.backbone_weight * descend,
            'discrepancy': climb.detach(),
        }
