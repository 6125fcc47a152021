# SPDX-License-Identifier: Apache-2.0
"""Label Studio: tasks as JSON, in and out.

Coordinates are percent of the native size; a point is the pixel of the rounded coordinate, a brush stroke a packed RGBA
image whose alpha counts. A task may have annotations of several people; drafts and cancelled annotations are not answers.
Label Studio keeps the ``data`` of a task, so the request id and the key of the image travel there.
"""
from collections.abc import Callable, Mapping, Sequence
from math import floor
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ..request import Answer, Request, RequestItem
from ..submission import Submission
from .base import Codec, ImageOf, Sample
from .documents import place_image, read_json, write_json, write_xml
from .names import ClassNames
from .polygon import polygon_pixels
from .reading import Draw, Reading, at, fields, file_of, number, rows
from .rle import pack_rgba, unpack_rgba
from .shapes import check_answers, unit_map, unit_shapes


class LabelStudioCodec(Codec):
    """Label Studio JSON."""

    name = 'labelstudio'
    title = 'Label Studio JSON'
    filename = 'labelstudio.json'

    def recognises(self, sample: Sample) -> bool:
        if sample.path.is_dir():
            return (sample.path / self.filename).is_file()
        tasks = sample.document if isinstance(sample.document, list) else [sample.document]
        return bool(tasks) and all(isinstance(task, dict) and 'data' in task and 'shapes' not in task for task in tasks)

    def read(self, path: str | Path, request: Request) -> Submission:
        path = file_of(path, self.filename)
        document = read_json(path)
        tasks = [document] if isinstance(document, dict) and 'data' in document else document
        if not isinstance(tasks, list):
            raise ValueError(f'{path} is no list of tasks of Label Studio; export the project as JSON (not JSON-MIN)')
        reading = Reading(request, self.name)
        for place, task in enumerate(tasks, 1):
            try:
                where = f'task {fields(task, "the task").get("id", place)}'
                _read_task(reading, where, task)
            except ValueError as error:
                reading.problem(f'task {place} of {path.name}', f'{error}; left out')
        return reading.submission()

    def export(self, request: Request, out_dir: str | Path, images: ImageOf) -> list[Path]:
        out_dir, files = Path(out_dir), []
        for key in request.asked_keys():
            placed = place_image(request[key], images, out_dir / 'images')
            files += [] if placed is None else [placed]

        def task(item: RequestItem, shapes: Shapes) -> dict[str, Any]:
            return dict(predictions=[dict(model_version='request', result=shapes(None))])

        return self._write(request, task, out_dir) + files

    def write(self, request: Request, answers: Sequence[Answer], out_dir: str | Path) -> list[Path]:
        by_key = check_answers(request, answers, people=True)

        def task(item: RequestItem, shapes: Shapes) -> dict[str, Any]:
            return dict(annotations=[
                dict(id=place, completed_by=dict(email=given.annotator) if given.annotator else None,
                     was_cancelled=False, ground_truth=False, lead_time=given.seconds, result=shapes(given.answer))
                for place, given in enumerate(by_key.get(item.key, ()), 1)], drafts=[], predictions=[])

        return self._write(request, task, Path(out_dir))

    def _write(self, request: Request, content: Callable[[RequestItem, 'Shapes'], dict[str, Any]],
               out_dir: Path) -> list[Path]:
        names, tasks = ClassNames(request), []
        for place, key in enumerate(request.asked_keys(), 1):
            item, unit = request[key], unit_map(request, key)

            def shapes(answer: np.ndarray | None, item: RequestItem = item, unit: np.ndarray = unit) -> list[Any]:
                return [_result(request.kind, item, names.label(label), f'{number}-{label}', pixels)
                        for number, label, pixels in unit_shapes(unit, answer)]

            data = dict(image=f'/data/local-files/?d={quote("images/" + item.path)}', key=item.key,
                        request_id=request.request_id)
            tasks.append(dict(id=place, data=data, **content(item, shapes)))
        return [write_json(out_dir / self.filename, tasks),
                write_xml(out_dir / 'label_config.xml', _label_config(request, names))]


Shapes = Callable[[np.ndarray | None], list[Any]]


def _label_config(request: Request, names: ClassNames) -> Element:
    view = Element('View')
    SubElement(view, 'Image', name='image', value='$image', zoom='true', zoomControl='true')
    controls = ['KeyPointLabels'] if request.kind == 'points' else ['BrushLabels', 'PolygonLabels']
    for control in controls:
        group = SubElement(view, control, name=control.lower(), toName='image')
        for label, colour, key in names.legend():
            # A keyboard key belongs to one control.
            hotkey = dict(hotkey=key) if key and control == controls[0] else {}
            SubElement(group, 'Label', {'value': label, 'background': colour, **hotkey})
    return view


def _result(kind: str, item: RequestItem, label: str, name: str, pixels: np.ndarray) -> dict[str, Any]:
    value: dict[str, Any]
    if kind == 'points':
        y, x = divmod(int(pixels[0]), item.width)
        shape, value = 'keypointlabels', dict(x=100 * x / item.width, y=100 * y / item.height, width=0.3)
    else:
        shape, value = 'brushlabels', dict(format='rle', rle=pack_rgba(pixels, item.height * item.width))
    return dict(id=name, type=shape, from_name=shape, to_name='image', origin='manual', original_width=item.width,
                original_height=item.height, image_rotation=0, value={**value, shape: [label]})


def _read_task(reading: Reading, where: str, task: Mapping[str, Any]) -> None:
    data = fields(task.get('data'), 'data')
    if not reading.belongs(where, data.get('request_id')):
        return
    if 'annotations' not in task and 'predictions' not in task:
        raise ValueError('the task has no "annotations"; export the project as JSON (not JSON-MIN)')
    if rows(task.get('drafts'), 'drafts'):
        reading.problem(where, f'{len(task["drafts"])} drafts were never submitted; left out')
    annotations = rows(task.get('annotations'), 'annotations')
    if not annotations:
        return
    key, image = data.get('key'), data.get('image') or task.get('file_upload')
    item = reading.item(where, image if key is None else key, key=key is not None)
    if item is None:
        return
    for place, annotation in enumerate(annotations, 1):
        try:
            _read_annotation(reading, f'{where}, annotation {fields(annotation, "it").get("id", place)}', item, annotation)
        except ValueError as error:
            reading.problem(f'{where}, annotation {place}', f'{error}; left out')


def _read_annotation(reading: Reading, where: str, item: RequestItem, annotation: Mapping[str, Any]) -> None:
    if annotation.get('was_cancelled'):
        reading.problem(where, 'was cancelled (skipped); left out')
        return
    annotator, seconds = _annotator(annotation.get('completed_by')), annotation.get('lead_time')
    sheet = reading.sheet(item, annotator)
    try:
        sheet.seconds += max(0.0, number(seconds)) if seconds is not None else 0.0
    except ValueError as error:
        reading.problem(f'{where}, lead_time', f'{error}; no time was counted')
    for place, result in enumerate(rows(annotation.get('result'), 'result'), 1):
        spot = f'{where}, result {place}'
        try:
            _read_result(reading, spot, item, annotator, fields(result, 'the result'))
        except ValueError as error:
            reading.problem(spot, f'{error}; left out')


def _read_result(reading: Reading, where: str, item: RequestItem, annotator: str, result: Mapping[str, Any]) -> None:
    shape, value = result.get('type'), fields(result.get('value'), 'value')
    if shape not in ('keypointlabels', 'brushlabels', 'polygonlabels'):
        raise ValueError(f'a result of type {shape!r} answers no pixels; expected keypointlabels, brushlabels or '
                         'polygonlabels')
    labels = rows(value.get(shape, value.get('labels')), 'labels')
    if len(labels) != 1:
        raise ValueError(f'it has {len(labels)} labels; expected one')
    label = reading.label(where, labels[0])
    if label is None:
        return
    size = (result.get('original_height'), result.get('original_width'))
    if size != (item.height, item.width) or result.get('image_rotation') not in (None, 0):
        raise ValueError(f'it was drawn on an image of {size[1]}x{size[0]}, rotated by {result.get("image_rotation")}; '
                         f'expected {item.width}x{item.height} (width x height), not rotated')
    reading.add(where, item, label, _draw(shape, value, item), annotator=annotator, point=shape == 'keypointlabels')


def _draw(shape: str, value: Mapping[str, Any], item: RequestItem) -> Draw:
    if shape == 'keypointlabels':
        x, y = (number(value.get(name)) * size / 100 for name, size in (('x', item.width), ('y', item.height)))
        return at(floor(x + 0.5), floor(y + 0.5))
    if shape == 'polygonlabels':
        pairs = [rows(pair, 'a point') for pair in rows(value.get('points'), 'points')]
        if any(len(pair) != 2 for pair in pairs) or not value.get('closed', True):
            raise ValueError('the polygon is not closed, or has a point that is not [x, y]')
        corners = np.array([[number(v) for v in pair] for pair in pairs]).reshape(-1, 2) / 100
        return lambda canvas: polygon_pixels(corners * [item.width, item.height], item.height, item.width)
    if value.get('format') != 'rle':
        raise ValueError(f'the brush mask has format {value.get("format")!r}; expected \'rle\'')
    return lambda canvas: unpack_rgba(value.get('rle'), item.height * item.width)


def _annotator(person: Any) -> str:
    """Name of a person: Label Studio gives an id, or an object with whatever it knows."""
    if isinstance(person, dict):
        full = ' '.join(str(person[part]) for part in ('first_name', 'last_name') if person.get(part))
        named = person.get('email') or person.get('username') or full
        return str(named) if named else _annotator(person.get('id'))
    return '' if person is None else person if isinstance(person, str) else f'user {person}'
