# SPDX-License-Identifier: Apache-2.0
"""From a stage's checkpoint to a plain mmseg model: ``backbone.*`` and ``decode_head.*``, no udatools needed to use it.

mmseg has no DeepLabv2 head, but its ``ASPPHead`` without norm and activation is linear, and a sum of dilated convolutions is
a special case of it: the image-pooling branch weighs zero, the bottleneck adds the branches, the classifier is the
identity. The exported model gives the same logits. Parts that stock mmseg cannot express (VGG16, Caffe pooling,
DAFormer's head) stay as they are, and the exported config imports udatools for them.
"""
import copy
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor

from udatools.engine.runner.checkpoints import read_checkpoint
from udatools.engine.runner.stages import StageConfig
from udatools.models.backbones.resnet import BN_MODES
from udatools.utils.atomic import write_bytes_atomic, write_text_atomic

State = dict[str, Tensor]


def export_plain(cfg: Config, checkpoint: Path, folder: Path) -> dict[str, str]:
    """Writes ``model.pth`` and ``config.py``.

    Args:
        cfg (Config): the stage's config; its ``test_dataloader`` and evaluator are carried along for ``tools/test.py``.
        checkpoint (Path): a checkpoint of that stage.
        folder (Path): where to.

    Returns:
        dict[str, str]: ``checkpoint`` and ``config``, relative to the parent of ``folder``.
    """
    content = read_checkpoint(checkpoint, own=True)
    prefix = 'segmentor.'
    state = {key.removeprefix(prefix): value for key, value in content['state_dict'].items() if key.startswith(prefix)}
    model, state, plain = plain_model(copy.deepcopy(cfg.model.to_dict()), state)
    buffer = BytesIO()
    torch.save({'meta': {'dataset_meta': content['meta'].get('dataset_meta')}, 'state_dict': state}, buffer)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(folder / 'model.pth', buffer.getvalue())
    write_text_atomic(folder / 'config.py', exported_config(cfg, model, plain=plain).pretty_text)
    return {key: str(Path(folder.name) / name) for key, name in (('checkpoint', 'model.pth'), ('config', 'config.py'))}


def exported_config(cfg: Config, model: dict, *, plain: bool) -> StageConfig:
    """The config of an exported model.

    Args:
        cfg (Config): of the training; what it says about testing is kept.
        model (dict): config of the exported model.
        plain (bool): whether stock mmseg alone can build it.
    """
    keep = ('test_dataloader', 'test_cfg', 'test_evaluator', 'test_pipeline')
    exported = {'default_scope': 'mmseg', 'model': model} | {key: cfg[key] for key in keep if key in cfg}
    if not plain:
        exported['custom_imports'] = dict(imports=['udatools'])
    return StageConfig(exported)


def plain_model(model: dict, state: State) -> tuple[dict, State, bool]:
    """A stock mmseg model config and its weights.

    Args:
        model (dict): config of a ``UDASegmentor``.
        state (dict[str, Tensor]): weights of its segmentor, without prefix.

    Returns:
        tuple: config, weights, and whether stock mmseg alone can build it.
    """
    segmentor = dict(model['segmentor'])
    preprocessor = dict(model['data_preprocessor'], type='SegDataPreProcessor')
    preprocessor.pop('domain_transforms', None)  # of training
    segmentor.pop('auxiliary_head', None)
    state = {key: value for key, value in state.items() if not key.startswith('auxiliary_head.')}
    segmentor['backbone'], stock_backbone = _plain_backbone(segmentor['backbone'])
    segmentor['decode_head'], state = _single_head(segmentor['decode_head'], state)
    head = segmentor['decode_head']
    # The stock module gives a branch of dilation 1 a 1x1 kernel, so such a head stays ours.
    ours = ('DAFormerHead', 'FCN8sHead')
    stock_head = head['type'] not in ours and (head['type'] != 'DeepLabV2Head' or 1 not in head.get('dilations', ()))
    if head['type'] == 'DeepLabV2Head' and stock_head:
        segmentor['decode_head'], convert = _plain_head(head)
        state = convert(state)
    return dict(segmentor, data_preprocessor=preprocessor), state, stock_backbone and stock_head


def _plain_backbone(backbone: dict) -> tuple[dict, bool]:
    backbone = dict(backbone)
    if backbone['type'] == 'UDAMixVisionTransformer':
        backbone.pop('weights')
        return dict(backbone, type='MixVisionTransformer'), True
    if backbone['type'] != 'UDAResNet':
        ours = backbone['type'] in ('DilatedVGG16', 'FCNVGG16')
        return (dict(backbone, weights='scratch') if ours else backbone), not ours
    if backbone.get('caffe_pooling'):
        return dict(backbone, weights='scratch'), False
    mode = BN_MODES[backbone.pop('bn_mode', 'adapt')]
    backbone.pop('caffe_pooling', None)
    backbone.pop('weights')
    backbone.pop('norm_type', None)
    stock = dict(type='ResNet', strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4),
                 norm_cfg=dict(type='BN', requires_grad=mode['requires_grad']), norm_eval=mode['norm_eval'])
    return stock | {key: value for key, value in backbone.items() if key != 'type'}, True


def _single_head(head: dict, state: State) -> tuple[dict, State]:
    """The sum of two DeepLabv2 classifiers (CLAN) is one with the summed weights and biases; other heads as they are."""
    if head['type'] != 'DualDeepLabV2Head':
        return head, state
    first, second = 'decode_head.branches.', 'decode_head.second_branches.'
    summed = {key: value + state[second + key.removeprefix(first)] if key.startswith(first) else value
              for key, value in state.items() if not key.startswith(second)}
    return dict(head, type='DeepLabV2Head'), summed


def _plain_head(head: dict) -> tuple[dict, Callable[[State], State]]:
    head = dict(head)
    dilations = tuple(head.pop('dilations', (6, 12, 18, 24)))
    classes = head['num_classes']
    head.pop('init_std', None)
    head |= dict(type='ASPPHead', channels=classes, dilations=dilations, dropout_ratio=0.0, norm_cfg=None, act_cfg=None)

    def convert(state: State) -> State:
        plain = {key: value for key, value in state.items() if not key.startswith('decode_head.branches.')}
        identity = torch.eye(classes)
        for index in range(len(dilations)):
            for part in ('weight', 'bias'):
                plain[f'decode_head.aspp_modules.{index}.conv.{part}'] = state[f'decode_head.branches.{index}.{part}']
        in_channels = state['decode_head.branches.0.weight'].shape[1]
        plain['decode_head.image_pool.1.conv.weight'] = torch.zeros(classes, in_channels, 1, 1)
        plain['decode_head.image_pool.1.conv.bias'] = torch.zeros(classes)
        add = torch.zeros(classes, (len(dilations) + 1) * classes, 3, 3)
        add[:, classes:, 1, 1] = identity.repeat(1, len(dilations))
        plain['decode_head.bottleneck.conv.weight'] = add
        plain['decode_head.bottleneck.conv.bias'] = torch.zeros(classes)
        plain['decode_head.conv_seg.weight'] = identity[:, :, None, None].clone()
        plain['decode_head.conv_seg.bias'] = torch.zeros(classes)
        return plain

    return head, convert

