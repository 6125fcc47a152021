# SPDX-License-Identifier: Apache-2.0
"""Adversarial alignment of predictions, entropies or features.

AdaptSegNet (Tsai et al., CVPR 2018, Eq. 1-5), AdvEnt (Vu et al., CVPR 2019: the discriminator sees weighted
self-information), the local weights of CLAN (Luo et al., CVPR 2019), and, with a discriminator of clips, video adversarial
training (Shin et al., 2021, Eq. 8). The authors' code runs two phases and toggles
``requires_grad``. Here both terms belong to one sum: the generator's goes through a discriminator with detached weights, the
discriminator's sees detached predictions. Same gradients, one backward pass, no ``train_step``.
"""
from typing import TYPE_CHECKING

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from udatools.ops.confidence import weighted_self_information
from udatools.ops.losses import domain_classification_loss
from udatools.registry import MODELS, OBJECTIVES

from .base import Objective, call_frozen

if TYPE_CHECKING:
    from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor


@OBJECTIVES.register_module()
class AdversarialAlignment(Objective):
    r"""Makes a discriminator unable to tell the domains apart.

    Args:
        discriminator (dict): config of a discriminator in ``MODELS``; ``in_channels`` must fit what is aligned. One that says
            ``takes_clips`` (``SequenceDiscriminator``) is given ``(B, C, T, H, W)``, the key frame first; any other the frames.
        weights (dict[str, float]): weight of the generator's term for each aligned output. With ``space='output'`` or
            ``'entropy'`` the keys are heads (``main``, ``aux``: the papers' 0.001 and 0.0002); with ``space='feature'``
            indices of the backbone's outputs as strings (``'3'``).
        space (str): ``'output'`` (softmax of the logits), ``'entropy'`` (their weighted self-information,
            :math:`-p \log p / \log C`) or ``'feature'``.
        gan (str): ``'bce'`` or ``'ls'``.
        local_weight (dict, optional): CLAN. Both losses on the target weigh each pixel with
            ``scale * (1 - cos(p1, p2)) + epsilon``, where ``p1, p2`` are the predictions of the two ``heads``
            (default ``('first', 'second')``, ``scale=40``, ``epsilon=0.4``); the discriminator's map is upsampled to the
            input for it. No gradient flows through the weight.
    """

    def __init__(self, discriminator: dict, *, weights: dict[str, float], space: str = 'output', gan: str = 'bce',
                 local_weight: dict | None = None) -> None:
        super().__init__()
        if space not in ('output', 'entropy', 'feature'):
            raise ValueError(f"space is {space!r}; expected 'output', 'entropy' or 'feature'")
        if not weights:
            raise ValueError('weights is empty; expected the aligned outputs, such as dict(main=0.001)')
        self.local_weight = None if local_weight is None else (
            {'scale': 40.0, 'epsilon': 0.4, 'heads': ('first', 'second')} | dict(local_weight))
        if self.local_weight is not None and len(self.local_weight) > 3:
            raise ValueError(f"local_weight has the keys {sorted(self.local_weight)}; expected 'scale', 'epsilon' and 'heads'")
        self.weights = dict(weights)
        self.space = space
        self.gan = gan
        self.discriminators = nn.ModuleDict({level: MODELS.build(discriminator) for level in self.weights})
        self.takes_clips = all(getattr(module, 'takes_clips', False) for module in self.discriminators.values())
        if self.takes_clips and self.local_weight is not None:
            raise ValueError(f"local_weight weighs single frames, {discriminator['type']} scores clips; drop local_weight or use "
                             'the ImageDiscriminator')

    def optimised_parts(self) -> dict[str, nn.Module]:
        """The discriminators, under the optimiser ``discriminator``."""
        return {'discriminator': self.discriminators}

    def _representation(self, domain: 'DomainBatch', level: str) -> Tensor:
        if self.space == 'feature':
            aligned = domain.features[int(level)]
        elif level not in domain.logits:
            raise ValueError(f'{type(self).__name__} aligns the head {level!r}, the model has {sorted(domain.logits)}')
        elif self.space == 'entropy':
            aligned = weighted_self_information(domain.logits[level])
        else:
            aligned = domain.logits[level].softmax(1)
        return domain.clips(aligned).transpose(1, 2) if self.takes_clips else aligned

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_adv_<level>`` trains the segmentor, ``loss_dis_<level>`` the discriminator."""
        source = batch.domain('source', needed_by=type(self).__name__)
        target = batch.domain('target', needed_by=type(self).__name__)
        losses: dict[str, Tensor] = {}
        local = None
        if self.local_weight is not None:
            local = self._local_weight(target)
            losses['local_weight'] = local.mean()
        for level in self.weights:
            losses |= self._align(level, self._representation(source, level), self._representation(target, level), model, local)
        return losses

    def _align(self, level: str, of_source: Tensor, of_target: Tensor, model: 'UDASegmentor',
               local: Tensor | None = None) -> dict[str, Tensor]:
        """Both terms of one level."""
        discriminator = self.discriminators[level]

        def loss(score: Tensor, is_target: bool, weight: Tensor | None) -> Tensor:
            if weight is not None:
                score = model.upsample(score.float(), weight.shape[2:])
            return domain_classification_loss(score, is_target, self.gan, weight)

        fooled = loss(call_frozen(discriminator, of_target), False, local)
        on_source = loss(discriminator(of_source.detach()), False, None)
        on_target = loss(discriminator(of_target.detach()), True, local)
        return {f'loss_adv_{level}': self.weights[level] * fooled, f'loss_dis_{level}': (on_source + on_target) / 2}

    def _local_weight(self, target: 'DomainBatch') -> Tensor:
        """(B, 1, H, W): large where the two classifiers disagree (CLAN, Eq. 4 and 5)."""
        assert self.local_weight is not None
        heads = self.local_weight['heads']
        if missing := set(heads) - target.logits.keys():
            raise ValueError(f'local_weight compares the heads {sorted(missing)}, the model has {sorted(target.logits)}; use a '
                             'decode head with two classifiers (DualDeepLabV2Head)')
        first, second = (target.logits[head].detach().float().softmax(1) for head in heads)
        distance = 1 - F.cosine_similarity(first, second, dim=1)
        return (self.local_weight['scale'] * distance + self.local_weight['epsilon'])[:, None]
