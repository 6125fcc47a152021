# SPDX-License-Identifier: Apache-2.0
"""Checking pairs of image and label, one at a time: can both be read, do their sizes agree, are all label ids known.

A bad pair is a record with its problems, never an exception and never a deleted file. The judgement is that of training:
the same readers and look-up tables are used, so what passes here loads there.
"""
from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from udatools.datasets.domain_dataset import DomainDataset
from udatools.datasets.taxonomies import ClassSet
from udatools.utils.png import read_image, read_png

IMAGE, MISSING, UNREADABLE, IDS, SIZE = 'image', 'label missing', 'label unreadable', 'label ids', 'sizes differ'


@dataclass(frozen=True)
class Pair:
    """An image and its label, which need not exist.

    Attributes:
        key (str): The image's key.
        image (str): Image file.
        label (str | None): Label file; None where only images are checked.
    """
    key: str
    image: str
    label: str | None = None

    def stamp(self) -> list[list[int] | None]:
        """Size in bytes and time of change of both files, None for one that is missing: has anything changed since?"""
        return [_file_stamp(path) for path in (self.image, self.label)]


def _file_stamp(path: str | None) -> list[int] | None:
    try:
        status = os.stat(path) if path is not None else None
    except OSError:
        return None
    return None if status is None else [status.st_size, status.st_mtime_ns]


@dataclass
class PairRecord:
    """What was found out about a pair.

    Attributes:
        key (str): The image's key.
        size (tuple[int, int] | None): Width and height of the image, None if it cannot be read.
        counts (dict[int, int]): Train id -> pixels of the label, 255 = ignored; empty without a good label.
        problems (list[tuple[str, str]]): Kind and text; empty for a good pair.
    """
    key: str
    size: tuple[int, int] | None = None
    counts: dict[int, int] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return dict(key=self.key, size=self.size, counts=self.counts, problems=self.problems)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> PairRecord:
        """The inverse of :meth:`to_json`.

        Raises:
            KeyError, TypeError, ValueError: If the object is no record.
        """
        return cls(str(entry['key']), tuple(entry['size']) if entry['size'] else None,
                   {int(train_id): int(pixels) for train_id, pixels in entry['counts'].items()},
                   [(str(kind), str(text)) for kind, text in entry['problems']])


class PairSource:
    """Where pairs come from, how their labels are read, and whether they are converted.

    Attributes:
        root (Path): Texts of problems name files relative to it.
        class_set (ClassSet): What labels are read as.
        out (Path | None): Where a conversion goes.
        converts (bool): Whether :meth:`convert` writes something, so that a bad pair leaves a gap.
    """
    root: Path
    class_set: ClassSet
    out: Path | None = None
    converts = False

    def pairs(self) -> list[Pair]:
        """All pairs in key order."""
        raise NotImplementedError

    def read_label(self, pair: Pair) -> np.ndarray:
        """The label as train ids, uint8 (H, W), 255 = ignore; a ``ValueError`` or ``FileNotFoundError`` names the file."""
        raise NotImplementedError

    def labels_without_image(self) -> list[Path]:
        """Label files that belong to no image."""
        return []

    def gaps(self) -> str | None:
        """Says where frames of clips are missing."""
        return None

    def settings(self) -> dict[str, Any]:
        """JSON-able: everything that the records depend on, apart from the files."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """``type``, ``split`` and ``fingerprint`` of the data set that training builds of it, after any conversion."""
        raise NotImplementedError

    def begin(self) -> None:
        """Called once before anything is converted; a ``ValueError`` says why it cannot be."""

    def convert(self, pair: Pair, image: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Writes the converted pair; returns its label as train ids."""
        return label

    def converted(self, pair: Pair) -> bool:
        """Whether the converted pair is there."""
        return True


class DomainPairs(PairSource):
    """The pairs of a data set in its native layout, which is read as it is.

    Args:
        kind (type[DomainDataset]): The data set's class.
        root (Path): Its root folder.
        images_only (bool): Do not look at labels. Default: False.
        **kwargs: As for ``kind``: ``split``, ``classes``, ``label_map``, ...

    Raises:
        DatasetLayoutError, ValueError, KeyError: As ``kind``; labels that are missing are no error, :func:`verify_pair`
            reports them.
    """

    def __init__(self, kind: type[DomainDataset], root: Path, *, images_only: bool = False, **kwargs: Any) -> None:
        self.root = root
        without_labels = {name: value for name, value in kwargs.items() if name not in ('label_root', 'label_map')}
        self.images = kind(root, labelled=False, **without_labels)
        # Never listed: that would stop at the first missing label. It says where a label is, and what its ids mean.
        self.labels = None if images_only else kind(root, labelled=True, lazy_init=True, **kwargs)
        self.class_set = self.images.class_set

    def pairs(self) -> list[Pair]:
        """See :class:`PairSource`."""
        pairs = [Pair(key, self.images.image_path(key), self._label(key)) for key in self.images.keys]
        if self.labels is not None and all(pair.label is None for pair in pairs):
            raise self.labels.layout_error(f'none of {len(pairs)} images has a label file')
        return pairs

    def _label(self, key: str) -> str | None:
        """The label file; where labels are sparse by design None for an image without one, which is no problem then."""
        if self.labels is None:
            return None
        path = self.labels.label_file(key)
        return None if self.labels.sparse_labels and not path.exists() else str(path)

    def read_label(self, pair: Pair) -> np.ndarray:
        """See :class:`PairSource`."""
        assert self.labels is not None and pair.label is not None
        return self.labels.read_label(pair.label)

    def labels_without_image(self) -> list[Path]:
        """See :class:`PairSource`."""
        return [] if self.labels is None else self.labels.labels_without_image(self.images.keys)

    def gaps(self) -> str | None:
        """See :class:`PairSource`."""
        return self.images.gaps()

    def settings(self) -> dict[str, Any]:
        """See :class:`PairSource`."""
        luts = set() if self.labels is None else {
            hashlib.sha256(self.labels.label_lut(pair.label).tobytes()).hexdigest()
            for pair in self.pairs() if pair.label is not None
        }
        more = {} if self.labels is None else self.labels.label_settings()
        return dict(type=type(self.images).__name__, split=self.images.split, classes=list(self.class_set.classes),
                    luts=sorted(luts)) | more

    def describe(self) -> dict[str, Any]:
        """See :class:`PairSource`."""
        return dict(type=type(self.images).__name__, split=self.images.split, fingerprint=self.images.fingerprint())


def verify_pair(pair: Pair, source: PairSource, *, convert: bool = False) -> PairRecord:
    """Checks a pair and counts its classes.

    Args:
        pair (Pair): The files.
        source (PairSource): Reads labels; paths in texts are relative to its root.
        convert (bool): Write the converted pair too, if it is good. Default: False.

    Returns:
        PairRecord: With all problems that were found.

    Raises:
        OSError: If a converted file cannot be written.
    """
    record = PairRecord(pair.key)

    def problem(kind: str, error: object) -> None:
        record.problems.append((kind, str(error).replace(f'{source.root}{os.sep}', '')))

    image = label = None
    try:
        image = read_image(pair.image)
        record.size = (image.shape[1], image.shape[0])
    except (OSError, ValueError) as error:
        problem(IMAGE, error)
    if pair.label is None:
        return record
    try:
        label = source.read_label(pair)
    except FileNotFoundError as error:
        problem(MISSING, error)
    except (OSError, ValueError) as error:
        problem(IDS if _readable(pair.label) else UNREADABLE, error)
    if image is not None and label is not None and image.shape[:2] != label.shape:
        problem(SIZE, f'the image is {image.shape[1]}x{image.shape[0]}, its label {label.shape[1]}x{label.shape[0]} '
                '(width x height)')
    if record.good and image is not None and label is not None:
        if convert:
            label = source.convert(pair, image, label)
        pixels = np.bincount(label.ravel(), minlength=256)
        record.counts = {int(train_id): int(pixels[train_id]) for train_id in np.flatnonzero(pixels)}
    return record


def _readable(path: str) -> bool:
    try:
        read_png(path)
    except (OSError, ValueError):
        return False
    return True


def summarise_records(records: Iterable[PairRecord]) -> dict[str, Any]:
    """What a report says.

    Args:
        records (Iterable[PairRecord]): Of all pairs, in any order.

    Returns:
        dict: ``images``, ``good``, ``unlabelled`` (good pairs without a single labelled pixel), ``sizes`` (``"480x360"``
            -> images), ``problems`` (kind -> pairs) and ``bad`` (key, kind and text of every problem), in key order.
    """
    records = sorted(records, key=lambda record: record.key)
    sizes = Counter(f'{record.size[0]}x{record.size[1]}' for record in records if record.size)
    bad = [dict(key=record.key, problem=kind, text=text) for record in records for kind, text in record.problems]
    return dict(
        images=len(records), good=sum(record.good for record in records),
        unlabelled=sum(record.good and set(record.counts) == {255} for record in records),
        sizes=dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        problems=dict(sorted(Counter(entry['problem'] for entry in bad).items())), bad=bad)
