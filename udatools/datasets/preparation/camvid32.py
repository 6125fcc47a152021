# SPDX-License-Identifier: Apache-2.0
"""CamVid as published (Brostow, Fauqueur, Cipolla, 2008): 32 colours, converted to the SegNet layout with 11 classes.

Two readings of "the 11 classes" circulate: ``exact`` keeps the eleven as drawn, ``merged`` groups others with them. Numbers
under the two cannot be compared, so there is no default. The tables, the judgement calls and the split are data, in
``camvid32.json``. The published release is not split; here it is split as SegNet does, unless lists say otherwise.
"""
from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udatools.datasets.camvid import CamVidDomain
from udatools.datasets.domain_dataset import IMAGE_SUFFIXES, DatasetLayoutError
from udatools.datasets.taxonomies import IGNORE, get_class_set, read_json_object
from udatools.datasets.transforms import resize_label
from udatools.utils.atomic import write_bytes_atomic, write_json_atomic, write_png_atomic
from udatools.utils.png import read_image

from .verify import Pair, PairSource

IMAGES, LABELS = '701_StillsRaw_full', 'LabeledApproved_full'
SPLITS = ('train', 'val', 'test')
UNLABELLED = 11  # in the SegNet layout; 255 in train ids
LAYOUT = f"""
<root>/
  {IMAGES}/0001TP_006690.png ...
  {LABELS}/0001TP_006690_L.png ...   (RGB pictures in 32 colours)
  train.txt, val.txt, test.txt         (optional: one stem a line, in place of SegNet's split)
"""


@cache
def load_tables() -> dict[str, Any]:
    """Returns the content of ``camvid32.json``."""
    return json.loads(Path(__file__).with_suffix('.json').read_text(encoding='utf-8'))


@cache
def colour_table(reading: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns how colours are read.

    Args:
        reading (str): ``exact`` or ``merged``.

    Returns:
        tuple[np.ndarray, np.ndarray]: Colours as ``65536 r + 256 g + b``, int32, (32,), ascending; train id of each in
            camvid11, uint8, (32,), 255 = unlabelled.

    Raises:
        ValueError: If there is no such reading.
    """
    tables = load_tables()
    if reading not in tables['readings']:
        raise ValueError(f'got the reading {reading!r}; expected one of {", ".join(tables["readings"])}')
    classes = get_class_set('camvid11').classes
    mapping = tables['readings'][reading]
    rows = sorted(((r << 16) + (g << 8) + b, classes.index(mapping[name]) if name in mapping else IGNORE)
                  for name, (r, g, b) in tables['colours'].items())
    return np.array([row[0] for row in rows], np.int32), np.array([row[1] for row in rows], np.uint8)


def decode_colours(picture: np.ndarray, reading: str) -> np.ndarray:
    """Turns a label picture into train ids.

    Args:
        picture (np.ndarray): uint8, (H, W, 3), BGR as OpenCV reads it.
        reading (str): ``exact`` or ``merged``.

    Returns:
        np.ndarray: uint8, (H, W), 0..10 in the order of camvid11, 255 = unlabelled.

    Raises:
        ValueError: If a colour is none of the 32; lists them and how many pixels have one.
    """
    codes, train_ids = colour_table(reading)
    blue, green, red = (picture[:, :, channel].astype(np.int32) for channel in range(3))
    code = (red << 16) + (green << 8) + blue
    index = np.minimum(np.searchsorted(codes, code), len(codes) - 1)
    unknown = codes[index] != code
    if unknown.any():
        found = [f'({c >> 16}, {c >> 8 & 255}, {c & 255})' for c in np.unique(code[unknown]).tolist()]
        raise ValueError(f'{int(unknown.sum())} pixels have colours that are none of the 32 of CamVid, such as RGB '
                         f'{", ".join(found[:3])}; has the picture been resized or saved as JPEG?')
    return train_ids[index]


def split_of(stem: str) -> str | None:
    """Returns the split of SegNet's release that a frame such as ``0016E5_07959`` is in, None for an unknown name."""
    match = re.fullmatch(r'(\w+?)_f?(\d+)', stem)
    if match is None:
        return None
    sequence, frame = match.group(1), int(match.group(2))
    splits = load_tables()['splits']
    return next((split for split in SPLITS for name, first, last in splits[split]
                 if name == sequence and first <= frame <= last), None)


class CamVid32(PairSource):
    """The published CamVid, converted to ``<out>/<split>/*`` and ``<out>/<split>annot/*.png``, ids 0..10, 11 = unlabelled.

    Args:
        root (Path): Folder with ``701_StillsRaw_full`` and ``LabeledApproved_full``.
        split (str): ``train``, ``val`` or ``test``.
        reading (str): ``exact`` or ``merged``, see the module.
        out (Path): Where to; the root of a :class:`~udatools.datasets.CamVidDomain`.
        size (tuple[int, int], optional): Width and height to resize to, images by area, labels by nearest neighbour; by
            default files keep the published 960x720 and images are copied byte for byte.

    Raises:
        DatasetLayoutError: If the folders are not there.
        ValueError: If reading, split or a name is unknown.
    """
    converts = True

    def __init__(self, root: Path, *, split: str, reading: str, out: Path, size: tuple[int, int] | None = None) -> None:
        colour_table(reading)
        if split not in SPLITS:
            raise ValueError(f'got split={split!r}; expected one of {", ".join(SPLITS)}')
        for folder in (IMAGES, LABELS):
            if not (root / folder).is_dir():
                raise DatasetLayoutError(f'CamVid32: the folder {root / folder} does not exist.\nExpected layout:\n'
                                         f'{LAYOUT.rstrip()}')
        self.root, self.split, self.reading, self.size = root, split, reading, size
        self.out: Path = out
        self.class_set = get_class_set('camvid11')

    def pairs(self) -> list[Pair]:
        """See :class:`~udatools.datasets.preparation.PairSource`."""
        images = {path.stem: path for path in sorted((self.root / IMAGES).iterdir())
                  if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != '.'}
        listing = self.root / f'{self.split}.txt'
        if listing.exists():
            stems = [line.split()[0] for line in listing.read_text(encoding='utf-8').splitlines() if line.strip()]
            stems = [stem.removesuffix(Path(stem).suffix) if stem not in images else stem for stem in stems]
            if missing := [stem for stem in stems if stem not in images]:
                raise DatasetLayoutError(f'{listing} names {len(missing)} images that are not in {self.root / IMAGES}: '
                                         f'{", ".join(missing[:5])}')
        else:
            strange = [stem for stem in images if split_of(stem) is None]
            if strange:
                raise ValueError(f'{self.root / IMAGES} holds {len(strange)} images whose split is not known, such as '
                                 f'{strange[0]}; name the images of each split in {listing.name}')
            stems = [stem for stem in images if split_of(stem) == self.split]
        if not stems:
            raise DatasetLayoutError(f'{self.root / IMAGES} holds no image of split {self.split}.\nExpected layout:\n'
                                     f'{LAYOUT.rstrip()}')
        return [Pair(stem, str(images[stem]), str(self.root / LABELS / f'{stem}_L.png')) for stem in sorted(set(stems))]

    def read_label(self, pair: Pair) -> np.ndarray:
        """See :class:`~udatools.datasets.preparation.PairSource`."""
        assert pair.label is not None
        picture = read_image(pair.label)
        try:
            return decode_colours(picture, self.reading)
        except ValueError as error:
            raise ValueError(f'{pair.label}: {error}') from None

    def settings(self) -> dict[str, Any]:
        """See :class:`~udatools.datasets.preparation.PairSource`."""
        codes, train_ids = colour_table(self.reading)
        return dict(type='CamVid32', split=self.split, reading=self.reading, size=self.size,
                    table=dict(zip(map(str, codes.tolist()), train_ids.tolist())))

    def describe(self) -> dict[str, Any]:
        """See :class:`~udatools.datasets.preparation.PairSource`."""
        try:
            converted = CamVidDomain(self.out, split=self.split, classes='camvid11', labelled=False)
        except (OSError, ValueError):  # not one good pair
            return dict(type='CamVidDomain', split=self.split, fingerprint=None, reading=self.reading)
        return dict(type='CamVidDomain', split=self.split, fingerprint=converted.fingerprint(), reading=self.reading)

    def _files(self, pair: Pair) -> tuple[Path, Path]:
        suffix = '.png' if self.size else Path(pair.image).suffix
        return self.out / self.split / f'{pair.key}{suffix}', self.out / f'{self.split}annot' / f'{pair.key}.png'

    def begin(self) -> None:
        """Notes the reading in ``conversion.json``, or refuses a folder that holds another one."""
        path = self.out / 'conversion.json'
        wanted = dict(schema_version=1, source='CamVid, 32 colours', reading=self.reading,
                      size=list(self.size) if self.size else None, mapping=load_tables()['readings'][self.reading])
        if not path.exists():
            write_json_atomic(path, wanted)
        elif (found := read_json_object(path)) != wanted:
            raise ValueError(f'{self.out} holds a conversion with reading {found.get("reading")!r} and size '
                             f'{found.get("size")}, now {self.reading!r} and {wanted["size"]} are asked for; choose another '
                             '--out')

    def convert(self, pair: Pair, image: np.ndarray, label: np.ndarray) -> np.ndarray:
        """See :class:`~udatools.datasets.preparation.PairSource`."""
        image_file, label_file = self._files(pair)
        label = np.where(label == IGNORE, UNLABELLED, label).astype(np.uint8)
        if self.size is None:
            write_bytes_atomic(image_file, Path(pair.image).read_bytes())
        else:
            smaller = self.size[0] < image.shape[1]
            method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            write_png_atomic(image_file, cv2.resize(image, self.size, interpolation=method))
            label = resize_label(label, self.size[::-1])  # nothing is 255 here, so plain nearest neighbour
        write_png_atomic(label_file, label)
        return np.where(label == UNLABELLED, IGNORE, label).astype(np.uint8)

    def converted(self, pair: Pair) -> bool:
        """See :class:`~udatools.datasets.preparation.PairSource`."""
        return all(path.exists() for path in self._files(pair))
