# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a tiny network with random weights that predicts all of its classes, and drives for it to look at."""
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from udatools.registry import MODELS

CLASSES = ['road', 'building', 'sky', 'car']
PALETTE = [[128, 64, 128], [70, 70, 70], [70, 130, 180], [0, 0, 142]]
PREPROCESSOR = dict(bgr_to_rgb=True, mean=[120.0] * 3, std=[60.0] * 3)
META_KEYS = ('img_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip', 'flip_direction')


def segmentor(classes):
    return dict(
        type='EncoderDecoder',
        backbone=dict(type='UDAResNet', depth=18, base_channels=4, stem_channels=4, weights='scratch'),
        decode_head=dict(type='DeepLabV2Head', in_channels=32, in_index=3, num_classes=classes, dilations=(2, 4)),
        train_cfg=dict(), test_cfg=dict(mode='whole'))


def write_network(folder, seed=2, *, stage=False, resize=None, classes=CLASSES, palette=PALETTE):
    """Writes ``model.pth`` with ``config.py`` beside it as an export has them, or ``iter_1.pth`` alone as a stage has it.

    Args:
        folder (Path): where to.
        seed (int): of the weights.
        stage (bool): which of the two.
        resize (tuple[int, int] | None): width and height that the network sees.

    Returns:
        Path: the checkpoint.
    """
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadImageFromFile'), *([dict(type='Resize', scale=resize)] if resize else []),
                dict(type='LoadAnnotations'), dict(type='PackSegInputs', meta_keys=META_KEYS)]
    cfg = dict(default_scope='mmseg', test_pipeline=pipeline)
    if stage:
        cfg['model'] = dict(type='UDASegmentor', segmentor=segmentor(len(classes)), objectives=[dict(type='SegmentationCE')],
                            teacher=dict(momentum=1.0), data_preprocessor=dict(type='UDADataPreprocessor', **PREPROCESSOR))
    else:
        cfg['model'] = segmentor(len(classes)) | dict(data_preprocessor=dict(type='SegDataPreProcessor', **PREPROCESSOR))
        cfg['custom_imports'] = dict(imports=['udatools'])
    generator = torch.Generator().manual_seed(seed)
    model = MODELS.build(Config(cfg).model)
    state = {name: value if 'running' in name or 'batches' in name else
             torch.randn(value.shape, generator=generator) * (0.4 if 'head' in name else 0.3)
             for name, value in model.state_dict().items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    meta = dict(dataset_meta=dict(classes=classes, palette=palette))
    if stage:
        meta['cfg'] = Config(cfg).pretty_text
    else:
        Config(cfg).dump(str(folder / 'config.py'))
    path = folder / ('iter_1.pth' if stage else 'model.pth')
    torch.save(dict(state_dict=state, meta=meta), path)
    return path


def drive(count, size=(64, 48), step=3, seed=0):
    """Frames uint8 (H, W, 3), BGR, of ``size`` (width, height): smooth noise, moving right by ``step`` pixels a frame."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 256, (height, width + step * count, 3), dtype=np.uint8)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    return [np.ascontiguousarray(scene[:, step * (count - i):step * (count - i) + width]) for i in range(count)]


def write_images(folder, images, name='{:d}.png'):
    """Writes frames as PNGs named by their numbers; returns the folder."""
    for number, image in enumerate(images):
        path = Path(folder) / name.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)
    return Path(folder)


def write_video(path, images, codec='MJPG', fps=12.5):
    """Writes frames as a video; returns its path."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, images[0].shape[1::-1])
    assert writer.isOpened()
    for image in images:
        writer.write(image)
    writer.release()
    return path


def read_video(path):
    """All frames of a video, uint8 (H, W, 3), BGR."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        good, frame = capture.read()
        if not good:
            return frames
        frames.append(frame)
