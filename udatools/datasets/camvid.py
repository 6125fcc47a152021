# SPDX-License-Identifier: Apache-2.0
"""CamVid (2008) in the SegNet release: 367 / 101 / 233 real frames at 480x360 with 11 classes, 11 = unlabelled.

The 32-class original needs a conversion first; two readings of it circulate, so the converter must say which one.
The validation split is one continuous clip.
"""
from __future__ import annotations

from pathlib import Path

from udatools.datasets.domain_dataset import DomainDataset
from udatools.registry import DATASETS


@DATASETS.register_module()
class CamVidDomain(DomainDataset):
    """CamVid in the SegNet layout; arguments as :class:`DomainDataset`. Splits: train, val, test."""

    TAXONOMY = 'camvid'
    LAYOUT = """
<data_root>/
  <split>/0001TP_006690.png ...      (or .jpg)
  <split>annot/0001TP_006690.png ... (class ids 0..10, 11 = unlabelled)
"""

    def image_root(self) -> Path:
        """Returns ``<data_root>/<split>``."""
        return Path(self.data_root) / self.split

    def label_file(self, key: str) -> Path:
        """Returns ``<data_root>/<split>annot/<key>.png``."""
        return Path(self.data_root) / f'{self.split}annot' / f'{key}.png'
