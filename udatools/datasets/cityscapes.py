# SPDX-License-Identifier: Apache-2.0
"""Cityscapes (CVPR 2016): real streets, 2975 training and 500 validation images with fine annotations.

The raw ``*_labelIds.png`` files of the download are read directly, so no conversion step is needed; where only
``*_labelTrainIds.png`` exists (made by the official scripts), that is read.
"""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.taxonomies import get_label_lut
from udatools.registry import DATASETS

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
