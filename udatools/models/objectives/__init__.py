# SPDX-License-Identifier: Apache-2.0
"""Objectives: what turns the outputs of a forward pass into named losses."""
from .adversarial import AdversarialAlignment
from .base import Objective
from .bootstrapped import BootstrappedCE
from .discrepancy import ClassifierDiscrepancy
from .feature_distance import FeatureDistance
from .masked_consistency import MaskedConsistency
from .patch_alignment import PatchAlignment
from .prediction_regularizer import PredictionRegularizer
from .segmentation import SegmentationCE
from .self_produced_guidance import SelfProducedGuidance
from .soft_pseudo_label import SoftPseudoLabelCE
from .temporal_propagation import CrossFramePseudoLabel, IntraDomainConsistency
from .tube_matching import TubeMatching
from .weight_cosine import ClassifierWeightCosine

__all__ = ['AdversarialAlignment', 'BootstrappedCE', 'ClassifierDiscrepancy', 'ClassifierWeightCosine', 'CrossFramePseudoLabel',
           'FeatureDistance', 'IntraDomainConsistency', 'MaskedConsistency', 'Objective', 'PatchAlignment',
           'PredictionRegularizer', 'SegmentationCE', 'SelfProducedGuidance', 'SoftPseudoLabelCE', 'TubeMatching']
