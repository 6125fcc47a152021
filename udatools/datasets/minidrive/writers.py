# SPDX-License-Identifier: Apache-2.0
"""MiniDrive stills and clips in the native on-disk formats of the public sets.

Each format has a function that lists the files of an item and one that encodes them. Files appear whole or not at all:
they are written under a temporary name and renamed.
"""
from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .taxonomy import (
    CAMVID_IDS,
    CAMVID_VOID,
    CITYSCAPES_RAW_IDS,
    CITYSCAPES_RAW_VOID,
    GTA5_RAW_VOID,
    PALETTE,
    SYNTHIA_RAW_IDS,
    SYNTHIA_RAW_VOID,
    THINGS,
    train_to_raw,
)

Item = dict[str, np.ndarray]
CITIES = {'train': ('ashford', 'birchwick', 'coldwater', 'dunmere'), 'val': ('elmstead', 'foxhollow')}


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is complete whenever it exists under its name.

    Raises:
        OSError: the file cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def encode_png(array: np.ndarray) -> bytes:
    """PNG bytes of a grey (H, W) or BGR (H, W, 3) array, uint8 or uint16."""
    done, data = cv2.imencode('.png', array)
    if not done:
        raise ValueError(f'cannot encode an array of shape {array.shape} and type {array.dtype} as PNG')
    return data.tobytes()


def encode_rgb(image: np.ndarray) -> bytes:
    """PNG bytes of a uint8 RGB image (H, W, 3)."""
    return encode_png(np.ascontiguousarray(image[:, :, ::-1]))


def encode_palette(label: np.ndarray, raw_ids: tuple[int, ...]) -> bytes:
    """PNG bytes of an indexed image, as GTA5 ships its labels: the index is the raw id, the palette only shows it."""
    colours = np.zeros((256, 3), np.uint8)
    colours[list(raw_ids)] = PALETTE
    picture = Image.fromarray(label)
    picture.putpalette(colours.ravel().tolist())
    buffer = io.BytesIO()
    picture.save(buffer, 'PNG', compress_level=3)
    return buffer.getvalue()


def instance_ids(label: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Cityscapes instanceIds: raw id for stuff, ``raw id * 1000 + n`` (n from 0 within the class) for things.

    Args:
        label: uint8, (H, W), train ids.
        instance: int32, (H, W), 0 = stuff.

    Returns:
        uint16, (H, W).
    """
    raw = train_to_raw(CITYSCAPES_RAW_IDS, CITYSCAPES_RAW_VOID)
    result = raw[label].astype(np.uint16)
    for train_id in sorted(THINGS):
        where = label == train_id
        numbers, inverse = np.unique(instance[where], return_inverse=True)
        if len(numbers):
            result[where] = int(raw[train_id]) * 1000 + inverse.reshape(-1)
    return result


def _gta5(item: Item, split: str, index: int) -> dict[str, bytes]:
    raw = train_to_raw(CITYSCAPES_RAW_IDS, GTA5_RAW_VOID)
    name = f'{index + 1:05d}.png'
    return {f'images/{name}': encode_rgb(item['image']),
            f'labels/{name}': encode_palette(raw[item['label']], CITYSCAPES_RAW_IDS)}


def _synthia(item: Item, split: str, index: int) -> dict[str, bytes]:
    raw = train_to_raw(SYNTHIA_RAW_IDS, SYNTHIA_RAW_VOID)
    classes = raw[item['label']].astype(np.uint16)
    # RGB order is (class, instance, 0); OpenCV writes BGR, where the class is the last channel.
    stacked = np.stack([np.zeros_like(classes), item['instance'].astype(np.uint16), classes], -1)
    name = f'{index:07d}.png'
    return {f'RGB/{name}': encode_rgb(item['image']), f'GT/LABELS/{name}': encode_png(stacked)}


def cityscapes_stem(split: str, index: int) -> str:
    """City folder and file stem of an item, without the type suffix."""
    cities = CITIES[split]
    city = cities[index % len(cities)]
    return f'{city}/{city}_{index:06d}_000019'


def _cityscapes(item: Item, split: str, index: int) -> dict[str, bytes]:
    raw = train_to_raw(CITYSCAPES_RAW_IDS, CITYSCAPES_RAW_VOID)
    stem = f'{split}/{cityscapes_stem(split, index)}'
    truth = f'gtFine/{stem}_gtFine_'
    return {f'leftImg8bit/{stem}_leftImg8bit.png': encode_rgb(item['image']),
            f'{truth}labelIds.png': encode_png(raw[item['label']]),
            f'{truth}labelTrainIds.png': encode_png(item['label']),
            f'{truth}instanceIds.png': encode_png(instance_ids(item['label'], item['instance']))}


def _camvid(item: Item, split: str, index: int) -> dict[str, bytes]:
    raw = train_to_raw(CAMVID_IDS, CAMVID_VOID)
    name = f'MiniDrive_{index:06d}.png'
    return {f'{split}/{name}': encode_rgb(item['image']), f'{split}annot/{name}': encode_png(raw[item['label']])}


@dataclass(frozen=True)
class Format:
    """A native format: the domain and the splits that it holds, its encoder, and the files of an item."""

    domain: str
    splits: tuple[str, ...]
    encode: Callable[[Item, str, int], dict[str, bytes]]
    names: Callable[[str, int], list[str]]


FORMATS = {
    'gta5': Format('sim', ('train',), _gta5, lambda s, i: [f'{d}/{i + 1:05d}.png' for d in ('images', 'labels')]),
    'synthia': Format('sim', ('train',), _synthia, lambda s, i: [f'{d}/{i:07d}.png' for d in ('RGB', 'GT/LABELS')]),
    'cityscapes': Format(
        'real', ('train', 'val'), _cityscapes,
        lambda s, i: [f'leftImg8bit/{s}/{cityscapes_stem(s, i)}_leftImg8bit.png'] +
        [f'gtFine/{s}/{cityscapes_stem(s, i)}_gtFine_{k}.png' for k in ('labelIds', 'labelTrainIds', 'instanceIds')]),
    'camvid': Format('real', ('train', 'val'), _camvid,
                     lambda s, i: [f'{s}/MiniDrive_{i:06d}.png', f'{s}annot/MiniDrive_{i:06d}.png']),
}


def write_clip(root: str | os.PathLike[str], name: str, clip: Item) -> Path:
    """Write a clip as ``clips/<name>/{frames,labels,instances}/000000.png`` and ``flow/000000.npz``.

    Args:
        root: folder of the data set.
        name: name of the clip.
        clip: as ``render_clip`` returns it. Labels hold train ids (255 = void), instances are uint16; ``flow/T.npz``
        holds
            ``flow`` float32 (H, W, 2), pixels (x, y) from frame T to T + 1, and ``visible`` bool (H, W).

    Returns:
        the folder of the clip.
    """
    folder = Path(root) / 'clips' / name
    for t, (image, label, instance) in enumerate(zip(clip['image'], clip['label'], clip['instance'])):
        write_atomic(folder / 'frames' / f'{t:06d}.png', encode_rgb(image))
        write_atomic(folder / 'labels' / f'{t:06d}.png', encode_png(label))
        write_atomic(folder / 'instances' / f'{t:06d}.png', encode_png(instance.astype(np.uint16)))
    for t, (flow, visible) in enumerate(zip(clip['flow'], clip['visible'])):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, flow=flow, visible=visible)
        write_atomic(folder / 'flow' / f'{t:06d}.npz', buffer.getvalue())
    return folder
