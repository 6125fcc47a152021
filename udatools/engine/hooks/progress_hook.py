# SPDX-License-Identifier: Apache-2.0
"""One short console line at an interval: stage, iteration, losses, speed, time left of this stage; images evaluated."""
import time

from mmengine.hooks import Hook
from mmengine.runner import Runner

from udatools.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """A replacement for the console side of ``LoggerHook``, whose lines wrap on a laptop.

    Args:
        title (str): name of the stage, such as ``[3/11] round1_main``.
        interval (int): iterations between lines.
    """
    priority = 'BELOW_NORMAL'
    EVALUATION_SECONDS = 15.0

    def __init__(self, title: str = 'train', *, interval: int = 50) -> None:
        self.title = title
        self.interval = interval
        self._start = 0.0
        self._first = 0
        self._evaluation_line = 0.0

    def before_train_epoch(self, runner: Runner) -> None:
        """Starts the clock after hooks that label have done their work."""
        self._start, self._first = time.perf_counter(), runner.iter

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Logs every ``interval`` iterations and at the end."""
        done = batch_idx + 1
        if done % self.interval and done != runner.max_iters:
            return
        pace = (time.perf_counter() - self._start) / max(1, done - self._first)
        left = pace * (runner.max_iters - done)
        # The host copy of the losses happens here, once an interval, not in the forward pass.
        parts = {_short(name): float(value.detach()) for name, value in (outputs or {}).items() if name != 'loss'}
        losses = '  '.join(f'{name} {value:.4g}' for name, value in parts.items())
        runner.logger.info(f'{self.title}  {done}/{runner.max_iters}  {losses}  {pace:.2f} s/it  {_clock(left)} left')


    def before_val_epoch(self, runner: Runner) -> None:
        """Starts the clock of an evaluation."""
        self._evaluation_line = time.perf_counter()

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """A line every ``EVALUATION_SECONDS``, so that a short evaluation prints its table alone."""
        self._evaluated(runner, batch_idx + 1, len(runner.val_dataloader))

    before_test_epoch = before_val_epoch

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """As ``after_val_iter``."""
        self._evaluated(runner, batch_idx + 1, len(runner.test_dataloader))

    def _evaluated(self, runner: Runner, done: int, total: int) -> None:
        now = time.perf_counter()
        if now - self._evaluation_line >= self.EVALUATION_SECONDS:
            runner.logger.info(f'{self.title}  evaluated {done}/{total}')
            self._evaluation_line = now


def _short(name: str) -> str:
    objective, _, key = name.partition('.')
    return f'{objective}.{key.removeprefix("loss_")}' if key else name


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'
