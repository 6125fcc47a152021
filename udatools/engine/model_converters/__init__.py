# SPDX-License-Identifier: Apache-2.0
"""Importing checkpoints that other code bases publish."""
from .convert import PREPROCESSING, Conversion, convert_checkpoint, read_published
from .layouts import LAYOUTS, ConversionError, Layout

__all__ = ['LAYOUTS', 'PREPROCESSING', 'Conversion', 'ConversionError', 'Layout', 'convert_checkpoint', 'read_published']
