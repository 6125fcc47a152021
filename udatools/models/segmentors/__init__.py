# SPDX-License-Identifier: Apache-2.0
"""Segmentors and the batch they hand to objectives."""
from .batch import DomainBatch, UDABatch
from .data_preprocessor import UDADataPreprocessor
from .pixel_selector import PixelSelector
from .teacher import Teacher
from .uda_segmentor import UDASegmentor

__all__ = ['DomainBatch', 'PixelSelector', 'Teacher', 'UDABatch', 'UDADataPreprocessor', 'UDASegmentor']
