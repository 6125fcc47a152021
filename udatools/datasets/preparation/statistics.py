# SPDX-License-Identifier: Apache-2.0
"""How often each class occurs, image by image, and what rare-class sampling needs of it.

Rare-class sampling is that of DAFormer (Hoyer, Dai, Van Gool, CVPR 2022, Sec. 3.3): draw a class, then an image that has
it. Differences: the share ``f_c`` is over labelled pixels (the paper divides by all pixels; their code as here), and a class
that never occurs has probability zero.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from udatools.utils.atomic import write_text_atomic

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ClassStatistics:
    """Content of a ``class_statistics.json``.

    Attributes:
        dataset (dict): ``type``, ``split`` and ``fingerprint`` of the data set (``DomainDataset.fingerprint``).
        class_set (str): Name of the class set.
        classes (tuple[str, ...]): Its C classes in the order of their train ids.
        images (dict[str, dict[int, int]]): Key -> train id -> pixels; 255 counts what is ignored. Bad pairs are missing.
    """
    dataset: dict[str, Any]
    class_set: str
    classes: tuple[str, ...]
    images: dict[str, dict[int, int]]

    @property
    def pixels(self) -> np.ndarray:
        """np.ndarray: int64, (C,), labelled pixels of each class over all images."""
        total: np.ndarray = np.zeros(len(self.classes), dtype=np.int64)
        for counts in self.images.values():
            for train_id, pixels in counts.items():
                if train_id < len(total):
                    total[train_id] += pixels
        return total

    @property
    def ignored(self) -> int:
        """int: Pixels that no class was given."""
        return sum(counts.get(255, 0) for counts in self.images.values())

    @property
    def image_counts(self) -> np.ndarray:
        """np.ndarray: int64, (C,), images in which each class occurs."""
        return np.array([len(keys) for keys in images_by_class(self.images, len(self.classes))], dtype=np.int64)

    def check(self, dataset: Any) -> None:
        """Checks that these are the statistics of a data set.

        Args:
            dataset (DomainDataset): The data set that is trained on.

        Raises:
            ValueError: If its classes or its images are others.
        """
        classes = tuple(dataset.metainfo['classes'])
        if classes != self.classes:
            raise ValueError(f'the statistics are of the classes {", ".join(self.classes)}, the data set has '
                             f'{", ".join(classes)}; make them again with the --classes of the data set')
        if dataset.fingerprint() != self.dataset['fingerprint']:
            raise ValueError(f'the statistics are of {self.dataset["type"]} split {self.dataset["split"]!r} with '
                             f'{len(self.images)} images, the data set has other images ({len(dataset)} of split '
                             f'{dataset.split!r}); make them again for this split')

    def save(self, path: str | Path) -> None:
        """Writes JSON atomically, an image a line; the same statistics give the same bytes."""
        head = dict(
            schema_version=SCHEMA_VERSION, dataset=self.dataset, class_set=self.class_set, classes=list(self.classes),
            pixels=self.pixels.tolist(), ignored_pixels=self.ignored, image_counts=self.image_counts.tolist())
        lines = [f'{json.dumps(key, ensure_ascii=False)}: {json.dumps(dict(sorted(counts.items())))}'
                 for key, counts in sorted(self.images.items())]
        body = ',\n'.join(lines)
        write_text_atomic(path, f'{json.dumps(head, ensure_ascii=False)[:-1]},\n"images": {{\n{body}\n}}}}\n')

    @classmethod
    def load(cls, path: str | Path) -> ClassStatistics:
        """Reads the file that :meth:`save` wrote.

        Raises:
            FileNotFoundError: If it is missing; says what makes it.
            ValueError: If it is damaged or of another version.
        """
        try:
            content = json.loads(Path(path).read_text(encoding='utf-8'))
            if content['schema_version'] != SCHEMA_VERSION:
                raise ValueError(f'its schema_version is {content["schema_version"]}, expected {SCHEMA_VERSION}')
            images = {key: {int(i): int(n) for i, n in counts.items()} for key, counts in content['images'].items()}
            return cls(content['dataset'], content['class_set'], tuple(content['classes']), images)
        except FileNotFoundError:
            raise FileNotFoundError(f'{path} does not exist; make it with the data set\'s script in '
                                    'tools/dataset_converters') from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f'{path} holds no class statistics ({error}); make it again with the data set\'s script in '
                             'tools/dataset_converters') from error


def rare_class_probabilities(pixels: Sequence[int] | np.ndarray, temperature: float = 0.01,
                             drawable: Sequence[bool] | np.ndarray | None = None) -> np.ndarray:
    """Computes how often rare-class sampling draws each class: ``P(c) = exp((1 - f_c) / T) / sum_k exp((1 - f_k) / T)``.

    ``f_c`` is the share of class c among all labelled pixels; the sum runs over the classes that occur.

    Args:
        pixels (Sequence[int]): Pixels of each class, (C,), >= 0, not all 0.
        temperature (float): T > 0; the smaller, the more the rarest class is preferred. Default: 0.01, as in DAFormer.
        drawable (Sequence[bool], optional): (C,), the classes that the sum runs over; those that do not occur never count. The
            shares are of all pixels in any case. Default: all.

    Returns:
        np.ndarray: float64, (C,), sums to 1; 0 where a class does not occur or is not drawable.

    Raises:
        ValueError: If the temperature or the counts are out of range, or no class that occurs is drawable.

    Example:
        >>> rare_class_probabilities([75, 25, 0], temperature=0.5).round(3).tolist()
        [0.269, 0.731, 0.0]
    """
    counts = np.asarray(pixels, dtype=np.float64)
    if not temperature > 0:
        raise ValueError(f'got temperature={temperature}; expected a number above 0, such as 0.01')
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any() or not counts.any():
        raise ValueError(f'got the pixel counts {pixels!r}; expected one number >= 0 a class, not all of them 0')
    possible = counts > 0 if drawable is None else (counts > 0) & np.asarray(drawable, dtype=bool)
    if not possible.any():
        raise ValueError(f'got drawable={drawable!r} for the pixel counts {pixels!r}; expected True for a class that occurs')
    logit = np.where(possible, (1 - counts / counts.sum()) / temperature, -np.inf)
    weight = np.exp(logit - logit.max())
    return weight / weight.sum()


def images_by_class(images: Mapping[str, Mapping[int, int]], num_classes: int, min_pixels: int = 1) -> list[list[str]]:
    """Lists the images in which each class occurs.

    Args:
        images (Mapping): Key -> train id -> pixels.
        num_classes (int): C.
        min_pixels (int): Least number of pixels that counts as occurring. DAFormer asks for 3000 of GTA5's 1914x1052;
            a class that no image shows that often has an empty list. Default: 1.

    Returns:
        list[list[str]]: For each class the keys in sorted order.
    """
    if min_pixels < 1:
        raise ValueError(f'got min_pixels={min_pixels}; expected at least 1')
    result: list[list[str]] = [[] for _ in range(num_classes)]
    for key in sorted(images):
        for train_id, pixels in images[key].items():
            if train_id < num_classes and pixels >= min_pixels:
                result[train_id].append(key)
    return result
