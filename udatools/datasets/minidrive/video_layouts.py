# SPDX-License-Identifier: Apache-2.0
"""Frames of MiniDrive clips in the on-disk layouts of VIPER and of Cityscapes-VPS.

VIPER (source): every frame has a PNG of class ids and one of instances. Cityscapes-VPS (target): every fifth frame of a
clip has a PNG of train ids and one of panoptic segments, an annotation file lists the segments, and as in the release
the 20th of 30 frames is one of those. Numbers of things are the same in all frames of a clip.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from udatools.utils.atomic import write_json_atomic
from udatools.utils.png import read_png

from .taxonomy import CLASSES, PALETTE, THINGS, VIPER_RAW_IDS, VIPER_VOID, VOID, train_to_raw
from .writers import CITIES, Item, encode_png, encode_rgb

LABEL_EVERY = 5
_PER_CATEGORY = 1000
Encoder = Callable[[Item], bytes]


def viper_instances(item: Item) -> np.ndarray:
    """Instances of a frame as VIPER codes them.

    Args:
        item: a frame, as ``Clip.item`` returns it.

    Returns:
        uint8, (H, W, 3), RGB: class id of VIPER, then the number of the thing as ``256 * green + blue``, 0 = stuff.
    """
    raw = train_to_raw(VIPER_RAW_IDS, VIPER_VOID)[item['label']]
    return np.stack([raw, item['instance'] // 256, item['instance'] % 256], -1).astype(np.uint8)


def segment_ids(item: Item) -> np.ndarray:
    """Panoptic segments of a frame.

    Args:
        item: a frame, as ``Clip.item`` returns it.

    Returns:
        int64, (H, W): ``1000 * (train id + 1) + number``, the number is 0 for stuff; 0 where no class applies.
    """
    label = item['label'].astype(np.int64)
    return np.where(label == VOID, 0, _PER_CATEGORY * (label + 1) + item['instance'])


def encode_segments(item: Item) -> bytes:
    """RGB PNG with ``id = R + 256 G + 65536 B`` of :func:`segment_ids`."""
    ids = segment_ids(item)
    return encode_rgb(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8))


def is_labelled(frame: int) -> bool:
    """Whether a frame of the target, counted from 0, has a label: 4, 9, ..., 29."""
    return frame % LABEL_EVERY == LABEL_EVERY - 1


@dataclass(frozen=True)
class VideoLayout:
    """One layout.

    ``folder`` lies below the root; ``domain`` is whose clips it holds; ``key`` gives the key of a frame from (split, clip,
    frame, frames of a clip); ``files`` gives, from (split, key, frame), the files of a frame by their path below
    ``folder`` and how each is encoded.
    """

    folder: str
    domain: str
    key: Callable[[str, int, int, int], str]
    files: Callable[[str, str, int], dict[str, Encoder]]


def _viper_key(split: str, clip: int, frame: int, num_frames: int) -> str:
    return f'{clip + 1:03d}/{clip + 1:03d}_{frame + 1:05d}'


def _viper_files(split: str, key: str, frame: int) -> dict[str, Encoder]:
    raw = train_to_raw(VIPER_RAW_IDS, VIPER_VOID)
    return {f'{split}/img/{key}.png': lambda item: encode_rgb(item['image']),
            f'{split}/cls/{key}.png': lambda item: encode_png(raw[item['label']]),
            f'{split}/inst/{key}.png': lambda item: encode_rgb(viper_instances(item))}


def _vps_key(split: str, clip: int, frame: int, num_frames: int) -> str:
    city = CITIES[split][clip % len(CITIES[split])]
    return f'{clip + 1:04d}_{clip * num_frames + frame + 1:04d}_{city}_{clip:06d}_{frame:06d}_newImg8bit'


def _vps_files(split: str, key: str, frame: int) -> dict[str, Encoder]:
    files: dict[str, Encoder] = {f'{split}/img/{key}.png': lambda item: encode_rgb(item['image'])}
    if is_labelled(frame):
        name = key.replace('newImg8bit', 'final_mask')
        files[f'{split}/labelmap/{name}.png'] = lambda item: encode_png(item['label'])
        files[f'{split}/panoptic_video/{name}.png'] = encode_segments
    return files


VIPER = VideoLayout('viper', 'sim', _viper_key, _viper_files)
CITYSCAPES_VPS = VideoLayout('cityscapes_vps', 'real', _vps_key, _vps_files)


def write_annotations(folder: Path, split: str) -> Path:
    """Write ``panoptic_gt_<split>_city_vps.json`` from the panoptic PNGs, as soon as all of them exist.

    Args:
        folder: the folder of Cityscapes-VPS.
        split: ``'train'`` or ``'val'``.

    Returns:
        the file: images, annotations and categories in the format of COCO panoptic; category ids are train ids.
    """
    images, annotations = [], []
    for path in sorted((folder / split / 'panoptic_video').glob('*.png')):
        bgr = read_png(path).astype(np.int64)
        ids, areas = np.unique(bgr[:, :, 2] + 256 * bgr[:, :, 1] + 65536 * bgr[:, :, 0], return_counts=True)
        image_id = path.stem.replace('_final_mask', '')
        images.append({'id': image_id, 'width': bgr.shape[1], 'height': bgr.shape[0],
                       'file_name': f'{image_id}_newImg8bit.png'})
        segments = [{'id': number, 'category_id': number // _PER_CATEGORY - 1, 'area': area, 'iscrowd': 0}
                    for number, area in zip(ids.tolist(), areas.tolist()) if number]
        annotations.append({'image_id': image_id, 'file_name': path.name, 'segments_info': segments})
    categories = [{'id': train_id, 'name': name, 'isthing': int(train_id in THINGS), 'color': list(PALETTE[train_id])}
                  for train_id, name in enumerate(CLASSES)]
    target = folder / f'panoptic_gt_{split}_city_vps.json'
    write_json_atomic(target, {'images': images, 'annotations': annotations, 'categories': categories}, indent=None)
    return target
