# SPDX-License-Identifier: Apache-2.0
"""Where pseudo-labels lie: label and confidence PNGs, thresholds, coverage, and the hash of what they came from.

Every file is written atomically and ``done.json`` last: its presence with the right hash means that all files are
there and come from these inputs, so that a rerun skips them; anything else is redone.
"""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udatools.utils.atomic import write_json_atomic, write_png_atomic


class PseudoLabelStore:
    """Files of one generation.

    Args:
        out_dir (str | Path): folder; ``labels/<key>.png``, ``confidence/<key>.png``, ``thresholds.json``,
            ``coverage.json``, ``done.json`` are made in it, and ``split.json`` where images are ranked.
    """

    def __init__(self, out_dir: str | Path) -> None:
        self.out_dir = Path(out_dir)
        self.label_dir = self.out_dir / 'labels'
        self.confidence_dir = self.out_dir / 'confidence'
        self._done = self.out_dir / 'done.json'
        self._split = self.out_dir / 'split.json'

    def is_done(self, input_hash: str, keys: Sequence[str], *, with_split: bool = False) -> bool:
        """Whether a complete generation from exactly these inputs lies here.

        Args:
            input_hash (str): hash of everything that the labels depend on.
            keys (Sequence[str]): images that must have a label and a confidence file.
            with_split (bool): whether the images must be split into easy and hard ones as well.
        """
        try:
            done = json.loads(self._done.read_text(encoding='utf-8'))
        except (OSError, ValueError):
            return False
        if not isinstance(done, dict) or done.get('input_hash') != input_hash:
            return False
        if with_split and not self._split.is_file():
            return False
        return all(
            (folder / f'{key}.png').is_file() for key in keys for folder in (self.label_dir, self.confidence_dir))

    def begin(self) -> None:
        """Withdraw ``done.json``: from here on the folder is half-done until :meth:`finish`."""
        self._done.unlink(missing_ok=True)

    def write(self, key: str, label: np.ndarray, confidence: np.ndarray) -> None:
        """Write one image.

        Args:
            key (str): identity of the image.
            label (np.ndarray): uint8, (H, W), train id or 255.
            confidence (np.ndarray): float16, (H, W), in [0, 1]; stored as ``round(255 * p)``.
        """
        write_png_atomic(self.label_dir / f'{key}.png', label)
        write_png_atomic(self.confidence_dir / f'{key}.png',
                         np.rint(confidence.astype(np.float32) * 255.0).astype(np.uint8))

    def finish(self, input_hash: str, thresholds: dict[str, Any], coverage: dict[str, Any],
               split: dict[str, Any] | None = None) -> None:
        """Write the summaries, then ``done.json``."""
        if split is not None:
            write_json_atomic(self._split, split)
        write_json_atomic(self.out_dir / 'thresholds.json', thresholds)
        write_json_atomic(self.out_dir / 'coverage.json', coverage)
        write_json_atomic(self._done, dict(schema_version=1, input_hash=input_hash))

    def read_label(self, key: str) -> np.ndarray:
        """Label of one image: uint8, (H, W).

        Raises:
            FileNotFoundError: if the file is missing or no image.
        """
        path = self.label_dir / f'{key}.png'
        label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if label is None:
            raise FileNotFoundError(f'{path} is missing or no image; generate the pseudo-labels again')
        return label

    def read_split(self) -> dict[str, Any]:
        """What :meth:`finish` was given as split."""
        return json.loads(self._split.read_text(encoding='utf-8'))

    def read_coverage(self) -> dict[str, Any]:
        """What :meth:`finish` was given as coverage."""
        return json.loads((self.out_dir / 'coverage.json').read_text(encoding='utf-8'))
