# SPDX-License-Identifier: Apache-2.0
"""The mean prediction of several models, for evaluation: FDA's multi-band transfer reports it (Yang and Soatto, CVPR 2020)."""
import copy

import torch
import torch.nn as nn
from mmengine.model import BaseModel
from mmseg.structures import SegDataSample
from torch import Tensor

from udatools.registry import MODELS


@MODELS.register_module()
class EnsembleSegmentor(BaseModel):
    """Mean of the probabilities of models that share one config; it cannot be trained.

    Args:
        model (dict): config of each member: a ``UDASegmentor``, or a plain mmseg segmentor.
        count (int): number of members.

    Raises:
        ValueError: for less than one member.
    """

    def __init__(self, model: dict, *, count: int) -> None:
        super().__init__(data_preprocessor=copy.deepcopy(model.get('data_preprocessor')))
        if count < 1:
            raise ValueError(f'count is {count}; expected one member or more')
        self.members = nn.ModuleList(MODELS.build(copy.deepcopy(dict(model))) for _ in range(count))

    @torch.no_grad()
    def forward(self, inputs: Tensor, data_samples: list[SegDataSample], mode: str = 'predict') -> list[SegDataSample]:
        """``seg_logits`` of the samples are the mean probabilities.

        Raises:
            NotImplementedError: for another mode than ``'predict'``.
        """
        if mode != 'predict':
            raise NotImplementedError(f"an ensemble only predicts; mode '{mode}' is for each of its members")
        segmentors = [getattr(member, 'segmentor', member) for member in self.members]
        metas = [sample.metainfo for sample in data_samples]
        prob = torch.stack([segmentor.inference(inputs, metas).float().softmax(1) for segmentor in segmentors]).mean(0)
        return segmentors[0].postprocess_result(prob, data_samples)
