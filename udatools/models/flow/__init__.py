# SPDX-License-Identifier: Apache-2.0
"""Estimators of optical flow between two frames of a clip."""
from .base import FlowEstimator
from .dis import DISFlow
from .precomputed import PrecomputedFlow
from .raft import RAFTFlow

__all__ = ['DISFlow', 'FlowEstimator', 'PrecomputedFlow', 'RAFTFlow']
