# SPDX-License-Identifier: Apache-2.0
"""GTA5 ("Playing for Data", ECCV 2016): 24,966 synthetic street scenes, palette label PNGs with Cityscapes label ids.

A few pairs of the release differ in the size of image and label. They are reported by name when they are read, never
deleted; ``LoadDomainLabel(size_mismatch='resize')`` trains on them anyway, as the published code bases do.
"""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from udatools.datasets.domain_dataset import DomainDataset
from udatools.registry import DATASETS


@DATASETS.register_module()
class GTA5Domain(DomainDataset):
    """GTA5 in its native layout; arguments as :class:`DomainDataset`.

    The release defines no split file that papers use: all images train. So ``split='train'`` is every image unless
    ``<data_root>/train.txt`` exists (one stem a line); any other split needs its file; ``split='all'`` is every image.
    """

    TAXONOMY = 'gta5'
    LAYOUT = """
<data_root>/
  images/00001.png ...
  labels/00001.png ...   (uint8 label ids or palette PNG, same names)
  train.txt, val.txt     (optional: one stem a line)
"""

    def image_root(self) -> Path:
        """Returns ``<data_root>/images``."""
        return Path(self.data_root) / 'images'

    def label_file(self, key: str) -> Path:
        """Returns ``<data_root>/labels/<key>.png``."""
        return Path(self.data_root) / 'labels' / f'{key}.png'

    def list_images(self) -> Iterable[Path]:
        """Lists the images of the split file if there is one."""
        listing = Path(self.data_root) / f'{self.split}.txt'
        if self.split == 'all' or (self.split == 'train' and not listing.exists()):
            return self.scan_images(self.image_root())
        return self.read_split_file(listing, self.image_root())
