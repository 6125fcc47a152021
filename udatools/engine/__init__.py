# SPDX-License-Identifier: Apache-2.0
"""Training engine: optimisers, hooks, stages, inference over a target set, export."""
from . import hooks, optim, runner

__all__ = ['hooks', 'optim', 'runner']
