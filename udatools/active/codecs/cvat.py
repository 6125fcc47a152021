# SPDX-License-Identifier: Apache-2.0
"""CVAT for images 1.1: one XML file, or the archive that CVAT makes of it.

CVAT's coordinates are continuous: pixel 0 covers [0, 1), so a point is the pixel of its floor. Its masks are counts,
row-major inside a tight box, starting with a run of zeros. Shapes lie above each other by ``z_order``, then by their
place in the file. CVAT keeps no field of ours but the name of the task: a request id in it is checked.
"""
import re
from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ..request import Answer, Request
from ..submission import Submission
from .base import Codec, ImageOf, Sample
from .canvas import Canvas
from .documents import archive_member, parse_xml, place_image, write_json, write_xml
from .names import ClassNames
from .polygon import polygon_pixels
from .reading import Draw, Reading, at, file_of
from .rle import decode_counts, encode_counts
from .shapes import asked_shapes, check_answers

_REQUEST_ID = re.compile(r'[0-9a-f]{64}')


class CVATCodec(Codec):
    """CVAT for images 1.1."""

    name = 'cvat'
    title = 'CVAT for images 1.1 XML'
    filename = 'annotations.xml'

    def recognises(self, sample: Sample) -> bool:
        if sample.path.is_dir():
            return (sample.path / self.filename).is_file()
        if sample.head.startswith(b'PK'):
            try:
                return archive_member(sample.path, self.filename) is not None
            except ValueError:
                return False
        return sample.head.lstrip(b'\xef\xbb\xbf \t\r\n').startswith(b'<') and b'<annotations' in sample.head

    def read(self, path: str | Path, request: Request) -> Submission:
        path = file_of(path, self.filename)
        packed = archive_member(path, self.filename)
        root = parse_xml(path.read_bytes() if packed is None else packed, str(path))
        if root.tag != 'annotations' or root.find('track') is not None:
            what = 'CVAT for video' if root.tag == 'annotations' else f'an XML file of <{root.tag}>'
            raise ValueError(f'{path} is {what}; expected <annotations> with <image>: export the task as "CVAT for '
                             'images 1.1"')
        reading = Reading(request, self.name, layers=True)
        named = _REQUEST_ID.search(root.findtext('meta/task/name') or root.findtext('meta/job/name') or '')
        if not reading.belongs(path.name, named and named[0]):
            return reading.submission()
        assignee = next((node.findtext('username') for node in root.iter('assignee')), None) or ''
        for image in root.findall('image'):
            if len(image):
                _read_image(reading, image, assignee)
        return reading.submission()

    def export(self, request: Request, out_dir: str | Path, images: ImageOf) -> list[Path]:
        files = self._write(request, {}, Path(out_dir))
        placed = [place_image(request[key], images, Path(out_dir, 'images')) for key in request.asked_keys()]
        return files + [file for file in placed if file is not None]

    def write(self, request: Request, answers: Sequence[Answer], out_dir: str | Path) -> list[Path]:
        return self._write(request, check_answers(request, answers), Path(out_dir))

    def _write(self, request: Request, answers: Mapping[str, Sequence[Answer]], out_dir: Path) -> list[Path]:
        names = ClassNames(request)
        root = Element('annotations')
        SubElement(root, 'version').text = '1.1'
        people = {given.annotator for group in answers.values() for given in group}
        if len(people) > 1:
            raise ValueError(f'the answers are by {sorted(people)}; a task of CVAT has one assignee: write the answers of '
                             'each person into a folder of their own')
        _write_meta(root, request, names, people.pop() if people else '')
        for number, (item, _, shapes) in enumerate(asked_shapes(request, answers)):
            image = SubElement(root, 'image', id=str(number), name=item.path, width=str(item.width),
                               height=str(item.height))
            for _, label, pixels in shapes:
                y, x = np.divmod(pixels, item.width)
                common = dict(label=names.label(label), source='manual', occluded='0')
                if request.kind == 'points':
                    SubElement(image, 'points', {**common, 'points': f'{x[0] + 0.5},{y[0] + 0.5}', 'z_order': '0'})
                    continue
                left, top, width, height = x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1
                counts = encode_counts((y - top) * width + x - left, int(width * height))
                SubElement(image, 'mask', {**common, 'rle': ', '.join(map(str, counts)), 'left': str(left),
                                           'top': str(top), 'width': str(width), 'height': str(height), 'z_order': '0'})
        labels = [dict(name=label, color=colour, type='any', attributes=[]) for label, colour, _ in names.legend()]
        return [write_xml(out_dir / self.filename, root), write_json(out_dir / 'labels.json', labels)]


def _write_meta(root: Element, request: Request, names: ClassNames, assignee: str) -> None:
    task = SubElement(SubElement(root, 'meta'), 'task')
    SubElement(task, 'name').text = f'request {request.request_id}'
    SubElement(task, 'size').text = str(len(request.asked_keys()))
    SubElement(task, 'mode').text = 'annotation'
    labels = SubElement(task, 'labels')
    for label, colour, _ in names.legend():
        row = SubElement(labels, 'label')
        for tag, text in (('name', label), ('color', colour), ('type', 'any')):
            SubElement(row, tag).text = text
        SubElement(row, 'attributes')
    if assignee:
        SubElement(SubElement(task, 'assignee'), 'username').text = assignee


def _read_image(reading: Reading, image: Element, annotator: str) -> None:
    name = image.get('name')
    where = f'<image id="{image.get("id")}" name="{name}">'
    try:
        size = (int(image.get('height', '')), int(image.get('width', '')))
    except ValueError:
        reading.problem(where, 'has no whole width and height; its answers were left out')
        return
    item = reading.item(where, name, size)
    if item is None:
        return
    shapes: list[tuple[int, str, Element]] = []
    for number, shape in enumerate(image, 1):
        place = f'{where}, shape {number} <{shape.tag}>'
        try:
            shapes.append((int(shape.get('z_order', '0')), place, shape))
        except ValueError:
            reading.problem(place, f'z_order is {shape.get("z_order")!r}; expected a whole number; left out')
    for _, place, shape in sorted(shapes, key=lambda entry: entry[0]):
        label = reading.label(place, shape.get('label'))
        if label is None:
            continue
        try:
            draws = _draws(shape)
        except ValueError as error:
            reading.problem(place, f'{error}; left out')
            continue
        for draw in draws:
            reading.add(place, item, label, draw, annotator=annotator, point=shape.tag == 'points')


def _draws(shape: Element) -> list[Draw]:
    if shape.tag == 'points':
        return [at(floor(x), floor(y)) for x, y in _coordinates(shape)]
    if shape.tag == 'polygon':
        corners = _coordinates(shape)
        return [lambda canvas: polygon_pixels(corners, canvas.item.height, canvas.item.width)]
    if shape.tag == 'mask':
        left, top, width, height = (_whole(shape, name) for name in ('left', 'top', 'width', 'height'))
        rle = shape.get('rle', '')
        return [lambda canvas: _mask_pixels(canvas, rle, left, top, width, height)]
    raise ValueError(f'<{shape.tag}> is no shape that answers pixels; expected points, mask or polygon')


def _mask_pixels(canvas: Canvas, rle: str, left: int, top: int, width: int, height: int) -> np.ndarray:
    item = canvas.item
    if left < 0 or top < 0 or width < 1 or height < 1 or left + width > item.width or top + height > item.height:
        raise ValueError(f'the box of the mask (left {left}, top {top}, width {width}, height {height}) does not lie in '
                         f'the image of {item.width}x{item.height}; left out')
    try:
        counts = [int(text) for text in rle.split(',')]
    except ValueError as error:
        raise ValueError('the run lengths of the mask are no whole numbers; left out') from error
    y, x = np.divmod(decode_counts(counts, width * height), width)
    return (y + top) * item.width + x + left


def _whole(shape: Element, name: str) -> int:
    try:
        return int(shape.get(name, ''))
    except ValueError as error:
        raise ValueError(f'{name} is {shape.get(name)!r}; expected a whole number') from error


def _coordinates(shape: Element) -> Any:
    text = shape.get('points', '')
    try:
        points = np.array([[float(value) for value in pair.split(',')] for pair in text.split(';')])
    except ValueError as error:
        raise ValueError(f'points are {text[:40]!r}; expected "x,y;x,y;..."') from error
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f'points are {text[:40]!r}; expected "x,y;x,y;..."')
    return points
