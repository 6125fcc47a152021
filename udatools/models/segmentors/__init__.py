# SPDX-License-Identifier: Apache-2.0
"""Segmentors and the batch they hand to objectives."""
from .batch import DomainBatch, UDABatch
from .data_preprocessor import UDADataPreprocessor
from .ensemble import EnsembleSegmentor
from .pixel_selector import PixelSelector
from .teacher import Teacher
from .uda_segmentor import UDASegmentor

__all__ = ['DomainBatch', 'EnsembleSegmentor', 'PixelSelector', 'Teacher', 'UDABatch', 'UDADataPreprocessor', 'UDASegmentor']
