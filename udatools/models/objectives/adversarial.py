# SPDX-License-Identifier: Apache-2.0
"""Adversarial alignment of predictions or features (AdaptSegNet, Tsai et al., CVPR 2018, Eq. 1-5).

The authors' code runs two phases and toggles ``requires_grad``. Here both terms belong to one sum: the generator's goes
through a discriminator with detached weights, the discriminator's sees detached predictions. Same gradients, one
backward pass, no ``train_step``.
"""
from typing import TYPE_CHECKING

import torch.nn as nn
from torch import Tensor

from udatools.ops.losses import domain_classification_loss
from udatools.registry import MODELS, OBJECTIVES

from .base import Objective, call_frozen

if TYPE_CHECKING:
    from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor


@OBJECTIVES.register_module()
class AdversarialAlignment(Objective):
    """Makes a discriminator unable to tell the domains apart.

    Args:
        discriminator (dict): config of a discriminator in ``MODELS``; ``in_channels`` must fit what is aligned.
        weights (dict[str, float]): weight of the generator's term for each aligned output. With ``space='output'`` the
            keys are heads (``main``, ``aux``: the paper's 0.001 and 0.0002); with ``space='feature'`` indices of the
            backbone's outputs as strings (``'3'``).
        space (str): ``'output'`` (softmax of the logits) or ``'feature'``.
        gan (str): ``'bce'`` or ``'ls'``.
    """

    def __init__(self, discriminator: dict, *, weights: dict[str, float], space: str = 'output', gan: str = 'bce') -> None:
        super().__init__()
        if space not in ('output', 'feature'):
            raise ValueError(f"space is {space!r}; expected 'output' or 'feature'")
        if not weights:
            raise ValueError('weights is empty; expected the aligned outputs, such as dict(main=0.001)')
        self.weights = dict(weights)
        self.space = space
        self.gan = gan
        self.discriminators = nn.ModuleDict({level: MODELS.build(discriminator) for level in self.weights})

    def optimised_parts(self) -> dict[str, nn.Module]:
        """The discriminators, under the optimiser ``discriminator``."""
        return {'discriminator': self.discriminators}

    def _representation(self, domain: 'DomainBatch', level: str) -> Tensor:
        if self.space == 'feature':
            return domain.features[int(level)]
        return domain.logits[level].softmax(1)

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_adv_<level>`` trains the segmentor, ``loss_dis_<level>`` the discriminator."""
        source = batch.domain('source', needed_by='AdversarialAlignment')
        target = batch.domain('target', needed_by='AdversarialAlignment')
        losses: dict[str, Tensor] = {}
        for level, weight in self.weights.items():
            discriminator = self.discriminators[level]
            of_source, of_target = self._representation(source, level), self._representation(target, level)
            fooled = domain_classification_loss(call_frozen(discriminator, of_target), False, self.gan)
            on_source = domain_classification_loss(discriminator(of_source.detach()), False, self.gan)
            on_target = domain_classification_loss(discriminator(of_target.detach()), True, self.gan)
            losses[f'loss_adv_{level}'] = weight * fooled
            losses[f'loss_dis_{level}'] = (on_source + on_target) / 2
        return losses
