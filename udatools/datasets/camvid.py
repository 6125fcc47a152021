# SPDX-License-Identifier: Apache-2.0
"""CamVid (2008) in the SegNet release: 367 / 101 / 233 real frames at 480x360 with 11 classes, 11 = unlabelled.

The 32-class original needs a conversion first; two readings of it circulate, so the converter must say which one.
The names are those of the original videos: ``0016E5_07959`` is frame 7959 of sequence 0016E5 at 30 frames a second. The
validation split is one continuous clip, every second frame, so neighbours are 2 apart; training frames are mostly 30 apart.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from udatools.datasets.domain_dataset import DomainDataset
from udatools.registry import DATASETS

_FRAME = re.compile(r'(\w+?)_f?(\d+)')


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

    def labels_without_image(self, keys: Iterable[str]) -> list[Path]:
        """See the base class."""
        return self.labels_beside(keys)

    def clip_of(self, key: str) -> tuple[str, int]:
        """Returns the sequence and the frame number of the original video: ``('0016E5', 7959)``.

        Raises:
            NotImplementedError: If it is no name of CamVid; such images can be used, but stand on their own.
        """
        match = _FRAME.fullmatch(key)
        if match is None:
            raise NotImplementedError(f'CamVidDomain: {key} is no name of CamVid, which would say the clip; expected '
                                      '<sequence>_<frame>, such as 0016E5_07959')
        return match.group(1), int(match.group(2))
