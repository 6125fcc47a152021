# SPDX-License-Identifier: Apache-2.0
"""Third domains made of the other two."""
from .class_mix import ClassMix

__all__ = ['ClassMix']
