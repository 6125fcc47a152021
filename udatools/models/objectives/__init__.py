# SPDX-License-Identifier: Apache-2.0
"""Objectives: what turns the outputs of a forward pass into named losses."""
from .adversarial import AdversarialAlignment
from .base import Objective
from .bootstrapped import BootstrappedCE
from .conditional_prior import ConditionalPrior
from .discrepancy import ClassifierDiscrepancy
from .feature_distance import FeatureDistance
from .masked_consistency import MaskedConsistency
from .patch_alignment import PatchAlignment
from .prediction_regularizer import PredictionRegularizer
from .scale_invariance import ScaleInvariantPatches
from .segmentation import SegmentationCE
from .self_produced_guidance import SelfProducedGuidance
from .soft_pseudo_label import SoftPseudoLabelCE
from .stuff_thing_matching import StuffThingMatching
from .temporal_propagation import CrossFramePseudoLabel, IntraDomainConsistency
from .tube_matching import TubeMatching
from .weak_labels import CategoryAlignment, WeakLabelClassification
from .weight_cosine import ClassifierWeightCosine

__all__ = [
    'AdversarialAlignment', 'BootstrappedCE', 'CategoryAlignment', 'ClassifierDiscrepancy', 'ClassifierWeightCosine',
    'ConditionalPrior', 'CrossFramePseudoLabel', 'FeatureDistance', 'IntraDomainConsistency', 'MaskedConsistency',
    'Objective', 'PatchAlignment', 'PredictionRegularizer', 'ScaleInvariantPatches', 'SegmentationCE',
    'SelfProducedGuidance', 'SoftPseudoLabelCE', 'StuffThingMatching', 'TubeMatching', 'WeakLabelClassification',
]
