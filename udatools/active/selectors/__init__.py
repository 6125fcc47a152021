# SPDX-License-Identifier: Apache-2.0
"""Selectors: which pixels are worth asking for. They are given probabilities, never a label."""
from .base import Candidates, Selector
from .baselines import ConfidenceSelector, EntropySelector, MarginSelector, MCDALSelector, RandomSelector
from .filtered import FilteredSelector
from .image_questions import ImageQuestionSelector
from .labor import LabORPPLSelector, LabORSPLSelector
from .regions import RegionSelector
from .ripu import RIPUPixelSelector, RIPURegionSelector

__all__ = [
    'Candidates', 'ConfidenceSelector', 'EntropySelector', 'FilteredSelector', 'ImageQuestionSelector',
    'LabORPPLSelector', 'LabORSPLSelector', 'MCDALSelector', 'MarginSelector', 'RIPUPixelSelector',
    'RIPURegionSelector', 'RandomSelector', 'RegionSelector', 'Selector'
]
