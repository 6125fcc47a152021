# SPDX-License-Identifier: Apache-2.0
"""FCN-8s (Long, Shelhamer, Darrell, CVPR 2015): class scores at strides 32, 16 and 8, added up from the coarsest on.

mmseg's ``FCNHead`` looks at one level. The authors learn the upsampling and start it bilinear; here it stays bilinear.
"""
from collections.abc import Sequence

import torch.nn as nn
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from torch import Tensor

from udatools.registry import MODELS


@MODELS.register_module()
class FCN8sHead(BaseDecodeHead):
    """1x1 convolutions to class scores on three levels, the finest first.

    Args:
        in_channels (Sequence[int]): channels of pool3, pool4 and fc7.
        kwargs: those of ``BaseDecodeHead``: ``num_classes``, ``align_corners``, ... ``channels`` has no meaning here.

    Shape:
        features ``[(B, in_channels[i], h_i, w_i), ...]`` -> logits ``(B, num_classes, h_0, w_0)``, float, unnormalised.

    Raises:
        ValueError: for another number of levels.
    """

    def __init__(self, in_channels: Sequence[int], *, dropout_ratio: float = 0.0, **kwargs) -> None:
        if len(in_channels) != 3:
            raise ValueError(f'in_channels is {tuple(in_channels)}; expected those of three levels: pool3, pool4, fc7')
        kwargs.setdefault('in_index', [0, 1, 2])
        kwargs.setdefault('channels', kwargs['num_classes'])
        kwargs.setdefault('loss_decode', dict(type='CrossEntropyLoss', avg_non_ignore=True))  # objectives bring their own
        super().__init__(in_channels=list(in_channels), dropout_ratio=dropout_ratio, init_cfg=None,
                         input_transform='multiple_select', **kwargs)
        del self.conv_seg  # of the base class
        self.scores = nn.ModuleList(nn.Conv2d(width, self.out_channels, 1) for width in in_channels)
        self.init_weights()

    def init_weights(self) -> None:
        """The coarsest level N(0, 0.01), the others 0, as the authors add their skips; biases 0."""
        for score in self.scores:
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)
        nn.init.normal_(self.scores[-1].weight, std=0.01)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Class scores at the finest level."""
        fine, middle, coarse = (score(feature) for score, feature in zip(self.scores, self._transform_inputs(inputs)))
        for finer in (middle, fine):
            coarse = finer + resize(coarse, size=finer.shape[2:], mode='bilinear', align_corners=self.align_corners)
        return coarse
