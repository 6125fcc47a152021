# SPDX-License-Identifier: Apache-2.0
"""One backward pass, several optimisers.

mmengine's ``OptimWrapperDict`` leaves ``update_params`` and ``optim_context`` to an overridden ``train_step``, which
``MMDistributedDataParallel`` never calls. Here the first wrapper leads: its context (autocast, gradient
synchronisation), its accumulation count and its loss scaler serve all.
"""
from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn as nn
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from torch import Tensor

from udatools.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class JointOptimWrapper(OptimWrapperDict):
    """Steps all its optimisers on the gradients of one summed loss.

    Args:
        optim_wrappers (OptimWrapper): by name; the first one leads. All of one kind (plain or AMP).

    Raises:
        ValueError: without wrappers, or when plain and AMP wrappers, or different accumulation counts, are mixed.
    """

    def __init__(self, **optim_wrappers: OptimWrapper) -> None:
        super().__init__(**optim_wrappers)
        if not optim_wrappers:
            raise ValueError('JointOptimWrapper got no optimiser; expected at least `segmentor`')
        settings = {(isinstance(w, AmpOptimWrapper), w._accumulative_counts) for w in optim_wrappers.values()}
        if len(settings) > 1:
            raise ValueError('the optimisers of one backward pass must agree on type (OptimWrapper or AmpOptimWrapper) and '
                             f'accumulative_counts; got (amp, counts): {sorted(settings)}')
        self._lead = next(iter(optim_wrappers.values()))
        if isinstance(self._lead, AmpOptimWrapper):
            for wrapper in optim_wrappers.values():
                wrapper.loss_scaler = self._lead.loss_scaler

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The leader's context."""
        with self._lead.optim_context(model):
            yield

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Accumulation state of the leader."""
        self._lead.initialize_count_status(model, init_counts, max_counts)

    def update_params(self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None) -> None:
        """Scales, goes backward once, and at the end of an accumulation steps and clears every optimiser."""
        self._lead.backward(self._lead.scale_loss(loss))
        if not self._lead.should_update():
            return
        for wrapper in self.optim_wrappers.values():
            self._step(wrapper, **(step_kwargs or {}))
        if isinstance(self._lead, AmpOptimWrapper):
            self._lead.loss_scaler.update(self._lead._scale_update_param)
        for wrapper in self.optim_wrappers.values():
            wrapper.zero_grad(**(zero_kwargs or {}))

    @staticmethod
    def _step(wrapper: OptimWrapper, **kwargs) -> None:
        if not isinstance(wrapper, AmpOptimWrapper):
            wrapper.step(**kwargs)
            return
        if wrapper.clip_grad_kwargs:
            wrapper.loss_scaler.unscale_(wrapper.optimizer)
            wrapper._clip_grad()
        wrapper.loss_scaler.step(wrapper.optimizer, **kwargs)
