# SPDX-License-Identifier: Apache-2.0
"""Annotators answer requests: an oracle that reads ground truth, or people."""
from .base import Annotator, AnswersPending
from .human import HumanAnnotator
from .oracle import GroundTruthOracle

__all__ = ['Annotator', 'AnswersPending', 'GroundTruthOracle', 'HumanAnnotator']
