# SPDX-License-Identifier: Apache-2.0
"""The canonical format: index PNGs, a table of points or regions, and who and how long, all plain files.

- ``answers/<key>.png``: uint8, (H, W), train id, 254 = void, 255 = not answered.
- ``points.csv``: a row a point or region; a person fills the column ``label``: class name or id, ``void`` or ``unsure``;
  empty or ``?`` is not answered yet. A row of a region answers all of it.
- ``answers.json``: request_id, who, tool, and seconds and clicks by image.
- ``classes.csv``: what may be answered.

Any of them may be missing; the file ``points.csv`` alone can be read too. Predictions are not filled in: they would
pull the answers towards themselves.
"""
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udatools.utils.atomic import write_png_atomic

from ..points_table import COLUMNS, FILENAME, write_table
from ..request import NOT_ANSWERED, VOID, Answer, Request
from ..submission import Submission
from .base import Codec, ImageOf, Sample
from .documents import decode_png, inside, place_image, read_json, write_json
from .names import ClassNames
from .reading import Reading, fields, number, these
from .shapes import check_answers, representative_pixels, unit_map, unit_shapes

_NEEDED = {'image', 'x', 'y', 'label'}


class CanonicalCodec(Codec):
    """PNG, CSV and JSON of our own."""

    name = 'csv'
    title = 'points.csv and answers/*.png'

    def recognises(self, sample: Sample) -> bool:
        if sample.path.is_dir():
            return any((sample.path / name).exists() for name in (FILENAME, 'answers.json', 'answers'))
        header = sample.head.removeprefix(b'\xef\xbb\xbf').split(b'\n')[0].decode('utf-8', 'replace').strip()
        return any(_NEEDED <= {name.strip('"') for name in header.split(mark)} for mark in ',;\t')

    def read(self, path: str | Path, request: Request) -> Submission:
        path, reading = Path(path), Reading(request, self.name)
        if not path.is_dir():
            _read_table(reading, path, '')
            return reading.submission()
        if not self.recognises(Sample(path)):
            raise ValueError(f'{path} has none of points.csv, answers.json and answers/')
        who = ''
        costs: Any = {}
        if (path / 'answers.json').is_file():
            document = read_json(path / 'answers.json')
            if not isinstance(document, dict):
                raise ValueError(f'{path / "answers.json"} is no object; expected request_id, who, tool, images')
            if not reading.belongs('answers.json', document.get('request_id')):
                return reading.submission()
            who, reading.tool = str(document.get('who') or ''), str(document.get('tool') or self.name)
            costs = document.get('images') or {}
        for file in sorted((path / 'answers').rglob('*.png')):
            _read_map(reading, path, file, who)
        if (path / FILENAME).is_file():
            _read_table(reading, path / FILENAME, who)
        try:
            _read_costs(reading, costs, who)
        except ValueError as error:
            reading.problem('answers.json', f'{error}; no time and no clicks were counted')
        return reading.submission()

    def export(self, request: Request, out_dir: str | Path, images: ImageOf) -> list[Path]:
        out_dir = Path(out_dir)
        files = [*self._write_tables(request, {}, out_dir), write_json(out_dir / 'answers.json', dict(
            request_id=request.request_id, who='', tool='', images={}))]
        placed = [place_image(request[key], images, out_dir / 'images') for key in request.asked_keys()]
        return files + [file for file in placed if file is not None]

    def write(self, request: Request, answers: Sequence[Answer], out_dir: str | Path) -> list[Path]:
        by_key, out_dir = check_answers(request, answers), Path(out_dir)
        people = {(given.annotator, given.tool) for given in answers}
        if len(people) > 1:
            raise ValueError(f'the answers are by {sorted(people)}; a folder of this format holds one person and tool: '
                             'write the answers of each into a folder of their own')
        who, tool = people.pop() if people else ('', '')
        costs = {given.key: dict(seconds=given.seconds, clicks=given.clicks) for given in answers}
        files = [write_json(out_dir / 'answers.json',
                            dict(request_id=request.request_id, who=who, tool=tool, images=costs))]
        if request.kind == 'segments':
            # A component may hold several classes, which a row of the table cannot say.
            for given in answers:
                files.append(inside(out_dir / 'answers', given.key + '.png'))
                write_png_atomic(files[-1], given.answer)
            by_key = {}
        return files + self._write_tables(request, by_key, out_dir)

    def _write_tables(self, request: Request, answers: Mapping[str, Sequence[Answer]], out_dir: Path) -> list[Path]:
        names, rows = ClassNames(request), [COLUMNS]
        for key in request.asked_keys():
            item, unit = request[key], unit_map(request, key)
            region = request.regions(key).ravel()
            given = answers[key][0].answer.ravel() if key in answers else None
            for pixel in representative_pixels(unit)[1].tolist():
                y, x = divmod(pixel, item.width)
                value = NOT_ANSWERED if given is None else int(given[pixel])
                label = '' if value == NOT_ANSWERED else names.label(value)
                rows.append((str(len(rows)), item.path, str(x), str(y), str(request.round), '', '', '', str(region[pixel]),
                             label))
        classes = [('id', 'name', 'colour', 'key')]
        classes += [(str(names.value(label)), label, colour, key) for label, colour, key in names.legend(with_open=False)]
        return [write_table(out_dir / FILENAME, rows), write_table(out_dir / 'classes.csv', classes)]


def _read_map(reading: Reading, root: Path, file: Path, who: str) -> None:
    where = file.relative_to(root).as_posix()
    item = reading.item(where, file.relative_to(root / 'answers').as_posix().removesuffix('.png'), key=True)
    if item is None:
        return
    try:
        answer = decode_png(file.read_bytes(), {(item.height, item.width)})
    except ValueError as error:
        reading.problem(where, f'{error}; its answers were left out')
        return
    unit, num_classes = unit_map(reading.request, item.key), reading.request.num_classes
    unknown = int(np.count_nonzero((answer >= num_classes) & (answer < VOID)))
    if unknown:
        reading.problem(where, f'{unknown} pixels hold a class id beyond {num_classes - 1}; left unanswered')
    outside = int(np.count_nonzero((unit == 0) & (answer != NOT_ANSWERED)))
    if outside:
        reading.problem(where, f'{outside} pixels outside the request were left out')
    for _, label, pixels in unit_shapes(unit, answer):
        if label < num_classes or label == VOID:
            reading.add(where, item, label, these(pixels), annotator=who)


def _read_table(reading: Reading, file: Path, who: str) -> None:
    try:
        text = file.read_text(encoding='utf-8-sig')
        first = text.split('\n', 1)[0]
        mark = next((mark for mark in ',;\t' if mark in first), ',')
        table = csv.DictReader(io.StringIO(text, newline=''), delimiter=mark)
        columns = set(table.fieldnames or ())
        rows = list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f'{file} is no table in UTF-8 ({error}); save it as CSV UTF-8') from error
    if not columns >= _NEEDED:
        raise ValueError(f'{file} has the columns {sorted(columns)}; expected at least {sorted(_NEEDED)}')
    for line, row in enumerate(rows, 2):
        label = row['label'] or ''
        if label.strip():
            _read_row(reading, f'{file.name}, row {line}', row, label, who)


def _read_row(reading: Reading, where: str, row: Mapping[str, Any], text: str, who: str) -> None:
    names = reading.names
    digits = text.strip()
    if names.value(text) is None and digits.isascii() and digits.isdigit() and len(digits) <= 3:
        value = int(digits)
        text = names.label(value) if value < len(names.names) or value in (VOID, NOT_ANSWERED) else text
    label = reading.label(where, text)
    item = None if label is None else reading.item(where, row['image'])
    if item is None or label is None:
        return
    try:
        x, y, region = (_whole(row.get(name)) for name in ('x', 'y', 'region_id'))
        if x is None or y is None:
            raise ValueError('x or y is missing')
    except ValueError as error:
        reading.problem(where, f'{error}; left out')
        return
    reading.add(where, item, label, lambda canvas: canvas.unit_pixels(canvas.pixel(x, y, region)), annotator=who)


def _whole(text: str | None) -> int | None:
    """A whole number from a table; spreadsheets may write 12 as 12.0."""
    if text is None or not text.strip():
        return None
    try:
        if abs(value := float(text)) < 1 << 31 and value.is_integer():
            return int(value)
    except ValueError:
        pass
    raise ValueError(f'{text!r} is no whole number')


def _read_costs(reading: Reading, costs: Any, who: str) -> None:
    for name, cost in fields(costs, 'images').items():
        where = f'answers.json, {name!r}'
        item = reading.item(where, name, key=True)
        try:
            seconds, clicks = (max(0.0, number(fields(cost, 'it').get(field, 0))) for field in ('seconds', 'clicks'))
        except ValueError as error:
            reading.problem(where, f'{error}; its time and clicks were not counted')
            continue
        if item is not None:
            sheet = reading.sheet(item, who)
            sheet.seconds, sheet.clicks = seconds, int(clicks) if 'clicks' in cost else None
