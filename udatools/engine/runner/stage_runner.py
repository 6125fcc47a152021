# SPDX-License-Identifier: Apache-2.0
"""The runner of one stage: mmengine's, with a quieter console and starting weights from another stage."""
import logging
from pathlib import Path

import torch
from mmengine.dist import broadcast
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from udatools.registry import RUNNERS

from .checkpoints import read_checkpoint, start_from

# What mmengine says at every start and every checkpoint; the log files keep it, the console does not.
_ROUTINE = ('Distributed training is not used', 'Hooks will be executed', 'Checkpoints will be saved', 'Saving checkpoint at',
            'Advance dataloader', '"FileClient" will be deprecated', '"HardDiskBackend" is the alias', 'Load checkpoint from',
            'resumed epoch', 'The backbone starts from random weights', 'Auto resumed')


class _NotRoutine(logging.Filter):

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_ROUTINE)


@RUNNERS.register_module()
class StageRunner(Runner):
    """An ordinary mmengine ``Runner``.

    ``cfg.start_from`` (a path, optional) takes the place of ``init_weights``: a stage that goes on from another one needs
    no backbone weights. The merged config and the environment go to files, not to the console.

    Attributes:
        loaded_iter (int | None): of the checkpoint that the weights are of, where they are not those of the last iteration.
    """
    loaded_iter: int | None = None

    def _log_env(self, env_cfg: dict) -> None:
        """The environment is in the config dump and in ``results.json``; the console stays readable."""

    def build_logger(self, log_level: int | str = 'INFO', log_file: str | None = None, **kwargs) -> MMLogger:
        """mmengine's logger, without its routine lines on the console."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(_NotRoutine())
        return logger

    def get_hooks_info(self) -> str:
        """Kept off the console; ``--dry-run`` prints the config."""
        return '(as configured)'

    def _init_model_weights(self) -> None:
        start = self.cfg.get('start_from')
        if start is None or self._resume:
            if not self._resume:
                super()._init_model_weights()
            return
        start_from(self.bare_model, Path(start))

    @property
    def bare_model(self) -> torch.nn.Module:
        """The model without its distributed wrapper."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def load_weights(self, checkpoint: Path) -> None:
        """The model of a checkpoint of this stage, without its optimisers."""
        content = read_checkpoint(checkpoint, own=True)
        self.bare_model.load_state_dict(content['state_dict'])
        self.loaded_iter = (content.get('meta') or {}).get('iter')

    def val_checkpoint(self, checkpoint: Path) -> dict[str, float]:
        """Metrics of a checkpoint of this stage on the validation set."""
        self.load_weights(checkpoint)
        return self.val()

    def synchronise_buffers(self) -> None:
        """Rank 0's batch-norm statistics, the ones that a checkpoint holds, become everybody's."""
        for buffer in self.bare_model.buffers():
            broadcast(buffer, src=0)
