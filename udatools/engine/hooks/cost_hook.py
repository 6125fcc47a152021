# SPDX-License-Identifier: Apache-2.0
"""Measures what the training of a stage costs."""
import time
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from udatools.engine.costs import peak_memory_bytes, read_cost, write_cost
from udatools.registry import HOOKS


@HOOKS.register_module()
class CostHook(Hook):
    """Keeps ``cost.json`` of the stage: wall time of training with its labelling passes, and the peak of memory.

    Every stage has it. It comes first in ``before_train``, so that hooks that generate labels are counted; evaluations are
    not. A GPU is not waited for: over a stage, the few kernels in its queue do not count.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._folder: Path | None = None  # None outside of training
        self._since: float | None = None  # None while the clock stands
        self._seconds, self._peak = 0.0, 0

    def before_train(self, runner: Any) -> None:
        """Starts the clock from what earlier processes have spent on this stage."""
        self._folder = Path(runner.work_dir)
        earlier = read_cost(self._folder)
        self._seconds, self._peak = earlier.get('train_seconds', 0.0), earlier.get('peak_memory_bytes', 0)
        self._since = time.perf_counter()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def before_train_epoch(self, runner: Any) -> None:
        """Labels are on disk by now and are not made again after a kill."""
        self._write()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """What a checkpoint holds has been paid for."""
        self._write()

    def before_val_epoch(self, runner: Any) -> None:
        """Stops the clock."""
        self._stop()

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Starts it again, if training goes on."""
        if self._folder is not None and self._since is None:
            self._since = time.perf_counter()

    def after_train(self, runner: Any) -> None:
        """The final figures; what comes after is not training."""
        self._write()
        self._folder, self._since = None, None

    def _stop(self) -> None:
        if self._since is not None:
            self._seconds += time.perf_counter() - self._since
            self._since = None

    def _write(self) -> None:
        if self._folder is None:
            return
        self._stop()
        self._since = time.perf_counter()
        self._peak = max(self._peak, peak_memory_bytes())
        if is_main_process():
            write_cost(self._folder, train_seconds=self._seconds, peak_memory=self._peak)
