# SPDX-License-Identifier: Apache-2.0
"""Objectives: what turns the outputs of a forward pass into named losses."""
from .adversarial import AdversarialAlignment
from .base import Objective
from .discrepancy import ClassifierDiscrepancy
from .segmentation import SegmentationCE

__all__ = ['AdversarialAlignment', 'ClassifierDiscrepancy', 'Objective', 'SegmentationCE']
