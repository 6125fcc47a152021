# SPDX-License-Identifier: Apache-2.0
"""Names in files of annotation tools: which class a label means, which image of a request a file name means."""
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote

from ..request import NOT_ANSWERED, VOID, Request, RequestItem

#: Labels that mean "looked at it, no class": the first is written.
VOID_LABELS = ('void', 'unsure')
#: Label of what waits for an answer.
OPEN_LABEL = '?'


class ClassNames:
    """Labels of a request: its classes, void and "not answered yet".

    A class that is itself called ``void``, ``unsure`` or ``?`` keeps its name; the special label is then written with
    further question marks.

    Args:
        request (Request): the request.

    Raises:
        ValueError: if two classes have the same name, or one has none.
    """

    def __init__(self, request: Request) -> None:
        self.names = [str(row['name']) for row in request.header['classes']]
        self.colours = ['#{:02x}{:02x}{:02x}'.format(*row['colour']) for row in request.header['classes']]
        self.keys = [str(row.get('key', '')) for row in request.header['classes']]
        self._exact = {name: i for i, name in enumerate(self.names)}
        if len(self._exact) < len(self.names) or not all(name.strip() for name in self.names):
            raise ValueError(f'the classes of the request are {self.names}; two have the same name or one has none, and '
                             'no format can tell them apart: rename them in the data set')
        self.void, self.open = _free(VOID_LABELS[0], self.names), _free(OPEN_LABEL, self.names)
        self._exact |= {self.void: VOID, self.open: NOT_ANSWERED}
        for label in VOID_LABELS:
            self._exact.setdefault(label, VOID)
        self._exact.setdefault(OPEN_LABEL, NOT_ANSWERED)
        loose: dict[str, set[int]] = {}
        for label, value in self._exact.items():
            loose.setdefault(_loose(label), set()).add(value)
        self._loose = {label: values.pop() for label, values in loose.items() if len(values) == 1}

    def value(self, label: str) -> int | None:
        """Answer that a label means: train id, 254, or 255 for the open label; None if it is unknown.

        An exact name comes first, then one that differs in case or surrounding spaces only, if there is just one.
        """
        found = self._exact.get(label)
        return self._loose.get(_loose(label)) if found is None else found

    def label(self, value: int) -> str:
        """Label of an answer."""
        return {VOID: self.void, NOT_ANSWERED: self.open}.get(value) or self.names[value]

    def legend(self, *, with_open: bool = True) -> list[tuple[str, str, str]]:
        """(label, colour as #rrggbb, keyboard key) of everything that may be answered, the open label last."""
        rows = list(zip(self.names, self.colours, self.keys))
        rows.append((self.void, '#000000', ''))
        return rows + [(self.open, '#ff00ff', '')] * with_open


class ItemNames:
    """Finds the image of a request that a tool's file name means.

    The relative path or the key come first; then names that are the end of just one path, or that end with just one
    path (tools drop or add folders), in Unicode's composed form (archives of some systems decompose names).

    Args:
        request (Request): the request.
    """

    def __init__(self, request: Request) -> None:
        self._keys = {item.key: item for item in request.items}
        self._paths = {item.path: item for item in request.items}
        self._by_name: dict[str, list[tuple[tuple[str, ...], RequestItem]]] = {}
        for item in request.items:
            for name in {_composed(item.path), _composed(item.key)}:
                parts = PurePosixPath(name).parts
                self._by_name.setdefault(parts[-1], []).append((parts, item))

    def find(self, name: str, *, key: bool = False) -> RequestItem | None:
        """The image, None if there is none or it is not certain which.

        Args:
            name (str): from a file.
            key (bool): it is a key that we wrote, rather than a file name.
        """
        exact = (self._keys, self._paths) if key else (self._paths, self._keys)
        for known in exact:
            if name in known:
                return known[name]
        for variant in _variants(name):
            parts = PurePosixPath(variant).parts
            if not parts:
                continue
            found = {item.key: item for own, item in self._by_name.get(parts[-1], ())
                     if own[-len(parts):] == parts or parts[-len(own):] == own}
            if len(found) == 1:
                return found.popitem()[1]
            if found:
                return None
        return None


def _variants(name: str) -> Iterable[str]:
    """Spellings to try, the least changed first."""
    composed = _composed(name)
    yield composed
    plain = composed.split('?d=', 1)[-1] if '?d=' in composed else composed.split('?', 1)[0]
    for text in (plain, unquote(plain)):
        yield text
        yield text.replace('\\', '/')
        path = PurePosixPath(text)
        # Label Studio puts eight hexadecimal digits and a dash before the name of an uploaded file.
        prefix, dash, rest = path.name.partition('-')
        if dash and rest and len(prefix) == 8 and set(prefix) <= set('0123456789abcdef'):
            yield rest


def _composed(text: str) -> str:
    return unicodedata.normalize('NFC', text)


def _loose(label: str) -> str:
    return unicodedata.normalize('NFC', label).strip().casefold()


def _free(label: str, taken: Iterable[str]) -> str:
    while label in taken:
        label += '?'
    return label
