# SPDX-License-Identifier: Apache-2.0
"""Hooks."""
from .active_labeling_hook import ActiveLabelingHook
from .cost_hook import CostHook
from .curve_hook import CurveHook
from .iteration_seed_hook import IterationSeedHook
from .patch_modes_hook import PatchModesHook
from .progress_hook import ProgressHook
from .pseudo_label_hook import PseudoLabelHook
from .teacher_hook import TeacherHook

__all__ = ['ActiveLabelingHook', 'CostHook', 'CurveHook', 'IterationSeedHook', 'PatchModesHook', 'ProgressHook',
           'PseudoLabelHook', 'TeacherHook']
