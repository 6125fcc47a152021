# SPDX-License-Identifier: Apache-2.0
"""Cityscapes (CVPR 2016): real streets, 2975 training and 500 validation images with fine annotations.

The raw ``*_labelIds.png`` files of the download are read directly, so no conversion step is needed; where only
``*_labelTrainIds.png`` exists (made by the official scripts), that is read. ``leftImg8bit_sequence`` is the same as video:
snippets of 30 frames at 17 frames a second, the 20th of each is the annotated image.
"""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.taxonomies import get_label_lut
from udatools.registry import DATASETS

SNIPPET = 30  # frames
_IMAGE_TAIL = '_leftImg8bit'


@DATASETS.register_module()
class CityscapesDomain(DomainDataset):
    """Cityscapes in its native layout; arguments as :class:`DomainDataset`. Splits: train, val, test (unlabelled)."""

    TAXONOMY = 'cityscapes'
    LAYOUT = """
<data_root>/
  leftImg8bit/<split>/<city>/<city>_000000_000019_leftImg8bit.png
  gtFine/<split>/<city>/<city>_000000_000019_gtFine_labelIds.png   (or _gtFine_labelTrainIds.png)
"""

    def image_root(self) -> Path:
        """Returns ``<data_root>/leftImg8bit/<split>``."""
        return Path(self.data_root) / 'leftImg8bit' / self.split

    def list_images(self) -> Iterable[Path]:
        """Lists the files whose name ends with ``_leftImg8bit``."""
        return [path for path in self.scan_images(self.image_root()) if path.stem.endswith(_IMAGE_TAIL)]

    def label_file(self, key: str) -> Path:
        """Returns the ``labelIds`` file, or ``labelTrainIds`` if only that exists."""
        stem = Path(self.data_root) / 'gtFine' / self.split / key.removesuffix(_IMAGE_TAIL)
        raw, converted = (stem.parent / f'{stem.name}_gtFine_{kind}.png' for kind in ('labelIds', 'labelTrainIds'))
        return converted if not raw.exists() and converted.exists() else raw

    def label_lut(self, label_path: str) -> np.ndarray:
        """Returns the table for raw ids or, by file name, for train ids."""
        taxonomy = 'cityscapes_trainids' if label_path.endswith('_labelTrainIds.png') else self.TAXONOMY
        return get_label_lut(taxonomy, self.class_set, self.own_label_map)


@DATASETS.register_module()
class CityscapesSequenceDomain(CityscapesDomain):
    """Cityscapes as video; arguments as :class:`DomainDataset`. Splits: train, val, test (unlabelled).

    With ``labelled=True`` it is the annotated frame of each snippet, with ``labelled=False`` all frames.
    """

    LAYOUT = """
<data_root>/
  leftImg8bit_sequence/<split>/<city>/<city>_000000_000000_leftImg8bit.png ... (30 frames a snippet)
  gtFine/<split>/<city>/<city>_000000_000019_gtFine_labelIds.png               (or _gtFine_labelTrainIds.png)
"""
    sparse_labels = True
    _snippets: dict[str, list[int]] | None = None

    def image_root(self) -> Path:
        """Returns ``<data_root>/leftImg8bit_sequence/<split>``."""
        return Path(self.data_root) / 'leftImg8bit_sequence' / self.split

    def list_images(self) -> Iterable[Path]:
        """Lists the frames; of a labelled set those that have a label."""
        images = list(super().list_images())
        self._snippets = _find_snippets(path.stem for path in images)
        if not self.labelled:
            return images
        root = self.image_root()
        with_label = [path for path in images if self.label_file(path.relative_to(root).with_suffix('').as_posix()).exists()]
        if images and not with_label:
            raise self.layout_error(f'none of the {len(images)} frames has a label file')
        self.check_images_of_labels(images)
        return with_label

    def labels_without_image(self, keys: Iterable[str]) -> list[Path]:
        """See the base class; labels of cities without a folder of images are not looked at."""
        keys, root = set(keys), Path(self.data_root) / 'gtFine' / self.split
        labels: dict[str, Path] = {}
        for city in {Path(key).parent for key in keys}:
            for path in sorted((root / city).glob('*_gtFine_label*Ids.png')):
                labels.setdefault((city / path.name.partition('_gtFine_')[0]).as_posix() + _IMAGE_TAIL, path)
        return sorted(path for key, path in labels.items() if key not in keys)

    def clip_of(self, key: str) -> tuple[str, int]:
        """Returns the snippet, named after its first frame, and the frame number of Cityscapes.

        Some cities number the frames of a whole drive, of which the snippets are parts: a gap in the numbers ends a snippet,
        but for a missing frame among its 30.
        """
        if self._snippets is None:
            list(self.list_images())
        assert self._snippets is not None
        drive, frame = _drive_and_frame(Path(key).name)
        starts = self._snippets[drive]
        return f'{drive}_{starts[bisect_right(starts, frame) - 1]:06d}', frame


def _drive_and_frame(name: str) -> tuple[str, int]:
    """``aachen_000000_000019_leftImg8bit`` -> ('aachen_000000', 19)."""
    drive, _, number = name.removesuffix(_IMAGE_TAIL).rpartition('_')
    if not drive or not number.isdigit():
        raise ValueError(f'{name} is no name of Cityscapes; expected <city>_<sequence>_<frame>_leftImg8bit')
    return drive, int(number)


def _find_snippets(names: Iterable[str]) -> dict[str, list[int]]:
    """Drive -> numbers of the first frames of its snippets, ascending."""
    frames: dict[str, list[int]] = {}
    for name in names:
        drive, frame = _drive_and_frame(name)
        frames.setdefault(drive, []).append(frame)
    snippets = {}
    for drive, numbers in frames.items():
        starts: list[int] = []
        for before, number in pairwise([-SNIPPET, *sorted(numbers)]):
            if number - before > 1 and (not starts or number - starts[-1] >= SNIPPET):
                starts.append(number)
        snippets[drive] = starts
    return snippets
