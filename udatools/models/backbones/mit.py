# SPDX-License-Identifier: Apache-2.0
"""Mix transformer (SegFormer: Xie et al., NeurIPS 2021) as mmseg has it, under the rule of udatools for starting weights."""
from typing import Any

import torch
from mmseg.models.backbones import MixVisionTransformer
from torch.overrides import TorchFunctionMode

from udatools.registry import MODELS

from .weights import load_backbone_weights


class _RatesOnCPU(TorchFunctionMode):
    """mmseg reads its rates of stochastic depth back with ``.item()``, which tensors of the meta device do not have."""

    def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:
        kwargs = dict(kwargs or {}, device='cpu') if func is torch.linspace else kwargs or {}
        return func(*args, **kwargs)


@MODELS.register_module()
class UDAMixVisionTransformer(MixVisionTransformer):
    """mmseg's ``MixVisionTransformer``.

    Args:
        weights (str): ``'mmseg://mit_b5'``, a path, or ``'scratch'``. There is no default on purpose.
        kwargs: those of ``MixVisionTransformer``: ``embed_dims``, ``num_layers``, ``num_heads``, ``drop_path_rate``, ...

    Shape:
        (B, 3, H, W) -> four maps at H/4, H/8, H/16 and H/32, with ``embed_dims * num_heads[i]`` channels.
    """

    def __init__(self, *, weights: str, **kwargs) -> None:
        kwargs.pop('pretrained', None)  # mmseg's init_model passes it to every segmentor
        with _RatesOnCPU():
            super().__init__(**kwargs)
        self.weights = weights

    def init_weights(self) -> None:
        """mmseg's random initialisation, then the weights that the config names."""
        super().init_weights()
        load_backbone_weights(self, self.weights)
