# SPDX-License-Identifier: Apache-2.0
"""SYNTHIA video sequences (CVPR 2016): drives at 5 frames a second, 1280x760, eight cameras, labels as SYNTHIA's.

Of these DA-VSN (ICCV 2021) and its successors use one drive, ``SYNTHIA-SEQS-04-DAWN`` (850 frames), seen by the front camera
of the left rig. Their 12 and 11 classes are the class sets ``synthiaseq12`` and ``synthiaseq11``.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from udatools.datasets.domain_dataset import DomainDataset
from udatools.registry import DATASETS


@DATASETS.register_module()
class SYNTHIASeqDomain(DomainDataset):
    """SYNTHIA-Seq in its native layout; other arguments as :class:`DomainDataset`.

    ``split='train'`` is every drive below the root unless ``<data_root>/train.txt`` names them, one a line; any other split
    needs its file; ``split='all'`` is every drive.

    Args:
        data_root (str | PathLike): Folder that holds the folders of drives.
        cameras (Sequence[str]): Cameras, each ``<rig>/<camera>``; every one gives clips of its own.
            Default: ``('Stereo_Left/Omni_F', )``.
        **kwargs: As :class:`DomainDataset`.

    Raises:
        DatasetLayoutError: As :class:`DomainDataset`, or a drive or a camera of it is missing.
    """

    TAXONOMY = 'synthia_seq'
    LABEL_CHANNEL = -1
    LAYOUT = """
<data_root>/
  SYNTHIA-SEQS-04-DAWN/RGB/Stereo_Left/Omni_F/000000.png ...
  SYNTHIA-SEQS-04-DAWN/GT/LABELS/Stereo_Left/Omni_F/000000.png ...   (16-bit PNG, class id in the last channel)
  train.txt, val.txt                                                (optional: one drive a line)
"""

    def __init__(self,
                 data_root: str | os.PathLike[str],
                 *,
                 cameras: Sequence[str] = ('Stereo_Left/Omni_F', ),
                 **kwargs: Any) -> None:
        if isinstance(cameras, str) or not cameras:
            raise ValueError(f'SYNTHIASeqDomain got cameras={cameras!r}; expected a list such as ["Stereo_Left/Omni_F"]')
        self.cameras = tuple(camera.strip('/') for camera in cameras)
        super().__init__(data_root, **kwargs)

    def image_root(self) -> Path:
        """Returns ``data_root``: keys start with the drive."""
        return Path(self.data_root)

    def label_file(self, key: str) -> Path:
        """Returns the file below ``GT/LABELS`` instead of ``RGB``."""
        drive, _, rest = key.partition('/RGB/')
        return Path(self.data_root) / drive / 'GT' / 'LABELS' / f'{rest}.png'

    def labels_without_image(self, keys: Iterable[str]) -> list[Path]:
        """See the base class."""
        return self.labels_beside(keys)

    def clip_of(self, key: str) -> tuple[str, int]:
        """Returns drive and camera, and the frame: ``('SYNTHIA-SEQS-04-DAWN/Stereo_Left/Omni_F', 12)``."""
        drive, _, rest = key.partition('/RGB/')
        camera, _, number = rest.rpartition('/')
        if not camera or not number.isdigit():
            raise ValueError(f'SYNTHIASeqDomain: {key} is no frame of SYNTHIA-Seq; expected '
                             '<drive>/RGB/<rig>/<camera>/<number>')
        return f'{drive}/{camera}', int(number)

    def list_images(self) -> Iterable[Path]:
        """Lists the images of the cameras in the drives of the split."""
        root = Path(self.data_root)
        images = []
        for drive in self._drives(root):
            for camera in self.cameras:
                images += self.scan_images(root / drive / 'RGB' / camera)
        return images

    def _drives(self, root: Path) -> list[str]:
        listing = root / f'{self.split}.txt'
        if self.split != 'all' and listing.exists():
            return [line.strip() for line in listing.read_text(encoding='utf-8').splitlines() if line.strip()]
        if self.split not in ('all', 'train'):
            raise self.layout_error(f'the split file {listing} does not exist')
        drives = sorted(path.name for path in root.iterdir() if (path / 'RGB').is_dir())
        if not drives:
            hint = '; it looks like one drive: give the folder above it' if (root / 'RGB').is_dir() else ''
            raise self.layout_error(f'{root} holds no folder with RGB in it{hint}')
        return drives
