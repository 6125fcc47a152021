# SPDX-License-Identifier: Apache-2.0
"""Hooks."""
from .active_labeling_hook import ActiveLabelingHook
from .iteration_seed_hook import IterationSeedHook
from .progress_hook import ProgressHook
from .pseudo_label_hook import PseudoLabelHook
from .teacher_hook import TeacherHook

__all__ = ['ActiveLabelingHook', 'IterationSeedHook', 'ProgressHook', 'PseudoLabelHook', 'TeacherHook']
