# SPDX-License-Identifier: Apache-2.0
"""VGG16 as the DeepLabv2 line uses it: pool4 and pool5 removed, conv5 dilated, fc6 and fc7 as convolutions.

Layer indices are torchvision's (the removed pools are identities), so its weights load by name. fc6 and fc7 keep the
1024 channels of the reduced network and start fresh: torchvision's 4096 x 25088 matrices do not fit them.
"""
import torch.nn as nn
from mmengine.model import BaseModule
from torch import Tensor

from udatools.registry import MODELS

from .weights import load_backbone_weights

_LAYOUT = (64, 64, 'pool', 128, 128, 'pool', 256, 256, 256, 'pool', 512, 512, 512, 'identity', 512, 512, 512, 'identity')


@MODELS.register_module()
class DilatedVGG16(BaseModule):
    """VGG16 at output stride 8.

    Args:
        weights (str): ``'torchvision://vgg16'``, a path, or ``'scratch'``. There is no default on purpose.
        base_channels (int): width of the first layer; 64 is VGG16, less is for tests.

    Shape:
        (B, 3, H, W) -> ``(conv4 (B, 512, H/8, W/8), fc7 (B, 1024, H/8, W/8))`` at full width.
    """
    new_layers = ('fc6', 'fc7')

    def __init__(self, *, weights: str, base_channels: int = 64, init_cfg: dict | None = None, pretrained: None = None) -> None:
        super().__init__(init_cfg)
        self.weights = weights
        layers: list[nn.Module] = []
        channels = 3
        for position, item in enumerate(_LAYOUT):
            if item == 'pool':
                layers.append(nn.MaxPool2d(2, 2))
            elif item == 'identity':
                layers.append(nn.Identity())
            else:
                width, dilation = item * base_channels // 64, 2 if position > 13 else 1
                layers += [nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        wide = 1024 * base_channels // 64
        self.fc6 = nn.Sequential(nn.Conv2d(channels, wide, 3, padding=4, dilation=4), nn.ReLU(inplace=True))
        self.fc7 = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=4, dilation=4), nn.ReLU(inplace=True))

    def init_weights(self) -> None:
        """He initialisation, then the weights that the config names."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
                nn.init.zeros_(module.bias)
        load_backbone_weights(self, self.weights)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features after conv4 and after fc7."""
        conv4_end = 23  # torchvision's index of pool4
        conv4 = self.features[:conv4_end](x)
        return conv4, self.fc7(self.fc6(self.features[conv4_end:](conv4)))
