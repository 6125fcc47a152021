# SPDX-License-Identifier: Apache-2.0
"""The interface of an objective."""
from typing import TYPE_CHECKING

import torch.nn as nn
from torch import Tensor
from torch.func import functional_call

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


class Objective(nn.Module):
    """Turns a ``UDABatch`` into named losses.

    A subclass implements ``forward``. Only keys that are to be optimised contain ``loss``: mmengine sums every key with
    that substring. Trainable modules that are not the segmentor live inside their objective and are named to the
    optimiser by ``optimised_parts``. Every trainable parameter must take part in each iteration.
    """

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """Named scalar losses and monitored values of one batch."""
        raise NotImplementedError

    def optimised_parts(self) -> dict[str, nn.Module]:
        """Modules with optimisers of their own, by the optimiser's name."""
        return {}


def call_frozen(module: nn.Module, *args):
    """Calls a module with its parameters detached: gradients reach the inputs, never the module's weights.

    This replaces toggling ``requires_grad`` between a generator and a discriminator phase, which
    ``DistributedDataParallel`` forbids: both phases fit one backward pass.
    """
    return functional_call(module, {name: parameter.detach() for name, parameter in module.named_parameters()}, args)
