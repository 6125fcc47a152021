# SPDX-License-Identifier: Apache-2.0
"""Any config of the repository at a size that a test can run: same components, small network, images and counts."""
from pathlib import Path

import torch
from mmengine.config import Config

from udatools.registry import MODELS

REPO = Path(__file__).resolve().parents[2]
CONFIGS = sorted(path for path in (REPO / 'configs').rglob('*.py') if '_base_' not in path.parts)
WIDTH = 4
SIZE = (64, 32)  # width, height


def config_id(path):
    return str(path.relative_to(REPO / 'configs').with_suffix(''))


def shrink(path, *, data, work_dir, iterations=2, items=3, seed=0):
    """The config at ``path`` with its data below ``data``.

    Args:
        path (Path): config file.
        data (dict[str, Path]): as of :func:`shrink_config`.
    """
    cfg = Config.fromfile(path)
    cfg.work_dir = str(work_dir)
    cfg.randomness = dict(seed=seed)
    return shrink_config(cfg, data=data, scratch=work_dir, iterations=iterations, items=items)


def shrink_config(cfg, *, data, scratch, iterations=2, items=3):
    """Changes a config to its reduced size, and gives it back.

    Args:
        cfg (Config): as read from its file.
        data (dict[str, Path]): folder of each dataset type: ``GTA5Domain``, ``CityscapesDomain``, ...; ``flow of`` a type that of
            its flow, if it is not beside Cityscapes-VPS.
        scratch (Path): folder for weights that the config reads from a file.
    """
    cfg.progress = dict(interval=1000)
    cfg.checkpoint_interval = 1
    cfg.iters = dict.fromkeys(cfg.iters, iterations)
    cfg.baselines = []
    _shrink_network(cfg, Path(scratch))
    if 'rare_classes' in cfg:
        cfg.rare_classes.update(statistics=None, min_pixels=1, min_crop_pixels=1)
    if 'target_flow' in cfg:
        own = Path(data['CityscapesVPSDomain']).parent / 'flow' / 'cityscapes_vps' / 'train'
        cfg.target_flow.root = str(data.get(f'flow of {cfg.target_images.type}', own))
    if 'target_offsets' in cfg:  # of frames 2 apart; those of the data are 1 apart
        cfg.target_offsets = (0, -1)
        if 'vst' in cfg:
            cfg.vst.aggregation.offsets = (-1, 1)
    if 'viper_conditions' in cfg:
        cfg.viper_conditions = None  # the list of day sequences is not part of the data
    if cfg.get('translated_source'):  # the originals again
        images = str(data[cfg.source_train.type] / {'GTA5Domain': 'images', 'SYNTHIADomain': 'RGB'}[cfg.source_train.type])
        cfg.translated_source = [images] * len(cfg.translated_source) if isinstance(cfg.translated_source, list) else images
    _shrink_data(cfg._cfg_dict, data, items)
    cfg.train_dataloader.batch_size = 2
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name):
            cfg[name].num_workers = 0
            cfg[name].pop('persistent_workers', None)
    return cfg


def _shrink_network(cfg, work_dir):
    backbone = cfg.segmentor.backbone
    if backbone.type == 'UDAMixVisionTransformer':
        pretrained = backbone.weights != 'scratch'
        backbone.update(embed_dims=WIDTH, num_layers=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), weights='scratch')
        if pretrained:  # an objective compares features with those of the file
            work_dir.mkdir(parents=True, exist_ok=True)
            torch.save(MODELS.build(dict(backbone)).state_dict(), work_dir / 'mit.pth')
            backbone.weights = str(work_dir / 'mit.pth')
        channels = (WIDTH, WIDTH, 2 * WIDTH, 2 * WIDTH)
    elif backbone.type == 'UDAResNet':
        backbone.update(depth=18, base_channels=WIDTH, stem_channels=WIDTH, weights='scratch')
        channels = (WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH)
    else:
        backbone.update(base_channels=WIDTH, weights='scratch')
        channels = (4 * WIDTH, 8 * WIDTH, 64 * WIDTH) if backbone.type == 'FCNVGG16' else (8 * WIDTH, 16 * WIDTH)
    for head in (cfg.segmentor.decode_head, cfg.segmentor.get('auxiliary_head')):
        if head and head.type == 'DAFormerHead':
            head.update(in_channels=channels, embed_dims=WIDTH, channels=WIDTH)
        elif head and head.type == 'FCN8sHead':
            head.in_channels = channels
        elif head:
            head.in_channels = channels[head.in_index]
    cfg.discriminator.channels = (4, )
    if isinstance(cfg.discriminator.in_channels, int):  # of features
        cfg.discriminator.in_channels = channels[-1]


def _shrink_data(node, data, items):
    if isinstance(node, dict):
        if node.get('type') in data:
            node['data_root'] = str(data[node['type']])
            node['max_items'] = items
            node.pop('indices', None)
        if 'Resize' in str(node.get('type')):
            node['scale'] = SIZE
        if node.get('type') in ('RandomCrop', 'RareClassCrop', 'ClipRandomCrop', 'ClipCenterCrop'):
            node['crop_size'] = SIZE[::-1]
        children = node.values()
    elif isinstance(node, (list, tuple)):
        children = node
    else:
        return
    for child in children:
        _shrink_data(child, data, items)
