# SPDX-License-Identifier: Apache-2.0
"""VIPER ("Playing for Benchmarks", ICCV 2017): 254,064 frames of synthetic video at 1920x1080, all with labels.

Labels are read from the class-id PNGs, never from the colour version, in which van and train share a colour. The paper on
video domain adaptation trains on the 42,455 frames of the condition "day" and does not list them; so a list is taken from
a file of the user's (``conditions``).
"""
from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.taxonomies import IGNORE
from udatools.datasets.transforms.load_label import map_raw_label, read_raw_label
from udatools.registry import DATASETS

CAR = 24
_FRAME = re.compile(r'(.+)_(\d+)')


def find_ego_vehicle(car_hw: np.ndarray) -> np.ndarray:
    """Finds the bonnet of the camera's own vehicle: car pixels connected to the bottom centre of the image.

    Args:
        car_hw (np.ndarray): bool, (H, W), pixels labelled as car.

    Returns:
        np.ndarray: bool, (H, W), the 8-connected components with a pixel in the middle third of the last row. A car in
            front that the bonnet touches is part of the component and goes with it.
    """
    width = car_hw.shape[1]
    _, component = cv2.connectedComponents(car_hw.astype(np.uint8), connectivity=8)
    touching = np.unique(component[-1, width // 3:max(width // 3 + 1, 2 * width // 3)])
    return np.isin(component, touching[touching > 0])


def read_without_ego_vehicle(path: str, lut: np.ndarray) -> np.ndarray:
    """Reads a class-id PNG as train ids, uint8 (H, W), with the own vehicle ignored (255)."""
    raw = read_raw_label(path)
    label = map_raw_label(raw, lut, path)
    label[find_ego_vehicle(raw == CAR)] = IGNORE
    return label


@DATASETS.register_module()
class VIPERDomain(DomainDataset):
    """VIPER in its native layout; other arguments as :class:`DomainDataset`. Splits: train, val, test (unlabelled).

    Args:
        data_root (str | PathLike): Root folder of the data set.
        conditions (str, optional): Keep the sequences that ``<data_root>/<split>_<conditions>.txt`` names, one a line
            (``001``; a line that starts with # is a comment). The paper's subset is ``day``. Default: None, all.
        ego_vehicle (str): ``keep``, or ``ignore`` to set the bonnet of the camera's own vehicle, labelled car in VIPER, to
            255 (:func:`find_ego_vehicle`). Default: ``keep``.
        sparse_labels (bool): Leave out frames that have no label file, instead of raising: labels of every tenth frame are
            a download of their own. A label without an image is an error then. Only matters with ``labelled=True``.
            Default: False.
        **kwargs: As :class:`DomainDataset`.

    Raises:
        ValueError: If ``ego_vehicle`` is neither.
        DatasetLayoutError: As :class:`DomainDataset`, or the list file is missing or names sequences that do not exist.
    """

    TAXONOMY = 'viper'
    LAYOUT = """
<data_root>/
  <split>/img/001/001_00001.jpg ...   (or .png)
  <split>/cls/001/001_00001.png ...   (one channel of class ids 0..31, not the colour version)
  <split>_<conditions>.txt            (for conditions='...': one sequence a line)
"""

    def __init__(self,
                 data_root: str | os.PathLike[str],
                 *,
                 conditions: str | None = None,
                 ego_vehicle: str = 'keep',
                 sparse_labels: bool = False,
                 **kwargs: Any) -> None:
        if ego_vehicle not in ('keep', 'ignore'):
            raise ValueError(f'VIPERDomain got ego_vehicle={ego_vehicle!r}; expected "keep" or "ignore"')
        self.conditions = conditions
        self.ego_vehicle = ego_vehicle
        self.sparse_labels = sparse_labels
        super().__init__(data_root, **kwargs)

    def image_root(self) -> Path:
        """Returns ``<data_root>/<split>/img``."""
        return Path(self.data_root) / self.split / 'img'

    def label_file(self, key: str) -> Path:
        """Returns ``<data_root>/<split>/cls/<key>.png``."""
        return Path(self.data_root) / self.split / 'cls' / f'{key}.png'

    def clip_of(self, key: str) -> tuple[str, int]:
        """Returns the sequence and the frame number: ``001/001_00012`` is frame 12 of ``001``."""
        match = _FRAME.fullmatch(Path(key).name)
        if match is None:
            raise ValueError(f'VIPERDomain: the name of {key} has no frame number; expected <sequence>_<frame>, such as '
                             '001_00012')
        return match.group(1), int(match.group(2))

    def list_images(self) -> Iterable[Path]:
        """Lists the images of the conditions, and with ``sparse_labels`` those that have a label."""
        root = self.image_root()
        images = self.scan_images(root)
        if self.conditions is not None:
            wanted = self._sequences(root)
            images = [path for path in images if path.parent.name in wanted]
        if not (self.labelled and self.sparse_labels):
            return images
        with_label = [path for path in images if self.label_file(path.relative_to(root).with_suffix('').as_posix()).exists()]
        if not with_label:
            raise self.layout_error(f'none of the {len(images)} images has a label file')
        self.check_images_of_labels(images)
        return with_label

    def labels_without_image(self, keys: Iterable[str]) -> list[Path]:
        """See the base class; of the sequences that have images."""
        return self.labels_beside(keys)

    def _sequences(self, root: Path) -> set[str]:
        listing = Path(self.data_root) / f'{self.split}_{self.conditions}.txt'
        try:
            lines = [line.strip() for line in listing.read_text(encoding='utf-8').splitlines()]
        except FileNotFoundError:
            raise self.layout_error(
                f'conditions={self.conditions!r} needs the list {listing}, which does not exist. Write the sequences of '
                f'that condition into it, one a line (001, 002, ...): the release says the condition of each sequence; the '
                'paper has 42,455 training frames of "day" and does not list them. Or set conditions=None') from None
        names = {line for line in lines if line and not line.startswith('#')}
        missing = sorted(name for name in names if not (root / name).is_dir())
        if missing or not names:
            raise self.layout_error(f'{listing} names {len(names)} sequences, {len(missing)} of them not in {root}'
                                    f'{": " + ", ".join(missing[:5]) if missing else ""}')
        return names

    def label_reader(self, label_path: str) -> Callable[[str], np.ndarray] | None:
        """Returns the reader that ignores the own vehicle, if it is to be."""
        if self.ego_vehicle == 'keep':
            return None
        return partial(read_without_ego_vehicle, lut=self.label_lut(label_path))

    def label_settings(self) -> dict[str, Any]:
        """Returns what is done with the own vehicle."""
        return {'ego_vehicle': self.ego_vehicle}
