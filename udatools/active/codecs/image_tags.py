# SPDX-License-Identifier: Apache-2.0
"""Answers to questions about whole images, as a table: a row an image and class, for any spreadsheet.

``tags.csv`` has the columns ``request_id``, ``image``, ``class``, ``present``, ``x``, ``y`` and ``seconds``. Asked for tags, a
person fills ``present`` with yes or no; asked for points, ``x`` and ``y`` of one pixel of each class that is there. An image is
answered once one of its rows is filled: its empty rows say no then. ``seconds``, the time that an image took, may stand in any of
its rows.
"""
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..image_questions import TAGS
from ..points_table import write_table
from ..request import NOT_ANSWERED, Answer, Request, RequestItem
from ..submission import Submission
from .base import Codec, ImageOf, Sample
from .documents import place_image
from .names import ClassNames
from .reading import Reading, file_of
from .shapes import check_answers

COLUMNS = ('request_id', 'image', 'class', 'present', 'x', 'y', 'seconds')
_UNANSWERED = 'the image stays unanswered'  # what cannot be read must not count as a class that is not there
_YES, _NO = ('1', 'yes', 'y', 'x', 'true'), ('0', 'no', 'n', 'false')


class ImageTagsCodec(Codec):
    """The table of classes of images."""

    name = 'tags'
    title = 'tags.csv, a row an image and class'
    filename = 'tags.csv'
    about_images = True

    def recognises(self, sample: Sample) -> bool:
        if sample.path.is_dir():
            return (sample.path / self.filename).is_file()
        header = sample.head.removeprefix(b'\xef\xbb\xbf').split(b'\n')[0].decode('utf-8', 'replace').strip()
        return any({'image', 'class', 'present'} <= {name.strip('"') for name in header.split(mark)} for mark in ',;\t')

    def read(self, path: str | Path, request: Request) -> Submission:
        file, reading = file_of(path, self.filename), Reading(request, self.name)
        sheets: dict[str, dict[int, Mapping[str, str]]] = {}
        seconds: dict[str, float] = {}
        for line, row in enumerate(_table(file), 2):
            where = f'{file.name}, row {line}'
            if not reading.belongs(where, row['request_id']):
                return reading.submission()
            if not any(row[name] for name in ('present', 'x', 'y', 'seconds')):
                continue
            item, label = reading.item(where, row['image']), reading.label(where, row['class'])
            if item is None or label is None or label >= request.num_classes:
                continue
            seconds[item.key] = seconds.get(item.key, 0.0) + _seconds(reading, where, row['seconds'])
            if label in sheets.setdefault(item.key, {}):
                reading.problem(where, f'{row["class"]!r} of {item.path!r} has an earlier row; left out')
                continue
            if any(row[name] for name in ('present', 'x', 'y')):
                sheets[item.key][label] = dict(row, where=where)
        answers = []
        for item in request.items:
            if sheets.get(item.key):
                read = _tags if request.kind == TAGS else _points
                answers.append(read(reading, item, sheets[item.key], seconds[item.key]))
        noted = reading.submission()
        return Submission(noted.request_id, [answer for answer in answers if not answer.is_empty], noted.problems)

    def export(self, request: Request, out_dir: str | Path, images: ImageOf) -> list[Path]:
        placed = [place_image(request[key], images, Path(out_dir) / 'images') for key in request.asked_keys()]
        return self.write(request, [], out_dir) + [file for file in placed if file is not None]

    def write(self, request: Request, answers: Sequence[Answer], out_dir: str | Path) -> list[Path]:
        by_key = check_answers(request, answers)
        names, rows = ClassNames(request), [COLUMNS]
        for key in request.asked_keys():
            given = by_key[key][0] if key in by_key else None
            for label, name in enumerate(names.names):
                present = x = y = ''
                if given is not None and given.tags is not None:
                    present = 'yes' if label in given.tags else 'no'
                elif given is not None and (found := np.argwhere(given.answer == label)).size:
                    y, x = map(str, found[0].tolist())
                time = f'{given.seconds:g}' if given is not None and label == 0 else ''
                rows.append((request.request_id, request[key].path, name, present, x, y, time))
        return [write_table(Path(out_dir) / self.filename, rows)]


def _table(file: Path) -> list[dict[str, str]]:
    try:
        text = file.read_text(encoding='utf-8-sig')
        first = text.split('\n', 1)[0]
        mark = next((mark for mark in ',;\t' if mark in first), ',')
        table = csv.DictReader(io.StringIO(text, newline=''), delimiter=mark)
        columns, found = set(table.fieldnames or ()), list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'{file} is no table in UTF-8 ({error}); save it as CSV UTF-8') from error
    if missing := {'image', 'class'} - columns:
        raise ValueError(f'{file} lacks the columns {sorted(missing)}; expected {", ".join(COLUMNS)}')
    return [{name: (row.get(name) or '').strip() for name in COLUMNS} for row in found]


def _seconds(reading: Reading, where: str, text: str) -> float:
    try:
        seconds = float(text or 0)
        if 0 <= seconds < float('inf'):
            return seconds
    except ValueError:
        pass
    reading.problem(where, f'seconds is {text!r}; expected a number >= 0; not counted')
    return 0.0


def _tags(reading: Reading, item: RequestItem, rows: Mapping[int, Mapping[str, str]], seconds: float) -> Answer:
    tags, whole = [], True
    for label, row in rows.items():
        said = row['present'].casefold()
        if said in _YES:
            tags.append(label)
        elif said not in _NO:
            reading.problem(row['where'], f'present is {row["present"]!r}; expected yes or no; {_UNANSWERED}')
            whole = False
    nothing = np.full((item.height, item.width), NOT_ANSWERED, np.uint8)
    if not whole:
        return Answer(item.key, nothing, '', ImageTagsCodec.name)
    return Answer(item.key, nothing, '', ImageTagsCodec.name, clicks=len(tags), components=1, seconds=seconds,
                  tags=tuple(sorted(tags)))


def _points(reading: Reading, item: RequestItem, rows: Mapping[int, Mapping[str, str]], seconds: float) -> Answer:
    answer: np.ndarray = np.full((item.height, item.width), NOT_ANSWERED, np.uint8)
    open_ = reading.request.regions(item.key) > 0
    whole = True
    for label, row in rows.items():
        problem = ''
        try:
            x, y = int(row['x']), int(row['y'])
        except ValueError:
            problem = f'x, y are {row["x"]!r}, {row["y"]!r}; expected whole numbers, of one pixel'
        else:
            if not (0 <= x < item.width and 0 <= y < item.height) or not open_[y, x]:
                problem = f'pixel ({x}, {y}) of {item.path!r} is outside of the image, or was answered before'
            elif answer[y, x] != NOT_ANSWERED:
                problem = f'pixel ({x}, {y}) of {item.path!r} has two classes'
            else:
                answer[y, x] = label
        if problem:
            reading.problem(row['where'], f'{problem}; {_UNANSWERED}')
            whole = False
    if not whole:
        answer[:] = NOT_ANSWERED
    clicks = int((answer != NOT_ANSWERED).sum())
    return Answer(item.key, answer, '', ImageTagsCodec.name, points=clicks, clicks=clicks, components=int(clicks > 0),
                  seconds=seconds if whole else 0.0)
