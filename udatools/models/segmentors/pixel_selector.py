# SPDX-License-Identifier: Apache-2.0
"""LabOR's pixel selector, model B: a copy of the main model with two classifiers (Shin et al., ICCV 2021, Algorithm 1).

Both classifiers start as copies of the main model's (line 7). Trained by the same cross-entropy on the same features,
equal weights stay equal forever, and the discrepancy of equal outputs has no gradient: Algorithm 1 needs something that
tells the two apart. Here each classifier drops feature channels of its own (``dropout_ratio`` of the head), as in MCD;
the paper does not say what its authors used.
"""
import torch
import torch.nn as nn
from torch import Tensor

from udatools.registry import MODELS

from .uda_segmentor import UDASegmentor


@MODELS.register_module()
class PixelSelector(UDASegmentor):
    """Backbone with two classifiers, heads ``main`` and ``second``; an auxiliary head is dropped.

    Args:
        segmentor (dict): the *main model's* config.
        dropout_ratio (float): of feature channels before each classifier, in (0, 1); drawn for each on its own.
        kwargs: those of ``UDASegmentor``.
    """

    def __init__(self, segmentor: dict, *, dropout_ratio: float = 0.1, **kwargs) -> None:
        if not 0 < dropout_ratio < 1:
            raise ValueError(f'dropout_ratio is {dropout_ratio}; expected a value in (0, 1): without it the two classifiers, '
                             'copies of one another, could never differ')
        segmentor = dict(segmentor)
        segmentor.pop('auxiliary_head', None)
        segmentor['decode_head'] = dict(segmentor['decode_head'], dropout_ratio=dropout_ratio)
        super().__init__(segmentor, **kwargs)
        self.second_head = MODELS.build(segmentor['decode_head'])

    def _segmentor_part(self) -> nn.Module:
        return nn.ModuleDict({'segmentor': self.segmentor, 'second_head': self.second_head})

    def _heads(self) -> dict[str, nn.Module]:
        return {'main': self.segmentor.decode_head, 'second': self.second_head}

    def copy_main_classifier(self) -> None:
        """Line 7 of Algorithm 1: the second classifier becomes a copy of the first."""
        self.second_head.load_state_dict(self.segmentor.decode_head.state_dict())

    @torch.no_grad()
    def predict_pair(self, inputs: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Probabilities of both classifiers.

        Args:
            inputs (Tensor): float, (B, 3, h, w), preprocessed.
            size (tuple[int, int]): (H, W) of the answer.

        Returns:
            tuple[Tensor, Tensor]: float32, (B, C, H, W) each.
        """
        features = self.segmentor.extract_feat(inputs)
        first, second = (self._prob(head, features, inputs.shape[2:], size) for head in self._heads().values())
        return first, second


