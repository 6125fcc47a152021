# SPDX-License-Identifier: Apache-2.0
"""Panoptic files as Cityscapes-VPS has them: a PNG of segment ids a frame, and one JSON about all of them.

PNG: 8-bit RGB, ``id = R + 256 G + 256^2 B``, 0 = void; an id is the same object in all frames of a clip. JSON: COCO's
panoptic format, ``images`` (id, file_name, width, height, and ``video_id`` in some sets), ``annotations`` (image_id,
file_name of the PNG, segments_info with id, category_id, iscrowd) and ``categories`` (id, name, isthing). Areas and
boxes in the JSON are written for other tools and never trusted: pixels are counted.
"""
from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udatools.datasets.taxonomies import get_class_set
from udatools.utils.atomic import write_json_atomic, write_png_atomic
from udatools.utils.png import read_png

MAX_ID = 256**3 - 1
_RELEASE_NAMES = (
    # Cityscapes-VPS: 0005_0025_frankfurt_000000_001736_newImg8bit; the number in second place differs between folders.
    re.compile(r'(?P<clip>\d+)_\d+_[^_]+_\d{6}_(?P<frame>\d{6})(_[A-Za-z]\w*)?'),
    re.compile(r'(?P<clip>[^_]+_\d{6})_(?P<frame>\d{6})(_[A-Za-z]\w*)?'),  # Cityscapes: city_000000_000019_leftImg8bit
)
_ANY_NAME = re.compile(r'(?P<clip>.*?)[_-]?(?P<frame>\d+)')  # CamVid, VIPER and most folders: clip_00012, clip/00012


def clip_of_name(name: str, pattern: re.Pattern[str] | None = None) -> tuple[str, int]:
    """Reads clip and frame number from the name of a file.

    Args:
        name (str): Relative path, with or without suffix.
        pattern (re.Pattern, optional): With the groups ``clip`` and ``frame``, for the whole of ``name`` without its
            suffix. By default the names of Cityscapes-VPS, of Cityscapes, or any that ends with the frame number; the
            folder is then part of the clip.

    Raises:
        ValueError: If the name does not tell.

    Example:
        >>> clip_of_name('0005_0025_frankfurt_000000_001736_newImg8bit.png')
        ('0005', 1736)
    """
    stem, folder, last = _split(name)
    for one in (pattern, ) if pattern else (*_RELEASE_NAMES, _ANY_NAME):
        match = one.fullmatch(stem if pattern else last)
        if match is not None and match['frame'].isdigit():
            clip = match['clip'] or ''
            return clip if pattern else '/'.join(part for part in (folder, clip) if part), int(match['frame'])
    raise ValueError(f'the name {name!r} does not tell clip and frame; expected names such as clip/00012.png, clip_00012.png or '
                     'those of Cityscapes-VPS, or say how with --clip-pattern "(?P<clip>...)_(?P<frame>[0-9]+)"')


def _split(name: str) -> tuple[str, str, str]:
    """The name without suffix, its folder, and its last part."""
    stem = re.sub(r'\.(png|jpe?g)$', '', name, flags=re.IGNORECASE)
    folder, _, last = stem.rpartition('/')
    return stem, folder, last


def clips_of_names(names: Iterable[str]) -> list[str]:
    """The clips that names of files speak of without a doubt: their folders, and clips in the names of Cityscapes(-VPS).

    Example:
        >>> clips_of_names(['a/1.png', 'a/2.png', 'b/0005_0025_frankfurt_000000_001736_newImg8bit.png'])
        ['a', 'b/0005']
    """
    clips: dict[str, None] = {}
    for name in names:
        _, folder, last = _split(name)
        match = next(filter(None, (one.fullmatch(last) for one in _RELEASE_NAMES)), None)
        clips['/'.join(part for part in (folder, match and match['clip']) if part)] = None
    return list(clips)


def read_panoptic_png(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads segment ids.

    Returns:
        np.ndarray: uint32, (H, W), 0..2**24 - 1, 0 = void.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is corrupt or not 8-bit RGB.
    """
    array = read_png(path)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f'{path} has shape {array.shape} and dtype {array.dtype}; expected an 8-bit RGB PNG with '
                         'id = R + 256 G + 256^2 B. Semantic id PNGs are scored with --semantic')
    # The four bytes of a pixel are those of a little-endian integer once they are R, G, B, 0.
    padded = cv2.cvtColor(array, cv2.COLOR_BGR2RGBA)
    ids: np.ndarray = padded.view('<u4')[..., 0]
    return ids & np.uint32(MAX_ID)


def write_panoptic_png(path: str | os.PathLike[str], ids: np.ndarray) -> None:
    """Writes segment ids atomically; ``ids`` as of :func:`encode_panoptic`.

    Raises:
        ValueError: As :func:`encode_panoptic`; names the file.
    """
    try:
        picture = encode_panoptic(ids)
    except ValueError as error:
        raise ValueError(f'cannot write {path}: {error}') from None
    write_png_atomic(path, picture)


def encode_panoptic(ids: np.ndarray) -> np.ndarray:
    """The picture of segment ids: uint8, (H, W, 3), BGR.

    Args:
        ids (np.ndarray): Integer, (H, W), 0..2**24 - 1, 0 = void.

    Raises:
        ValueError: If the shape or a value is not one of those.
    """
    if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in 'iu':
        raise ValueError(f'got shape {ids.shape}, dtype {ids.dtype}; expected integers, (H, W)')
    if int(ids.min()) < 0 or int(ids.max()) > MAX_ID:
        raise ValueError(f'ids reach from {int(ids.min())} to {int(ids.max())}; expected 0..{MAX_ID}')
    ids = ids.astype(np.uint32)
    return np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=-1).astype(np.uint8)


def semantic_ids(label: np.ndarray, ignore_index: int = 255) -> np.ndarray:
    """Segment ids of a semantic label map, in which a class is one segment: int64, (H, W), class + 1, 0 = void.

    Args:
        label (np.ndarray): Integer, (H, W), 0..C-1, or ``ignore_index``.
        ignore_index (int): Default: 255.
    """
    return np.where(label == ignore_index, 0, label.astype(np.int64) + 1)


@dataclass(frozen=True)
class Category:
    """A class of a panoptic set: ``id`` as in segments_info, its ``name``, and whether it is a thing."""
    id: int
    name: str
    isthing: bool


def semantic_categories(classes: Sequence[str]) -> tuple[Category, ...]:
    """Categories of a semantic network's classes, in their order; all stuff, for each of them is one segment.

    Their ids are those of Cityscapes-VPS where it has all of the classes, else 0, 1, ...
    """
    names = get_class_set('cityscapes19').classes
    known = set(classes) <= set(names)
    return tuple(Category(names.index(name) if known else i, name, False) for i, name in enumerate(classes))


@dataclass(frozen=True)
class PanopticFrame:
    """One annotated frame.

    Attributes:
        image_id (str | int): As in the JSON.
        clip (str): Clip.
        frame (int): Frame number in the clip.
        path (str): Its PNG.
        segments (tuple[tuple[int, int, bool], ...]): (id, category id, is crowd) of each segment.
    """
    image_id: str | int
    clip: str
    frame: int
    path: str
    segments: tuple[tuple[int, int, bool], ...]


@dataclass(frozen=True)
class PanopticSet:
    """A panoptic JSON: its file, the categories (none in some predictions) and the frames in order of (clip, frame)."""
    path: str
    categories: tuple[Category, ...]
    frames: tuple[PanopticFrame, ...]


def read_panoptic_set(json_path: str | os.PathLike[str], png_dir: str | os.PathLike[str] | None = None,
                      pattern: re.Pattern[str] | None = None) -> PanopticSet:
    """Reads a panoptic JSON and finds its PNGs; opens none of them.

    Args:
        json_path (str | PathLike): The JSON.
        png_dir (str | PathLike, optional): Folder of the PNGs. By default the first of these that holds any of them:
            the folder named like the JSON, ``pan_pred``, ``panoptic_video``, ``val/panoptic_video``, ``test/panoptic_video``,
            the folder of the JSON itself.
        pattern (re.Pattern, optional): As :func:`clip_of_name`, for the names of images.

    Raises:
        FileNotFoundError: If the JSON is missing, or its PNGs are nowhere.
        ValueError: If it is no panoptic JSON, an image is annotated twice, or its name does not tell clip and frame.
    """
    path = Path(json_path)
    content = _read_json(path)
    images = {image['id']: image for image in content.get('images', [])}
    annotations = content['annotations']
    frames, seen = [], set()
    try:
        folder = _png_folder(path, png_dir, [_png_name(one, images) for one in annotations]) if annotations else path.parent
        categories = tuple(Category(int(one['id']), str(one['name']), bool(one.get('isthing', 0)))
                           for one in content.get('categories', []))
        for one in annotations:
            clip, frame = _clip_of(one, images, pattern)
            segments = tuple((int(s['id']), int(s['category_id']), bool(s.get('iscrowd', 0))) for s in one['segments_info'])
            frames.append(PanopticFrame(one['image_id'], clip, frame, str(folder / _png_name(one, images)), segments))
            if (clip, frame) in seen:
                raise ValueError(f'{path} annotates frame {frame} of clip {clip!r} twice; keep one of them')
            seen.add((clip, frame))
    except KeyError as error:
        raise ValueError(f'{path} is no panoptic JSON: an entry lacks {error}; expected the format of COCO panoptic') from None
    return PanopticSet(str(path), categories, tuple(sorted(frames, key=lambda one: (one.clip, one.frame))))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist; give the panoptic JSON of the set') from None
    except ValueError as error:
        raise ValueError(f'{path} is no JSON ({error}); write or download it again') from None
    if not isinstance(content, dict) or not isinstance(content.get('annotations'), list):
        raise ValueError(f'{path} has no list "annotations"; expected the format of COCO panoptic (images, annotations, '
                         'categories)')
    return content


def _png_name(annotation: Mapping[str, Any], images: Mapping[Any, Mapping[str, Any]]) -> str:
    """File name of the PNG; some predictions leave it out and mean that of the image."""
    name = annotation.get('file_name') or images.get(annotation['image_id'], {}).get('file_name') or str(annotation['image_id'])
    return re.sub(r'(\.(png|jpe?g))?$', '.png', str(name), count=1, flags=re.IGNORECASE)


def _clip_of(annotation: Mapping[str, Any], images: Mapping[Any, Mapping[str, Any]],
             pattern: re.Pattern[str] | None) -> tuple[str, int]:
    image = images.get(annotation['image_id'], {})
    name = str(image.get('file_name') or annotation.get('file_name') or annotation['image_id'])
    if pattern is None and 'video_id' in image and 'frame_id' in image:
        return str(image['video_id']), int(image['frame_id'])
    clip, frame = clip_of_name(name, pattern)
    return (str(image['video_id']), frame) if pattern is None and 'video_id' in image else (clip, frame)


def _png_folder(path: Path, png_dir: str | os.PathLike[str] | None, names: Sequence[str]) -> Path:
    """The first folder that holds any of the PNGs: one that lacks some is still the one that is meant."""
    beside = (path.stem, 'pan_pred', 'panoptic_video', 'val/panoptic_video', 'test/panoptic_video', '.')
    candidates = [Path(png_dir)] if png_dir is not None else [path.parent / name for name in beside]
    for folder in candidates:
        if any((folder / name).is_file() for name in names):
            return folder
    where = str(png_dir) if png_dir is not None else f'the folders {", ".join(beside)} of {path.parent}'
    raise FileNotFoundError(f'the PNGs of {path} are not found: no {names[0]}, nor any other, in {where}; say where they lie '
                            '(--gt-png, --pred-png)')


class PanopticWriter:
    """Writes a set frame by frame; the JSON comes last, with :meth:`finish`.

    Args:
        json_path (str | PathLike): The JSON.
        categories (Sequence[Category]): All classes.
        png_dir (str | PathLike, optional): Folder of the PNGs. By default the one named like the JSON.
    """

    def __init__(self, json_path: str | os.PathLike[str], categories: Sequence[Category],
                 png_dir: str | os.PathLike[str] | None = None) -> None:
        self.json_path = Path(json_path)
        self.png_dir = Path(png_dir) if png_dir is not None else self.json_path.with_suffix('')
        self.categories = tuple(categories)
        self._known = {one.id for one in categories}
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, ids: np.ndarray, segments: Mapping[int, int], crowd: Sequence[int] = ()) -> None:
        """Writes the PNG of a frame.

        Args:
            name (str): Name of the image without suffix; it becomes the id of the image.
            ids (np.ndarray): Integer, (H, W), segment ids, 0 = void.
            segments (Mapping[int, int]): Segment id -> category id; those without a pixel are left out.
            crowd (Sequence[int]): Segment ids that are crowds. Default: none.

        Raises:
            ValueError: If an id in the map has no category, or the category does not exist.
        """
        self._describe(name, ids, segments, crowd)
        write_panoptic_png(self.png_dir / f'{name}.png', ids)

    def add_semantic(self, name: str, label: np.ndarray, ignore_index: int = 255) -> None:
        """Writes a semantic label map as a frame whose classes are one segment each.

        Args:
            name (str): As in :meth:`add`.
            label (np.ndarray): Integer, (H, W), positions in ``categories``, or ``ignore_index`` for void.
            ignore_index (int): Default: 255.
        """
        self.add(name, semantic_ids(label, ignore_index), self._semantic_segments())

    def adopt_semantic(self, name: str) -> None:
        """Takes a PNG that is there already, of :func:`semantic_ids`, into the set."""
        self._describe(name, read_panoptic_png(self.png_dir / f'{name}.png'), self._semantic_segments())

    def _semantic_segments(self) -> dict[int, int]:
        return {i + 1: one.id for i, one in enumerate(self.categories)}

    def _describe(self, name: str, ids: np.ndarray, segments: Mapping[int, int], crowd: Sequence[int] = ()) -> None:
        """What the JSON says about a frame."""
        present = [int(value) for value in np.unique(ids) if value != 0]
        if lacking := [one for one in present if segments.get(one) not in self._known]:
            raise ValueError(f'{name}: segments {lacking[:5]} have no category of this set; expected one of '
                             f'{sorted(self._known)} for each')
        height, width = ids.shape
        self._images.append(dict(id=name, file_name=f'{name}.png', width=width, height=height))
        infos = [dict(id=one, category_id=segments[one], iscrowd=int(one in crowd), **_extent(ids == one)) for one in present]
        self._annotations.append(dict(image_id=name, file_name=f'{name}.png', segments_info=infos))

    def finish(self) -> None:
        """Writes the JSON atomically."""
        categories = [dict(id=one.id, name=one.name, isthing=int(one.isthing)) for one in self.categories]
        write_json_atomic(self.json_path, dict(images=self._images, annotations=self._annotations, categories=categories),
                          indent=None)


def _extent(mask: np.ndarray) -> dict[str, Any]:
    """``area`` in pixels and ``bbox`` (x, y, width, height) of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1]
    return dict(area=int(np.count_nonzero(mask)), bbox=box)
