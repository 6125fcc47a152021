# SPDX-License-Identifier: Apache-2.0
"""Several optimisers on one backward pass."""
from .constructor import UDAOptimWrapperConstructor
from .joint_optim_wrapper import JointOptimWrapper

__all__ = ['JointOptimWrapper', 'UDAOptimWrapperConstructor']
