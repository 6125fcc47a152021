# SPDX-License-Identifier: Apache-2.0
"""Frames rendered by the CARLA 0.9.11 simulator with its raw semantic tags 0..22, split by sequence.

The judgement calls of the label maps (walls are buildings in CamVid's classes, terrain is vegetation) are data, noted
in ``taxonomies/carla.json``.
"""
from __future__ import annotations

from collections.abc import Iterable
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
