# SPDX-License-Identifier: Apache-2.0
"""A Cityscapes-shaped folder of four tiny images, two tiny models with checkpoints, a runner's stand-in."""
import logging
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from udatools.registry import MODELS

META = ('img_path', 'key', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor')


class Setup:
    """Configs of everything a hook takes."""

    def __init__(self, root):
        self.root = root
        rng = np.random.default_rng(0)
        self.keys = [f'aachen/aachen_00000{i}_000019_leftImg8bit' for i in range(4)]
        for key in self.keys:
            stem = key.removesuffix('_leftImg8bit')
            image = root / 'leftImg8bit/train' / f'{key}.png'
            label = root / 'gtFine/train' / f'{stem}_gtFine_labelIds.png'
            for path, array in ((image, rng.integers(0, 256, (24, 40, 3))),
                                (label, rng.choice([7, 8, 26, 0], (24, 40)))):
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), array.astype(np.uint8))
        # Inference below native resolution: labels must come out native all the same.
        pipeline = [dict(type='LoadDomainImage'), dict(type='Resize', scale=(20, 12)),
                    dict(type='PackSegInputs', meta_keys=META)]
        self.dataset = dict(type='CityscapesDomain', data_root=str(root), split='train', labelled=False,
                            pipeline=pipeline)
        segmentor = dict(
            type='EncoderDecoder', auxiliary_head=None, train_cfg={}, test_cfg=dict(mode='whole'),
            backbone=dict(type='UDAResNet', depth=18, base_channels=4, stem_channels=4, weights='scratch',
                          bn_mode='adapt'),
            decode_head=dict(type='DeepLabV2Head', in_channels=32, in_index=3, num_classes=19, align_corners=False))
        preprocessor = dict(type='UDADataPreprocessor', mean=[120.] * 3, std=[60.] * 3, bgr_to_rgb=True, pad_val=0,
                            seg_pad_val=255, size_divisor=1)
        self.model = dict(type='UDASegmentor', segmentor=segmentor, data_preprocessor=preprocessor)
        self.selector_model = dict(type='PixelSelector', segmentor=segmentor, data_preprocessor=preprocessor)
        self.checkpoint = self.save('main', self.model, 0)
        self.selector_checkpoint = self.save('selector', self.selector_model, 1)
        self.runner = SimpleNamespace(logger=logging.getLogger('hooks'), train_loop=None, cfg=dict(run_name='look'))

    def save(self, name, config, seed):
        """A checkpoint with random weights that are large enough to predict several classes."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = MODELS.build(dict(config))
            state = {key: torch.randn_like(value) * 0.5 if value.is_floating_point() and 'running' not in key else value
                     for key, value in model.state_dict().items()}
            for key in [key for key in state if key.startswith('second_head.')]:  # two classifiers that nearly agree
                main = state[key.replace('second_head.', 'segmentor.decode_head.')]
                state[key] = main + 0.1 * torch.randn_like(main)
        path = self.root / f'{name}_{seed}.pth'
        torch.save(dict(state_dict=state, meta=dict(time='now')), path)
        return str(path)


@pytest.fixture
def setup(tmp_path):
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield Setup(tmp_path / 'cityscapes')


@pytest.fixture
def opened(monkeypatch):
    """List of the label files opened through OpenCV or open()."""
    import builtins
    seen = []

    def spy(original):

        def spying(path, *args, **kwargs):
            if 'gtFine' in str(path):
                seen.append(str(path))
            return original(path, *args, **kwargs)

        return spying

    monkeypatch.setattr(builtins, 'open', spy(builtins.open))
    monkeypatch.setattr('io.open', spy(builtins.open))
    monkeypatch.setattr(cv2, 'imread', spy(cv2.imread))
    monkeypatch.setattr(np, 'fromfile', spy(np.fromfile))
    return seen


@pytest.fixture
def tree():
    """Function: {relative path: bytes} of all files below a folder."""
    return lambda root: {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}
