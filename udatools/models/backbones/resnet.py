# SPDX-License-Identifier: Apache-2.0
"""Stride-8 ResNet of the DeepLabv2 line, with its three ways of treating batch norm.

The AdaptSegNet line freezes only the *affine* terms and lets batch statistics run; CRST and IAST freeze everything; others
adapt. Forks mix these up silently, so the setting has a name here. ``caffe_pooling`` is the max-pool with ceil rounding
of the Caffe-converted ResNet-101 that those authors start from.
"""
from collections.abc import Sequence

import torch.nn as nn
from mmseg.models.backbones import ResNet

from udatools.registry import MODELS

from .weights import load_backbone_weights

BN_MODES = {
    'adapt': dict(requires_grad=True, norm_eval=False),
    'affine': dict(requires_grad=False, norm_eval=False),
    'eval': dict(requires_grad=False, norm_eval=True),
}


@MODELS.register_module()
class UDAResNet(ResNet):
    """mmseg's ResNet at output stride 8.

    Args:
        depth (int): 18, 34, 50, 101 or 152.
        weights (str): ``'torchvision://resnet101'``, a path, or ``'scratch'``. There is no default on purpose.
        bn_mode (str): ``'adapt'`` (statistics run, affine terms train), ``'affine'`` (affine terms frozen, statistics
            run) or ``'eval'`` (everything frozen).
        norm_type (str): ``'BN'`` or ``'SyncBN'``.
        caffe_pooling (bool): max-pool with ceil rounding; for Caffe-converted weights.
        strides, dilations (Sequence[int]): of the four stages.
        kwargs: those of mmseg's ``ResNet``, such as ``base_channels``.

    Shape:
        (B, 3, H, W) -> four maps; the last two at H/8 x W/8.
    """

    def __init__(self, depth: int, *, weights: str, bn_mode: str = 'adapt', norm_type: str = 'BN',
                 caffe_pooling: bool = False, strides: Sequence[int] = (1, 2, 1, 1),
                 dilations: Sequence[int] = (1, 1, 2, 4), **kwargs) -> None:
        if bn_mode not in BN_MODES:
            raise ValueError(f"bn_mode is {bn_mode!r}; expected one of {', '.join(sorted(BN_MODES))}")
        mode = BN_MODES[bn_mode]
        kwargs.pop('pretrained', None)  # mmseg's init_model passes it to every segmentor
        super().__init__(depth=depth, strides=tuple(strides), dilations=tuple(dilations),
                         norm_cfg=dict(type=norm_type, requires_grad=mode['requires_grad']),
                         norm_eval=mode['norm_eval'], **kwargs)
        if caffe_pooling:
            self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True)
        self.weights = weights

    def init_weights(self) -> None:
        """mmseg's random initialisation, then the weights that the config names."""
        super().init_weights()
        load_backbone_weights(self, self.weights)
