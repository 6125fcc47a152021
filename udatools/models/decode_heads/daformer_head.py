# SPDX-License-Identifier: Apache-2.0
"""Context-aware fusion of all scales (DAFormer: Hoyer, Dai, Van Gool, CVPR 2022, Sec. 3.2), made of mmseg's modules.

Each scale is embedded in the same number of channels and brought to the finest one; parallel depthwise separable convolutions of
several dilations look at all of them together, without image pooling. mmseg has no such head: its ``SegformerHead`` fuses by 1x1
convolutions, its ``DepthwiseSeparableASPPHead`` looks at one scale.
"""
from collections.abc import Sequence

import torch
import torch.nn as nn
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.sep_aspp_head import DepthwiseSeparableASPPModule
from mmseg.models.utils import resize
from torch import Tensor

from udatools.registry import MODELS


@MODELS.register_module()
class DAFormerHead(BaseDecodeHead):
    """Embedding of every scale, their fusion, and a classifier.

    Args:
        in_channels (Sequence[int]): channels of each scale, the finest first.
        embed_dims (int): channels that each is embedded in.
        channels (int): of each dilated branch, and of what is classified.
        dilations (Sequence[int]): of the branches, in pixels of the finest scale; 1 is a 1x1 convolution.
        kwargs: those of ``BaseDecodeHead``: ``num_classes``, ``dropout_ratio``, ``norm_cfg`` (batch norm by default), ...

    Shape:
        features ``[(B, in_channels[i], h_i, w_i), ...]`` -> logits ``(B, num_classes, h_0, w_0)``, float, unnormalised.
    """

    def __init__(self, in_channels: Sequence[int], *, embed_dims: int = 256, channels: int = 256,
                 dilations: Sequence[int] = (1, 6, 12, 18), **kwargs) -> None:
        if not dilations or min(dilations) < 1:
            raise ValueError(f'dilations is {tuple(dilations)}; expected one or more integers >= 1, such as (1, 6, 12, 18)')
        kwargs.setdefault('in_index', list(range(len(in_channels))))
        kwargs.setdefault('norm_cfg', dict(type='BN'))
        kwargs.setdefault('loss_decode', dict(type='CrossEntropyLoss', avg_non_ignore=True))  # objectives bring their own
        super().__init__(in_channels=list(in_channels), channels=channels, input_transform='multiple_select', **kwargs)
        self.embeddings = nn.ModuleList(nn.Conv2d(width, embed_dims, 1) for width in in_channels)
        layers = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg)
        self.branches = DepthwiseSeparableASPPModule(
            dilations=tuple(dilations), in_channels=embed_dims * len(in_channels), channels=channels, **layers)
        self.bottleneck = ConvModule(channels * len(dilations), channels, 3, padding=1, **layers)

    def fuse(self, inputs: Sequence[Tensor]) -> Tensor:
        """What is classified: (B, channels, h_0, w_0)."""
        features = self._transform_inputs(inputs)
        size = features[0].shape[2:]
        scales = [resize(embed(feature), size=size, mode='bilinear', align_corners=self.align_corners)
                  for embed, feature in zip(self.embeddings, features)]
        return self.bottleneck(torch.cat(self.branches(torch.cat(scales, 1)), 1))

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Class scores at the finest scale."""
        return self.cls_seg(self.fuse(inputs))
