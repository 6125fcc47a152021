# SPDX-License-Identifier: Apache-2.0
"""The page about one or several runs: how they learnt, what they confuse, how right their pseudo-labels are."""

from .page import write_analysis
from .runs import Method, RunTrace, load_methods

__all__ = ['Method', 'RunTrace', 'load_methods', 'write_analysis']
