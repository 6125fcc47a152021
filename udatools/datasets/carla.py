# SPDX-License-Identifier: Apache-2.0
"""Frames rendered by the CARLA 0.9.11 simulator with its raw semantic tags 0..22, split by sequence.

Images are numbered in the order of time; where more than five numbers are missing, another drive begins.

The judgement calls of the label maps (walls are buildings in CamVid's classes, terrain is vegetation) are data, noted
in ``taxonomies/carla.json``.
"""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from udatools.datasets.domain_dataset import DomainDataset
from udatools.registry import DATASETS


@DATASETS.register_module()
class CARLADomain(DomainDataset):
    """CARLA frames; arguments as :class:`DomainDataset`. ``split`` names a list file; ``all`` is every image."""

    TAXONOMY = 'carla'
    LAYOUT = """
<data_root>/
  images/000026.jpg ...   (or .png)
  labels/000026.png ...   (raw tags 0..22)
  train.txt, val.txt      (one stem a line)
"""

    LARGEST_STEP = 5  # between two frames of a drive
    _drives: list[int] | None = None

    def image_root(self) -> Path:
        """Returns ``<data_root>/images``."""
        return Path(self.data_root) / 'images'

    def label_file(self, key: str) -> Path:
        """Returns ``<data_root>/labels/<key>.png``."""
        return Path(self.data_root) / 'labels' / f'{key}.png'

    def list_images(self) -> Iterable[Path]:
        """Lists the images that ``<split>.txt`` names."""
        if self.split == 'all':
            return self.scan_images(self.image_root())
        return self.read_split_file(Path(self.data_root) / f'{self.split}.txt', self.image_root())

    def clip_of(self, key: str) -> tuple[str, int]:
        """Returns the drive, named after its first frame in the split, and the number of the image.

        Raises:
            NotImplementedError: If images have other names than numbers; they can be used, but stand on their own.
        """
        if not key.isdecimal():
            raise NotImplementedError(f'CARLADomain: {key} is no number, which would say the clip; expected names such as 000026')
        if self._drives is None:
            numbers = sorted(int(path.stem) for path in self.list_images() if path.stem.isdecimal())
            self._drives = numbers[:1] + [after for before, after in pairwise(numbers) if after - before > self.LARGEST_STEP]
        return f'{self._drives[bisect_right(self._drives, int(key)) - 1]:06d}', int(key)
