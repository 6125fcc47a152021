# SPDX-License-Identifier: Apache-2.0
"""Objectives: what turns the outputs of a forward pass into named losses."""
from .adversarial import AdversarialAlignment
from .base import Objective
from .discrepancy import ClassifierDiscrepancy
from .patch_alignment import PatchAlignment
from .prediction_regularizer import PredictionRegularizer
from .segmentation import SegmentationCE
from .self_produced_guidance import SelfProducedGuidance
from .soft_pseudo_label import SoftPseudoLabelCE
from .weight_cosine import ClassifierWeightCosine

__all__ = ['AdversarialAlignment', 'ClassifierDiscrepancy', 'ClassifierWeightCosine', 'Objective', 'PatchAlignment',
           'PredictionRegularizer', 'SegmentationCE', 'SelfProducedGuidance', 'SoftPseudoLabelCE']
