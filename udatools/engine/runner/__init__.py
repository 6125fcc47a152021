# SPDX-License-Identifier: Apache-2.0
"""Stages, their journal, and the runner of one stage."""
from .stage_runner import StageRunner
from .staged_runner import StagedRunner

__all__ = ['StageRunner', 'StagedRunner']
