# SPDX-License-Identifier: Apache-2.0
"""Measures what the training of a stage costs."""
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from udatools.engine.costs import peak_memory_bytes, read_cost, write_cost
from udatools.registry import HOOKS

CLOCKS: dict[str, Callable[[], float]] = {'train_seconds': time.perf_counter, 'processor_seconds': time.process_time}


def read_clocks() -> dict[str, float]:
    """Seconds by clock; differences mean something."""
    return {name: clock() for name, clock in CLOCKS.items()}


@HOOKS.register_module()
class CostHook(Hook):
    """Keeps ``cost.json`` of the stage: time of training with its labelling passes, and the peak of memory.

    Two clocks run: that on the wall, and the time that processors spent on this process. On a CPU the second is the one to
    compare methods by, since others on the machine do not change it.

    Every stage has it. It comes first in ``before_train``, so that hooks that generate labels are counted; evaluations are
    not. A GPU is not waited for: over a stage, the few kernels in its queue do not count.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._folder: Path | None = None  # None outside of training
        self._since: dict[str, float] | None = None  # None while the clocks stand
        self._spent, self._peak = dict.fromkeys(CLOCKS, 0.0), 0

    def before_train(self, runner: Any) -> None:
        """Starts the clocks from what earlier processes have spent on this stage."""
        self._folder = Path(runner.work_dir)
        earlier = read_cost(self._folder)
        self._spent = {name: earlier.get(name, 0.0) for name in CLOCKS}
        self._peak = earlier.get('peak_memory_bytes', 0)
        self._since = read_clocks()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def before_train_epoch(self, runner: Any) -> None:
        """Labels are on disk by now and are not made again after a kill."""
        self._write()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """What a checkpoint holds has been paid for."""
        self._write()

    def before_val_epoch(self, runner: Any) -> None:
        """Stops the clocks."""
        self._stop()

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """Starts them again, if training goes on."""
        if self._folder is not None and self._since is None:
            self._since = read_clocks()

    def after_train(self, runner: Any) -> None:
        """The final figures; what comes after is not training."""
        self._write()
        self._folder, self._since = None, None

    def _stop(self) -> None:
        if self._since is not None:
            now = read_clocks()
            self._spent = {name: spent + now[name] - self._since[name] for name, spent in self._spent.items()}
            self._since = None

    def _write(self) -> None:
        if self._folder is None:
            return
        self._stop()
        self._since = read_clocks()
        self._peak = max(self._peak, peak_memory_bytes())
        if is_main_process():
            write_cost(self._folder, **self._spent, peak_memory=self._peak)
