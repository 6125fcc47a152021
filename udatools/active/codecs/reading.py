# SPDX-License-Identifier: Apache-2.0
"""Collects what a codec finds in a file, checks it against the request, and turns it into answers image by image."""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..request import NOT_ANSWERED, Request, RequestItem
from ..submission import Problem, Submission
from .canvas import UNKNOWN, Canvas
from .names import ClassNames, ItemNames

#: Gives the row-major pixel indices of a shape; raises ValueError if it is damaged.
Draw = Callable[[Canvas], np.ndarray]


class _Shape(NamedTuple):
    where: str
    label: int
    draw: Draw
    point: bool


@dataclass
class _Sheet:
    """What one person did on one image."""
    shapes: list[_Shape] = field(default_factory=list)
    seconds: float = 0.0
    clicks: int | None = None


class Reading:
    """The content of one file or folder.

    Shapes are decoded in :meth:`submission`, one image at a time, so that memory does not grow with their number.

    Args:
        request (Request): what was asked.
        tool (str): name of the format, for the ledger.
        layers (bool): whether a later shape lies above an earlier one.
    """

    def __init__(self, request: Request, tool: str, *, layers: bool = False) -> None:
        self.request, self.names = request, ClassNames(request)
        self.problems: list[Problem] = []
        self.tool = tool
        self._layers = layers
        self._items = ItemNames(request)
        self._sheets: dict[str, dict[str, _Sheet]] = {}
        self._ids: set[str] = set()

    def problem(self, where: str, what: object) -> None:
        """Note that something was left out."""
        self.problems.append(Problem(where, str(what)))

    def belongs(self, where: str, request_id: Any) -> bool:
        """Whether a part of the file is for this request, as far as it says; otherwise it is noted."""
        if request_id is None or request_id == '':
            return True
        self._ids.add(str(request_id))
        if request_id == self.request.request_id:
            return True
        self.problem(where, f'answers request {str(request_id)[:12]}, not {self.request.request_id[:12]}; left out')
        return False

    def item(self, where: str, name: Any, size: tuple[Any, Any] | None = None, *,
             key: bool = False) -> RequestItem | None:
        """The image that a file name means, if it has the size that the file says; otherwise it is noted.

        Args:
            where (str): for problems.
            name (Any): from the file.
            size (tuple | None): (height, width) from the file; None if it is checked elsewhere.
            key (bool): the name is a key that we wrote.
        """
        item = self._items.find(name, key=key) if isinstance(name, str) else None
        if item is None:
            self.problem(where, f'{name!r} is not, or not certainly, an image of request '
                                f'{self.request.request_id[:12]}; its answers were left out')
            return None
        if size is not None and size != (item.height, item.width):
            self.problem(where, f'{item.path!r} is {size[1]}x{size[0]} here; expected {item.width}x{item.height} (width '
                                'x height), its native size; its answers were left out')
            return None
        return item

    def label(self, where: str, text: Any) -> int | None:
        """What a label means: train id, 254, or :data:`UNKNOWN`, which is noted; None for the open label."""
        value = self.names.value(text) if isinstance(text, str) else None
        if value is None:
            self.problem(where, f'unknown class {text!r}; expected one of {", ".join(self.names.names)} or '
                                f'{self.names.void}; left unanswered')
            return UNKNOWN
        return None if value == NOT_ANSWERED else value

    def add(self, where: str, item: RequestItem, label: int, draw: Draw, *, annotator: str = '',
            point: bool = False) -> None:
        """Add a shape; see :meth:`Canvas.add`.

        Args:
            where (str): the shape, for problems.
            item (RequestItem): the image.
            label (int): train id, 254 or :data:`UNKNOWN`.
            draw (Callable): gives its pixels.
            annotator (str): who drew it, ``''`` = unknown.
            point (bool): a point in a region stands for all of it.
        """
        self.sheet(item, annotator).shapes.append(_Shape(where, label, draw, point))

    def sheet(self, item: RequestItem, annotator: str = '') -> _Sheet:
        """What is known of one person on one image; ``seconds`` and ``clicks`` may be set."""
        return self._sheets.setdefault(item.key, {}).setdefault(annotator, _Sheet())

    def submission(self) -> Submission:
        """All answers, in the order of the request."""
        answers = []
        for item in self.request.items:
            for annotator, sheet in sorted(self._sheets.get(item.key, {}).items()):
                canvas = Canvas(self.request, item, self._layers)
                for shape in sheet.shapes:
                    self._draw(canvas, shape)
                answer = canvas.finish(self.problems, annotator=annotator, tool=self.tool, seconds=sheet.seconds,
                                       clicks=sheet.clicks)
                if answer is not None:
                    answers.append(answer)
        own = self.request.request_id
        return Submission(own if own in self._ids else min(self._ids, default=None), answers, self.problems)

    def _draw(self, canvas: Canvas, shape: _Shape) -> None:
        try:
            pixels = shape.draw(canvas)
        except ValueError as error:
            self.problem(shape.where, error)
            return
        if pixels.size == 0:
            self.problem(shape.where, f'the shape covers no pixel of {canvas.item.path!r}; left out')
            return
        canvas.add(shape.label, pixels, point=shape.point)


def at(x: int, y: int) -> Draw:
    """Draws the pixel (x, y); refused if it was not asked."""
    return lambda canvas: np.array([canvas.pixel(x, y)])


def these(pixels: np.ndarray) -> Draw:
    """Draws row-major pixel indices."""
    return lambda canvas: pixels


def number(value: Any) -> float:
    """A finite number from a file.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(value, float) and isfinite(value) or type(value) is int and abs(value) < 1 << 53:
        return float(value)
    raise ValueError(f'{value!r} is no number that may stand here')


def fields(value: Any, what: str) -> Mapping[str, Any]:
    """A JSON object from a file.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(value, dict):
        raise ValueError(f'{what} is a {type(value).__name__}; expected an object')
    return value


def rows(value: Any, what: str) -> list[Any]:
    """A JSON list from a file; a missing one is empty.

    Raises:
        ValueError: if it is none.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f'{what} is a {type(value).__name__}; expected a list')
    return value


def file_of(path: str | Path, filename: str) -> Path:
    """``path`` itself, or the file of that name in it if it is a folder.

    Raises:
        FileNotFoundError: if there is none.
    """
    path = Path(path)
    if path.is_dir():
        path /= filename
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; expected a file')
    return path
