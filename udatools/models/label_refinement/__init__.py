# SPDX-License-Identifier: Apache-2.0
"""Components that rewrite the labels of a target batch before the objectives see them."""
from .temporal_consensus import TemporalConsensus

__all__ = ['TemporalConsensus']
