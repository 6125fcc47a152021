# SPDX-License-Identifier: Apache-2.0
"""Keeps the teacher of a ``UDASegmentor`` up to date."""
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from udatools.registry import HOOKS


@HOOKS.register_module()
class TeacherHook(Hook):
    """Copies the student when a stage starts and lets the teacher follow after each iteration.

    Every stage has it; without a teacher it does nothing. It comes before the checkpoint hook, so that a checkpoint holds the
    teacher of its own iteration, and copies in ``before_train`` only at iteration 0: a resumed teacher stays what it was.
    """

    priority = 'NORMAL'

    def before_train(self, runner: Any) -> None:
        """The teacher starts as the student."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._model = model if getattr(model, 'teacher', None) is not None else None
        if self._model is not None and runner.iter == 0:
            self._model.teacher.copy_from(self._model.segmentor)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """One step of the moving average."""
        if self._model is not None:
            self._model.teacher.update(self._model.segmentor, runner.iter)
