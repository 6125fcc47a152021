# SPDX-License-Identifier: Apache-2.0
"""Selectors: which pixels are worth asking for. They are given probabilities, never a label."""
from .base import Candidates, Selector
from .baselines import EntropySelector, RandomSelector
from .labor import LabORSPLSelector

__all__ = ['Candidates', 'EntropySelector', 'LabORSPLSelector', 'RandomSelector', 'Selector']
