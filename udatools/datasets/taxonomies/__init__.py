# SPDX-License-Identifier: Apache-2.0
"""Class sets and label maps, as data.

``class_sets.json`` names the train-id classes and their colours. Every other file describes the raw label ids of one
data set and maps them to class *names* (never numbers), so that one map serves a class set and all of its subsets:
``synthia16`` and ``synthia13`` follow from a map to ``cityscapes19`` by leaving names out. A raw id that the data set
defines but the map does not list is ignored (255); an id that the data set does not define is an error at reading.

Classes of one's own need no file here: wherever a class set is named, ``dict(name=..., classes=[...])`` or the path of
a JSON file with that content is taken too, and a data set takes ``label_map={raw id or raw name: class}``.
"""
from __future__ import annotations

import colorsys
import json
from collections.abc import Mapping, Sequence
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
        subset_of (str | None): A named set that has all of these classes; its label maps serve this one too.
    """
    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    subset_of: str | None = None

    def __len__(self) -> int:
        return len(self.classes)


# A name, the path of a JSON file, its content, or the set itself.
ClassSpec = str | Mapping | ClassSet
# Pairs (raw id, or raw name where the data set names its ids; name of the class, or None for ignore).
LabelMap = tuple[tuple[int | str, str | None], ...]


@cache
def _load(stem: str) -> dict[str, Any]:
    return json.loads((_FOLDER / f'{stem}.json').read_text(encoding='utf-8'))


def list_class_sets() -> list[str]:
    """Returns the names of all class sets."""
    return list(_load('class_sets'))


def list_taxonomies() -> list[str]:
    """Returns the names of all raw label taxonomies (one a data set)."""
    return sorted(path.stem for path in _FOLDER.glob('*.json') if path.stem != 'class_sets')


def get_raw_names(taxonomy: str) -> dict[int, str]:
    """Returns the raw label ids of a data set and what they are called.

    Raises:
        KeyError: If the taxonomy is unknown; the message lists them.
    """
    if taxonomy not in list_taxonomies():
        raise KeyError(f'got the label taxonomy {taxonomy!r}; choose one of {", ".join(list_taxonomies())}')
    return {int(raw): name for raw, name in _load(taxonomy)['raw_names'].items()}


def get_class_set(classes: ClassSpec) -> ClassSet:
    """Looks a class set up, or makes one.

    Args:
        classes (str | Mapping | ClassSet): One of :func:`list_class_sets`; or ``dict(name=..., classes=[...])`` with an
            optional ``palette`` (RGB a class) and ``subset_of`` (a named set whose label maps serve this one too); or
            the path of a JSON file, ``*.json``, that holds such a dict.

    Returns:
        ClassSet: The set.

    Raises:
        KeyError: If there is no such set; the message lists them.
        ValueError: If a set of one's own is incomplete or contradicts itself.
    """
    if isinstance(classes, ClassSet):
        return classes
    if isinstance(classes, Mapping):
        return _own_class_set(classes, 'the class set')
    if str(classes).endswith('.json'):
        entry = read_json_object(classes)
        return _own_class_set({'name': Path(classes).stem, **entry}, f'the class set in {classes}')
    sets = _load('class_sets')
    if classes not in sets:
        raise KeyError(f'got the class set {classes!r}; choose one of {", ".join(sets)}, or give your own as '
                       'dict(name=..., classes=[...]) or as the path of a .json file')
    entry = sets[classes]
    return ClassSet(classes, tuple(entry['classes']), tuple(tuple(color) for color in entry['palette']),
                    entry.get('subset_of'))


def read_json_object(path: str | Path) -> dict[str, Any]:
    """Reads a JSON file that holds an object, with errors that name it."""
    try:
        entry = json.loads(Path(path).read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist; give the path of a JSON file') from None
    except ValueError as error:
        raise ValueError(f'{path} is no JSON ({error})') from None
    if not isinstance(entry, dict):
        raise ValueError(f'{path} holds a {type(entry).__name__}; expected an object, {{"...": ...}}')
    return entry


def _own_class_set(entry: Mapping, what: str) -> ClassSet:
    known = {'name', 'classes', 'palette', 'subset_of', 'description'}
    if unknown := set(entry) - known:
        raise ValueError(f'{what} has unknown keys {sorted(unknown)}; expected some of {sorted(known)}')
    name, classes = entry.get('name'), entry.get('classes')
    if not name or not isinstance(name, str):
        raise ValueError(f'{what} has name={name!r}; give it a name: dict(name="yard5", classes=[...])')
    what = f'the class set {name!r}'
    if name in list_class_sets() and tuple(classes or ()) != get_class_set(name).classes:
        raise ValueError(f'{what} has the name of a set of udatools but other classes; choose another name')
    if (not isinstance(classes, Sequence) or isinstance(classes, str) or not classes
            or not all(isinstance(item, str) and item for item in classes)):
        raise ValueError(f'{what} has classes={classes!r}; expected a list of names in the order of their train ids')
    if twice := sorted({item for item in classes if list(classes).count(item) > 1}):
        raise ValueError(f'{what} lists {", ".join(twice)} more than once')
    if len(classes) > 254:  # 255 is ignore, and answers of people use 254 for void
        raise ValueError(f'{what} has {len(classes)} classes; labels are 8-bit, so at most 254 fit')
    parent = entry.get('subset_of')
    if parent is not None and (extra := sorted(set(classes) - set(get_class_set(parent).classes))):
        raise ValueError(f'{what} is said to be a subset of {parent}, which has no {", ".join(extra)}')
    palette = entry.get('palette')
    if palette is None:
        palette = _default_palette(classes)
    if len(palette) != len(classes) or any(len(c) != 3 or not all(0 <= int(v) <= 255 for v in c) for c in palette):
        raise ValueError(f'{what} has {len(classes)} classes and the palette {palette!r}; expected one [R, G, B] of '
                         '0..255 a class, or no palette: colours are chosen then')
    colours = tuple((int(r), int(g), int(b)) for r, g, b in palette)
    return ClassSet(name, tuple(str(item) for item in classes), colours, parent)


def _default_palette(classes: Sequence[str]) -> list[tuple[int, int, int]]:
    """Colours that are used elsewhere for a name, else hues far apart; the same for the same list of names."""
    familiar: dict[str, tuple[int, int, int]] = {}
    for known in map(get_class_set, list_class_sets()):
        for name, colour in zip(known.classes, known.palette):
            familiar.setdefault(name, colour)
    palette: list[tuple[int, int, int]] = []
    step = 0
    for name in classes:
        colour = familiar.get(name)
        while colour is None or colour in palette:
            hue, strong = step * 0.618034 % 1, step % 2 == 0  # golden ratio: neighbours in the list differ
            red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if strong else 0.55, 0.9 if strong else 0.65)
            colour = (round(255 * red), round(255 * green), round(255 * blue))
            step += 1
        palette.append(colour)
    return palette


def find_class_set(classes: tuple[str, ...] | list[str]) -> str | None:
    """Returns the name of the class set with exactly these classes in this order, or None."""
    return next((name for name in list_class_sets() if get_class_set(name).classes == tuple(classes)), None)


def get_label_map(taxonomy: str, classes: ClassSpec) -> dict[int, str]:
    """Maps raw label ids to class names.

    Args:
        taxonomy (str): One of :func:`list_taxonomies`, such as ``gta5``.
        classes (str | Mapping | ClassSet): As :func:`get_class_set`.

    Returns:
        dict[int, str]: Raw id -> name of a class of the set; ids not listed are ignored.

    Raises:
        KeyError: If the taxonomy or the class set is unknown, or no map leads from one to the other.
    """
    get_raw_names(taxonomy)  # raises if it is unknown
    target = get_class_set(classes)
    maps = _load(taxonomy)['maps']
    via = target.name if target.name in maps else target.subset_of
    if via not in maps:
        raise KeyError(f'there is no label map from {taxonomy} to {target.name}; {taxonomy} maps to {", ".join(maps)} '
                       'and to their subsets (subset_of=...). Choose another `classes`, or give the data set '
                       'label_map={raw id or raw name: class}')
    return {int(raw): name for raw, name in maps[via].items() if name in target.classes}


def check_label_map(label_map: Mapping, classes: ClassSpec, taxonomy: str = '') -> LabelMap:
    """Checks a label map of one's own.

    Args:
        label_map (Mapping): Raw id (int or digits), or raw name where ``taxonomy`` names the ids -> name of a class,
            its train id, or ``'ignore'`` (also 255 or None). Ids of the taxonomy that are not listed are ignored.
        classes (str | Mapping | ClassSet): As :func:`get_class_set`.
        taxonomy (str): One of :func:`list_taxonomies`, or empty for a data set whose ids udatools does not know: then
            ids that are not listed are errors when they occur. Default: empty.

    Returns:
        tuple: For ``label_map`` of :func:`get_label_lut`.

    Raises:
        ValueError: If a raw id or a class does not exist, or a raw id is listed twice.
    """
    target = get_class_set(classes)
    names = get_raw_names(taxonomy) if taxonomy else {}
    if not isinstance(label_map, Mapping) or not label_map:
        raise ValueError(f'got label_map={label_map!r}; expected {{raw id: class, ...}}')
    result: dict[int | str, str | None] = {}
    for raw, value in label_map.items():
        key: int | str = int(raw) if isinstance(raw, int) or str(raw).isdigit() else str(raw)
        if isinstance(key, int):
            if not 0 <= key <= 255:
                raise ValueError(f'label_map lists the raw id {key}; labels are 8-bit, ids 0..255')
            key = names.get(key, key)
        if taxonomy and key not in names.values():
            raise ValueError(f'label_map lists {raw!r}, which {taxonomy} does not have; its ids are '
                             f'{", ".join(f"{number} {name}" for number, name in names.items())}')
        if not taxonomy and isinstance(key, str):
            raise ValueError(f'label_map lists {raw!r}; the ids of this data set have no names, use numbers')
        if key in result:
            raise ValueError(f'label_map lists {raw!r} twice, by id and by name')
        if value is None or value in ('ignore', IGNORE):
            result[key] = None
        elif value in target.classes:
            result[key] = value
        elif isinstance(value, int) and 0 <= value < len(target):
            result[key] = target.classes[value]
        else:
            raise ValueError(f'label_map sends {raw!r} to {value!r}; {target.name} has {", ".join(target.classes)} '
                             f"(train ids 0..{len(target) - 1}), or say 'ignore'")
    return tuple(result.items())


def get_label_lut(taxonomy: str, classes: ClassSpec, label_map: Mapping | LabelMap | None = None) -> np.ndarray:
    """Builds the look-up table of a label map.

    Args:
        taxonomy (str): One of :func:`list_taxonomies`; with a ``label_map`` of ids it may be empty.
        classes (str | Mapping | ClassSet): As :func:`get_class_set`.
        label_map (Mapping | tuple, optional): As :func:`check_label_map`, in place of the map of the taxonomy.

    Returns:
        np.ndarray: int16, (256,), read-only: raw id -> train id 0..C-1, 255 for ids that are ignored, -1 for ids that
            the data set does not define. Raw 255 is ignored unless ``label_map`` says otherwise: the convention of
            converted labels.
    """
    target = get_class_set(classes)
    if isinstance(label_map, Mapping):
        label_map = check_label_map(label_map, target, taxonomy)
    return _label_lut(taxonomy, target, label_map)


@cache
def _label_lut(taxonomy: str, target: ClassSet, label_map: LabelMap | None) -> np.ndarray:
    lut: np.ndarray = np.full(256, UNKNOWN, dtype=np.int16)
    lut[IGNORE] = IGNORE
    names = {} if not taxonomy and label_map is not None else get_raw_names(taxonomy)
    lut[list(names)] = IGNORE
    if label_map is None:
        pairs = dict(get_label_map(taxonomy, target))
    else:
        ids = {name: raw for raw, name in names.items()}
        # A name that this taxonomy lacks is one of the data set's other kind of label file (Cityscapes has two).
        pairs = {ids.get(key, key): name for key, name in label_map if isinstance(key, int) or key in ids}
    for raw, name in pairs.items():
        lut[raw] = IGNORE if name is None else target.classes.index(name)
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
