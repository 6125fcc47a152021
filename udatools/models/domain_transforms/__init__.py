# SPDX-License-Identifier: Apache-2.0
"""Transforms of a training batch that see source and target together; run by the ``UDADataPreprocessor``."""
from .base import DomainTransform
from .fourier_transfer import FourierTransfer
from .random_convolution import RandomConvolution

__all__ = ['DomainTransform', 'FourierTransfer', 'RandomConvolution']
