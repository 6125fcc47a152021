# SPDX-License-Identifier: Apache-2.0
"""The version of udatools: the one place that says it; ``setup.py`` reads this file as text."""
__version__ = '0.1.0'

__all__ = ['__version__']
