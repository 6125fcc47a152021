# SPDX-License-Identifier: Apache-2.0
"""Pseudo-labels of a whole target set: policy (which pixels) x generator (how) x store (where)."""
from .generator import GenerationSummary, generate_pseudo_labels
from .policies import InstanceAdaptivePolicy, PseudoLabelPolicy
from .store import PseudoLabelStore

__all__ = [
    'GenerationSummary', 'InstanceAdaptivePolicy', 'PseudoLabelPolicy', 'PseudoLabelStore', 'generate_pseudo_labels'
]
