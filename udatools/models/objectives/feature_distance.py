# SPDX-License-Identifier: Apache-2.0
"""Keeps features of thing classes near those of ImageNet (DAFormer: Hoyer, Dai, Van Gool, CVPR 2022, Sec. 3.3, Eq. 5 to 8)."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn as nn
from torch import Tensor

from udatools.datasets.taxonomies import ClassSpec, get_class_set
from udatools.models.backbones.weights import SCRATCH, load_backbone_weights
from udatools.ops.feature_distance import class_cells, feature_distance
from udatools.registry import MODELS, OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor

THINGS = ('traffic light', 'traffic sign', 'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')


@OBJECTIVES.register_module()
class FeatureDistance(Objective):
    """Distance between the last features of the student and of a frozen network, on source pixels of thing classes.

    The frozen network is the backbone with the weights that its config names, in evaluation mode. It is loaded at the first
    batch and is in no checkpoint. Costs one more forward pass of the source.

    Args:
        backbone (dict): config of the student's backbone: ``'{cfg:segmentor.backbone}'``.
        classes (str | Mapping): class set of the data: ``'{cfg:classes}'``.
        things (Sequence[str]): names of classes; those that the class set lacks are left out.
        min_share (float): share of a feature cell that one of these classes must exceed; the paper's r.
        loss_weight (float): of the mean distance; the paper's 0.005.

    Raises:
        ValueError: if the backbone starts from random weights, whose features are worth nothing, or no class is a thing; in
            training for a source without labels.
    """

    def __init__(self, backbone: dict, *, classes: ClassSpec, things: Sequence[str] = THINGS, min_share: float = 0.75,
                 loss_weight: float = 0.005) -> None:
        super().__init__()
        if backbone.get('weights') == SCRATCH:
            raise ValueError("FeatureDistance keeps features near those of pretrained weights, but the backbone has "
                             "weights='scratch'; give it weights, or drop the objective")
        if not 0 <= min_share < 1:
            raise ValueError(f'min_share is {min_share}; expected a share in [0, 1)')
        names = get_class_set(classes).classes
        ids = [names.index(name) for name in things if name in names]
        if not ids:
            raise ValueError(f'none of the things {", ".join(things)} is among the classes {", ".join(names)}; give things= some '
                             'of these')
        self.register_buffer('ids', torch.tensor(ids), persistent=False)
        self.backbone_cfg = dict(backbone)
        self.min_share = min_share
        self.loss_weight = loss_weight
        self._frozen: tuple[nn.Module, ...] = ()  # a tuple hides it from optimisers, checkpoints and DDP

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_features``."""
        source = batch.domain('source', needed_by='FeatureDistance')
        if source.label is None:
            raise ValueError('FeatureDistance has no labels on the source domain; use a labelled dataset')
        features = source.features[-1]
        with torch.no_grad():
            reference = self.frozen(source.inputs.device)(source.inputs)[-1]
        cells = class_cells(source.label, self.ids, tuple(features.shape[2:]), self.min_share)
        return {'loss_features': self.loss_weight * feature_distance(features, reference, cells)}

    def frozen(self, device: torch.device) -> nn.Module:
        """The network with the weights of the config, loaded once."""
        if not self._frozen:
            with torch.random.fork_rng(devices=[]):  # building draws numbers that a resumed run would not
                backbone = MODELS.build(dict(self.backbone_cfg))
            load_backbone_weights(backbone, self.backbone_cfg['weights'])
            self._frozen = (backbone.requires_grad_(False).eval().to(device), )
        return self._frozen[0]
