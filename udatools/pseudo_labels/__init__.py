# SPDX-License-Identifier: Apache-2.0
"""Pseudo-labels of a whole target set: policy (which pixels) x generator (how) x store (where)."""
from .aggregation import AggregatedPredictor
from .class_entropy import ClassEntropyPolicy
from .clip_adaptive import ClipAdaptivePolicy, FramePosition, frame_positions, group_clips
from .generator import GenerationSummary, Predictor, clip_statistics, generate_pseudo_labels
from .policies import ClassBalancedPolicy, InstanceAdaptivePolicy, PseudoLabel, PseudoLabelPolicy
from .ranking import ConfidenceRanking, EntropyRanking, ImageRanking
from .spool import Spool
from .store import PseudoLabelStore
from .top_portion import TopPortionPolicy
from .voting import VotedClassBalancedPolicy

__all__ = [
    'AggregatedPredictor', 'ClassBalancedPolicy', 'ClassEntropyPolicy', 'ClipAdaptivePolicy', 'ConfidenceRanking',
    'EntropyRanking', 'FramePosition', 'GenerationSummary', 'ImageRanking', 'InstanceAdaptivePolicy', 'Predictor',
    'PseudoLabel', 'PseudoLabelPolicy', 'PseudoLabelStore', 'Spool', 'TopPortionPolicy', 'VotedClassBalancedPolicy',
    'clip_statistics', 'frame_positions', 'generate_pseudo_labels', 'group_clips',
]
