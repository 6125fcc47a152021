# SPDX-License-Identifier: Apache-2.0
"""Class sets and label maps, as data.

``class_sets.json`` names the train-id classes and their colours. Every other file describes the raw label ids of one
data set and maps them to class *names* (never numbers), so that one map serves a class set and all of its subsets:
``synthia16`` and ``synthia13`` follow from a map to ``cityscapes19`` by leaving names out. A raw id that the data set
defines but the map does not list is ignored (255); an id that the data set does not define is an error at reading.
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

IGNORE = 255
UNKNOWN = -1
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ClassSet:
    """A named, ordered list of train-id classes.

    Attributes:
        name (str): Name of the set, as in ``classes='cityscapes19'``.
        classes (tuple[str, ...]): Names in the order of their train ids.
        palette (tuple[tuple[int, int, int], ...]): RGB, 0..255, one per class.
    """
    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    subset_of: str | None = None

    def __len__(self) -> int:
        return len(self.classes)


@cache
def _load(stem: str) -> dict[str, Any]:
    return json.loads((_FOLDER / f'{stem}.json').read_text(encoding='utf-8'))


def list_class_sets() -> list[str]:
    """Returns the names of all class sets."""
    return list(_load('class_sets'))


def list_taxonomies() -> list[str]:
    """Returns the names of all raw label taxonomies (one a data set)."""
    return sorted(path.stem for path in _FOLDER.glob('*.json') if path.stem != 'class_sets')


def get_class_set(name: str) -> ClassSet:
    """Looks a class set up.

    Args:
        name (str): One of :func:`list_class_sets`.

    Raises:
        KeyError: If there is no such set; the message lists them.
    """
    sets = _load('class_sets')
    if name not in sets:
        raise KeyError(f'got the class set {name!r}; choose one of {", ".join(sets)}')
    entry = sets[name]
    return ClassSet(name, tuple(entry['classes']), tuple(tuple(color) for color in entry['palette']),
                    entry.get('subset_of'))


def find_class_set(classes: tuple[str, ...] | list[str]) -> str | None:
    """Returns the name of the class set with exactly these classes in this order, or None."""
    return next((name for name in list_class_sets() if get_class_set(name).classes == tuple(classes)), None)


@cache
def get_label_map(taxonomy: str, class_set: str) -> dict[int, str]:
    """Maps raw label ids to class names.

    Args:
        taxonomy (str): One of :func:`list_taxonomies`, such as ``gta5``.
        class_set (str): One of :func:`list_class_sets`.

    Returns:
        dict[int, str]: Raw id -> name of a class of ``class_set``; ids not listed are ignored.

    Raises:
        KeyError: If the taxonomy or the class set is unknown, or no map leads from one to the other.
    """
    if taxonomy not in list_taxonomies():
        raise KeyError(f'got the label taxonomy {taxonomy!r}; choose one of {", ".join(list_taxonomies())}')
    target = get_class_set(class_set)
    maps = _load(taxonomy)['maps']
    via = class_set if class_set in maps else target.subset_of
    if via not in maps:
        raise KeyError(f'there is no label map from {taxonomy} to {class_set}; {taxonomy} maps to {", ".join(maps)} '
                       f'and to their subsets. Choose another `classes`, or add a map to taxonomies/{taxonomy}.json')
    return {int(raw): name for raw, name in maps[via].items() if name in target.classes}


@cache
def get_label_lut(taxonomy: str, class_set: str) -> np.ndarray:
    """Builds the look-up table of a label map.

    Args:
        taxonomy (str): One of :func:`list_taxonomies`.
        class_set (str): One of :func:`list_class_sets`.

    Returns:
        np.ndarray: int16, (256,), read-only: raw id -> train id 0..C-1, 255 for ids that are ignored, -1 for ids that
            the data set does not define. Raw 255 is ignored everywhere, the convention of converted labels.
    """
    classes = get_class_set(class_set).classes
    lut: np.ndarray = np.full(256, UNKNOWN, dtype=np.int16)
    lut[[int(raw) for raw in _load(taxonomy)['raw_names']]] = IGNORE
    lut[IGNORE] = IGNORE
    for raw, name in get_label_map(taxonomy, class_set).items():
        lut[raw] = classes.index(name)
    lut.setflags(write=False)
    return lut


@cache
def identity_lut(num_classes: int) -> np.ndarray:
    """Returns the table for labels that are train ids already: int16 (256,), ids from C to 254 are -1."""
    lut: np.ndarray = np.full(256, UNKNOWN, dtype=np.int16)
    lut[:num_classes] = np.arange(num_classes)
    lut[IGNORE] = IGNORE
    lut.setflags(write=False)
    return lut
