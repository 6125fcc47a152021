# SPDX-License-Identifier: Apache-2.0
"""labelme: one JSON file an image, beside it.

Coordinates are continuous: pixel 0 covers [0, 1), so a point is the pixel of its floor. A mask is a box given by two
corner pixels and a base64 PNG of its inside. Later shapes lie above earlier ones, as in labelme's own label images.
labelme keeps top-level fields that it does not know, so the request id travels there. Written from the format alone.
"""
import base64
import posixpath
from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..request import Answer, Request, RequestItem
from ..submission import Submission
from .base import Codec, ImageOf, Sample
from .canvas import Canvas
from .documents import decode_base64, decode_png, inside, place_image, read_json, write_json
from .names import ClassNames
from .polygon import polygon_pixels
from .reading import Draw, Reading, at, fields, number, rows
from .shapes import UnitShape, asked_shapes, check_answers

_VERSION = '5.4.1'


class LabelmeCodec(Codec):
    """labelme JSON, a file an image."""

    name = 'labelme'
    title = 'labelme JSON'

    def recognises(self, sample: Sample) -> bool:
        if sample.path.is_dir():
            first = next(iter(sorted(sample.path.rglob('*.json'))), None)
            return first is not None and self.recognises(Sample(first))
        return isinstance(sample.document, dict) and 'shapes' in sample.document and 'imagePath' in sample.document

    def read(self, path: str | Path, request: Request) -> Submission:
        path, reading = Path(path), Reading(request, self.name, layers=True)
        if not path.is_dir():
            document = read_json(path)
            if not isinstance(document, dict) or not isinstance(document.get('shapes'), list):
                raise ValueError(f'{path} is no file of labelme: it has no list "shapes"')
            _read_image(reading, path, path.parent, document)
            return reading.submission()
        files = sorted(path.rglob('*.json'))
        if not files:
            raise ValueError(f'{path} has no JSON file; expected those that labelme saved beside the images')
        for file in files:
            try:
                _read_image(reading, file, path, fields(read_json(file), 'the file'))
            except ValueError as error:
                reading.problem(file.relative_to(path).as_posix(), f'{error}; left out')
        return reading.submission()

    def export(self, request: Request, out_dir: str | Path, images: ImageOf) -> list[Path]:
        files = self._write(request, {}, Path(out_dir))
        placed = [place_image(request[key], images, out_dir) for key in request.asked_keys()]
        return files + [file for file in placed if file is not None]

    def write(self, request: Request, answers: Sequence[Answer], out_dir: str | Path) -> list[Path]:
        return self._write(request, check_answers(request, answers), Path(out_dir))

    def _write(self, request: Request, answers: Mapping[str, Sequence[Answer]], out_dir: Path) -> list[Path]:
        names, files = ClassNames(request), []
        for item, given, shapes in asked_shapes(request, answers):
            costs = {} if given is None else dict(annotator=given.annotator, seconds=given.seconds)
            files.append(write_json(inside(out_dir, item.key + '.json'), dict(
                version=_VERSION, flags={}, shapes=[_shape(request.kind, item, names, shape) for shape in shapes],
                imagePath=Path(item.path).name, imageData=None, imageHeight=item.height, imageWidth=item.width,
                udatools=dict(request_id=request.request_id, key=item.key, **costs))))
        labels = inside(out_dir, 'labels.txt')
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text(''.join(f'{label}\n' for label, _, _ in names.legend()), encoding='utf-8')
        return [*files, labels]


def _shape(kind: str, item: RequestItem, names: ClassNames, shape: UnitShape) -> dict[str, Any]:
    _, label, pixels = shape
    common: dict[str, Any] = dict(label=names.label(label), group_id=None, description='', flags={})
    y, x = np.divmod(pixels, item.width)
    if kind == 'points':
        return dict(**common, points=[[int(x[0]) + 0.5, int(y[0]) + 0.5]], shape_type='point', mask=None)
    mask: np.ndarray = np.zeros((np.ptp(y) + 1, np.ptp(x) + 1), np.uint8)
    mask[y - y.min(), x - x.min()] = 1
    encoded = base64.b64encode(cv2.imencode('.png', mask)[1].tobytes()).decode('ascii')
    corners = [[float(x.min()), float(y.min())], [float(x.max()), float(y.max())]]
    return dict(**common, points=corners, shape_type='mask', mask=encoded)


def _read_image(reading: Reading, file: Path, root: Path, document: Mapping[str, Any]) -> None:
    where = file.relative_to(root).as_posix()
    ours = document.get('udatools')
    ours = ours if isinstance(ours, dict) else {}
    if not reading.belongs(where, ours.get('request_id')):
        return
    shapes = rows(document.get('shapes'), 'shapes')
    if not shapes:
        return
    # The path in the file is relative to it, so the file's own folder is part of the name.
    named = document.get('imagePath')
    beside = posixpath.normpath(f'{Path(where).parent.as_posix()}/{named}') if isinstance(named, str) else None
    key = ours.get('key')
    item = reading.item(where, beside if key is None else key, (document.get('imageHeight'), document.get('imageWidth')),
                        key=key is not None)
    if item is None:
        return
    annotator = str(ours.get('annotator') or '')
    try:
        reading.sheet(item, annotator).seconds += max(0.0, number(ours.get('seconds', 0.0)))
    except ValueError as error:
        reading.problem(f'{where}, seconds', f'{error}; no time was counted')
    for place, shape in enumerate(shapes, 1):
        spot = f'{where}, shape {place}'
        try:
            label = reading.label(spot, fields(shape, 'the shape').get('label'))
            if label is not None:
                reading.add(spot, item, label, _draw(shape), annotator=annotator,
                            point=shape.get('shape_type') == 'point')
        except ValueError as error:
            reading.problem(spot, f'{error}; left out')


def _draw(shape: Mapping[str, Any]) -> Draw:
    kind = shape.get('shape_type')
    pairs = [rows(pair, 'a point') for pair in rows(shape.get('points'), 'points')]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError('a point is not [x, y]')
    points = np.array([[number(value) for value in pair] for pair in pairs])
    if kind == 'point':
        if len(points) != 1:
            raise ValueError(f'the point has {len(points)} places; expected one')
        return at(floor(points[0][0]), floor(points[0][1]))
    if kind == 'polygon':
        return lambda canvas: polygon_pixels(points, canvas.item.height, canvas.item.width)
    if kind == 'mask':
        if len(points) != 2:
            raise ValueError(f'the mask has {len(points)} corners; expected two')
        return lambda canvas: _mask_pixels(canvas, points, shape.get('mask'))
    raise ValueError(f'a shape of type {kind!r} answers no pixels; expected point, polygon or mask')


def _mask_pixels(canvas: Canvas, corners: np.ndarray, encoded: Any) -> np.ndarray:
    item = canvas.item
    left, top = (floor(value) for value in corners[0])
    right, bottom = (floor(value) for value in corners[1])
    # The second corner is the last pixel inside; some writers give the one after it.
    sizes = {(bottom - top + 1, right - left + 1), (bottom - top, right - left)}
    try:
        mask = decode_png(decode_base64(encoded), sizes)
    except ValueError as error:
        raise ValueError(f'the PNG of the mask: {error}; left out') from error
    y, x = np.nonzero(mask)
    if left < 0 or top < 0 or left + mask.shape[1] > item.width or top + mask.shape[0] > item.height:
        raise ValueError(f'the box of the mask, from ({left}, {top}), {mask.shape[1]}x{mask.shape[0]}, does not lie in '
                         f'the image of {item.width}x{item.height}; left out')
    return (y + top) * item.width + x + left
