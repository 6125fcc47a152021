# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA-RAND-CITYSCAPES (CVPR 2016): 9,400 synthetic scenes, class id in the last channel of a 16-bit label PNG.

Its 16- and 13-class protocols are class sets here (``synthia16``, ``synthia13``), so source, target and evaluation
cannot disagree about which classes are meant.
"""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from udatools.datasets.domain_dataset import DomainDataset
from udatools.registry import DATASETS


@DATASETS.register_module()
class SYNTHIADomain(DomainDataset):
    """SYNTHIA-RAND-CITYSCAPES in its native layout; arguments as :class:`DomainDataset`.

    ``split='train'`` is every image unless ``<data_root>/train.txt`` exists, as for :class:`GTA5Domain`.
    """

    TAXONOMY = 'synthia'
    LABEL_CHANNEL = -1
    LAYOUT = """
<data_root>/               (the folder RAND_CITYSCAPES of the release)
  RGB/0000000.png ...
  GT/LABELS/0000000.png ...   (16-bit PNG, class id in the last channel)
  train.txt, val.txt          (optional: one stem a line)
"""

    def image_root(self) -> Path:
        """Returns ``<data_root>/RGB``."""
        return Path(self.data_root) / 'RGB'

    def label_file(self, key: str) -> Path:
        """Returns ``<data_root>/GT/LABELS/<key>.png``."""
        return Path(self.data_root) / 'GT' / 'LABELS' / f'{key}.png'

    def list_images(self) -> Iterable[Path]:
        """Lists the images of the split file if there is one."""
        listing = Path(self.data_root) / f'{self.split}.txt'
        if self.split == 'all' or (self.split == 'train' and not listing.exists()):
            return self.scan_images(self.image_root())
        return self.read_split_file(listing, self.image_root())
