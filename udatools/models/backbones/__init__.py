# SPDX-License-Identifier: Apache-2.0
"""Backbones."""
from .mit import UDAMixVisionTransformer
from .resnet import UDAResNet
from .vgg import FCNVGG16, DilatedVGG16
from .weights import SCRATCH, load_backbone_weights, resolve_weights

__all__ = ['SCRATCH', 'DilatedVGG16', 'FCNVGG16', 'UDAMixVisionTransformer', 'UDAResNet', 'load_backbone_weights',
           'resolve_weights']
