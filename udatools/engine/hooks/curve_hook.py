# SPDX-License-Identifier: Apache-2.0
"""Losses, learning rates and metrics of a stage as curves, through mmengine's visualizer backends.

mmengine's ``LoggerHook`` closes the backends at the end of a training, before a stage is evaluated, and repeats on the console
what ``ProgressHook`` says; this one does neither. ``StagedRunner`` closes them when the stage is over.
"""
import json
import math
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend, Visualizer

from udatools.registry import HOOKS
from udatools.utils.atomic import write_text_atomic

from ..tracking import SCALARS


@HOOKS.register_module()
class CurveHook(Hook):
    """Every ``interval`` iterations the scalars of mmengine's log processor, and the metrics of each evaluation.

    Losses are means over the window of the log processor (10 iterations by default), of rank 0. A metric belongs to the iteration
    of the weights that were evaluated. A stage that goes on from a checkpoint first takes back what came after that.

    Args:
        interval (int): iterations between points.
    """
    priority = 'BELOW_NORMAL'  # after those that make the scalars

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def before_train(self, runner: Any) -> None:
        """Takes back what a killed process wrote after the checkpoint."""
        if runner.iter:
            forget_after(runner.visualizer, runner.iter)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None) -> None:
        """A point of each training curve."""
        done = batch_idx + 1
        if done % self.interval and done != runner.max_iters:
            return
        scalars, _ = runner.log_processor.get_log_after_iter(runner, batch_idx, 'train')  # of all ranks: it may reduce
        runner.visualizer.add_scalars(_finite(scalars), step=done)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        """A point of each curve of metrics."""
        step = runner.iter if runner.loaded_iter is None else runner.loaded_iter
        scalars = {f'val/{name}': value for name, value in (metrics or {}).items()}
        runner.visualizer.add_scalars(_finite(scalars) | dict(iter=step), step=step)


@master_only
def forget_after(visualizer: Visualizer, iteration: int) -> None:
    """Takes later points out of ``scalars.json``, and tells TensorBoard to drop them; other backends keep them.

    Args:
        visualizer (Visualizer): of a stage that goes on.
        iteration (int): the last one that counts.
    """
    for backend in visualizer._vis_backends.values():
        if isinstance(backend, LocalVisBackend):
            path = Path(backend._save_dir) / SCALARS
            if path.is_file():
                write_text_atomic(path, ''.join(line for line in path.read_text(encoding='utf-8').splitlines(keepends=True)
                                                if _step(line) <= iteration))
        elif isinstance(backend, TensorboardVisBackend):
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog
            restart = Event(session_log=SessionLog(status=SessionLog.START))
            backend.experiment.file_writer.add_event(restart, step=iteration + 1)


def _step(line: str) -> float:
    """Of a line of ``scalars.json``; one that a kill cut off comes after everything."""
    try:
        return json.loads(line)['step']
    except (ValueError, KeyError, TypeError):
        return math.inf


def _finite(scalars: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in scalars.items() if isinstance(value, (int, float)) and math.isfinite(value)}
