# SPDX-License-Identifier: Apache-2.0
"""VGG16 as the DeepLabv2 line uses it (pool4 and pool5 removed, conv5 dilated), and as FCN-8s uses it (as it is).

Layer indices are torchvision's (removed pools are identities), so its weights load by name. fc6 and fc7 are convolutions. In
DeepLabv2's network they have 1024 channels and start fresh: torchvision's 4096 x 25088 matrices do not fit them. FCN-8s takes
torchvision's, reshaped.
"""
import torch.nn as nn
from mmengine.model import BaseModule
from torch import Tensor

from udatools.registry import MODELS

from .weights import load_backbone_weights

_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0 = pool
_POOL3, _POOL4 = 16, 23  # torchvision's indices


class VGG16Layers(BaseModule):
    """The convolutions of VGG16.

    Args:
        weights (str): see the subclasses.
        base_channels (int): width of the first layer.
        dilated (bool): the last two pools are left out, conv5 has dilation 2.
    """

    def __init__(self, *, weights: str, base_channels: int, dilated: bool, init_cfg: dict | None) -> None:
        super().__init__(init_cfg)
        self.weights = weights
        layers: list[nn.Module] = []
        channels, pools = 3, 0
        for item in _WIDTHS:
            if item == 0:
                pools += 1
                layers.append(nn.Identity() if dilated and pools > 3 else nn.MaxPool2d(2, 2))
            else:
                width, dilation = item * base_channels // 64, 2 if dilated and pools == 4 else 1
                layers += [nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.channels = channels

    def init_weights(self) -> None:
        """He initialisation, then the weights that the config names."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
                nn.init.zeros_(module.bias)
        load_backbone_weights(self, self.weights)


@MODELS.register_module()
class DilatedVGG16(VGG16Layers):
    """VGG16 at output stride 8.

    Args:
        weights (str): ``'torchvision://vgg16'``, a path, or ``'scratch'``. There is no default on purpose.
        base_channels (int): width of the first layer; 64 is VGG16, less is for tests.

    Shape:
        (B, 3, H, W) -> ``(conv4 (B, 512, H/8, W/8), fc7 (B, 1024, H/8, W/8))`` at full width.
    """
    new_layers = ('fc6', 'fc7')

    def __init__(self, *, weights: str, base_channels: int = 64, init_cfg: dict | None = None, pretrained: None = None) -> None:
        super().__init__(weights=weights, base_channels=base_channels, dilated=True, init_cfg=init_cfg)
        wide = 1024 * base_channels // 64
        self.fc6 = nn.Sequential(nn.Conv2d(self.channels, wide, 3, padding=4, dilation=4), nn.ReLU(inplace=True))
        self.fc7 = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=4, dilation=4), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features after conv4 and after fc7."""
        conv4 = self.features[:_POOL4](x)
        return conv4, self.fc7(self.fc6(self.features[_POOL4:](conv4)))


@MODELS.register_module()
class FCNVGG16(VGG16Layers):
    """VGG16 at output stride 32, with the levels that ``FCN8sHead`` reads.

    Images are not padded by 100 pixels, as the authors' are: fc6 pads its input instead, and keeps its size.

    Args:
        weights (str): as of :class:`DilatedVGG16`; a file must hold torchvision's classifier too.
        base_channels (int): width of the first layer; 64 is VGG16, less is for tests.
        dropout_ratio (float): of channels, after fc6 and fc7.

    Shape:
        (B, 3, H, W) -> ``(pool3 (B, 256, H/8, W/8), pool4 (B, 512, H/16, W/16), fc7 (B, 4096, H/32, W/32))`` at full width;
        images have 32 pixels a side or more.
    """

    def __init__(self, *, weights: str, base_channels: int = 64, dropout_ratio: float = 0.5, init_cfg: dict | None = None,
                 pretrained: None = None) -> None:
        super().__init__(weights=weights, base_channels=base_channels, dilated=False, init_cfg=init_cfg)
        wide = 4096 * base_channels // 64
        self.fc6 = nn.Sequential(nn.Conv2d(self.channels, wide, 7, padding=3), nn.ReLU(inplace=True), nn.Dropout2d(dropout_ratio))
        self.fc7 = nn.Sequential(nn.Conv2d(wide, wide, 1), nn.ReLU(inplace=True), nn.Dropout2d(dropout_ratio))

    @staticmethod
    def convert_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's first two fully connected layers as convolutions."""
        state = dict(state)
        for name, layer, side in (('classifier.0', 'fc6.0', 7), ('classifier.3', 'fc7.0', 1)):
            if f'{name}.weight' in state:
                matrix = state.pop(f'{name}.weight')
                state[f'{layer}.weight'] = matrix.view(len(matrix), -1, side, side)
                state[f'{layer}.bias'] = state.pop(f'{name}.bias')
        return state

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features after pool3, pool4 and fc7."""
        pool3 = self.features[:_POOL3 + 1](x)
        pool4 = self.features[_POOL3 + 1:_POOL4 + 1](pool3)
        return pool3, pool4, self.fc7(self.fc6(self.features[_POOL4 + 1:](pool4)))
