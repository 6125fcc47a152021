# SPDX-License-Identifier: Apache-2.0
"""Makes the model's noise (dropout) a function of the iteration, so that resuming needs no saved random state."""
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from udatools.registry import HOOKS
from udatools.utils.rng import derive_seed


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds torch from ``(seed, tag, iteration, rank)`` before every training iteration.

    Args:
        seed (int): the run's seed.
        tag (str): keeps stages apart.
    """
    priority = 'VERY_HIGH'

    def __init__(self, seed: int, *, tag: str) -> None:
        self.seed = seed
        self.tag = tag

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seeds the CPU and the accelerator."""
        torch.manual_seed(derive_seed(self.seed, 'model', self.tag, batch_idx, get_rank()))
