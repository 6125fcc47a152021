# SPDX-License-Identifier: Apache-2.0
"""COCO instances with run-length masks (RLE), column-major, as counts or as COCO's compressed text; polygons are read too.

COCO has no points: a point is a mask of one pixel. It has no order of layers either, so masks of different classes that
overlap on an asked pixel leave it unanswered. The request id travels in ``info``.
"""
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..request import NOT_ANSWERED, VOID, Answer, Request
from ..submission import Submission
from .base import Codec, ImageOf, Sample
from .canvas import Canvas
from .documents import place_image, read_json, write_json
from .names import ClassNames
from .polygon import polygon_pixels
from .reading import Reading, fields, file_of, number, rows
from .rle import compress_counts, decode_counts, decompress_counts, encode_counts
from .shapes import asked_shapes, check_answers


class COCORLECodec(Codec):
    """COCO JSON with RLE masks."""

    name = 'coco_rle'
    title = 'COCO JSON with RLE masks'
    filename = 'coco_rle.json'

    def recognises(self, sample: Sample) -> bool:
        if sample.path.is_dir():
            return (sample.path / self.filename).is_file()
        document = sample.document
        return isinstance(document, dict) and {'images', 'annotations', 'categories'} <= set(document)

    def read(self, path: str | Path, request: Request) -> Submission:
        path = file_of(path, self.filename)
        try:
            document = fields(read_json(path), 'the document')
            images, annotations, categories = (
                _by_id(rows(document[part], part), part) if part != 'annotations' else rows(document[part], part)
                for part in ('images', 'annotations', 'categories'))
        except KeyError as error:
            raise ValueError(f'{path} has no {error}; expected a COCO document with images, annotations and categories'
                             ) from error
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
        reading = Reading(request, self.name)
        info = document.get('info')
        info = info if isinstance(info, dict) else {}
        if not reading.belongs(path.name, info.get('request_id')):
            return reading.submission()
        annotator = str(info.get('contributor') or '')
        self._read_annotations(reading, annotator, images, annotations, categories)
        return reading.submission()

    def _read_annotations(self, reading: Reading, annotator: str, images: Any, annotations: Any, categories: Any) -> None:
        used = {row['image_id'] for row in annotations if isinstance(row, dict) and _is_id(row.get('image_id'))}
        items = {name: reading.item(f'image {name}', row.get('file_name'), (row.get('height'), row.get('width')))
                 for name, row in images.items() if name in used}
        for place, annotation in enumerate(annotations, 1):
            where = f'annotation {place}'
            try:
                where = f'annotation {fields(annotation, "the annotation").get("id", place)}'
                image, category = annotation.get('image_id'), annotation.get('category_id')
                if not _is_id(image) or image not in items:
                    raise ValueError(f'image_id is {image!r}, which no image has')
                if not _is_id(category) or category not in categories:
                    raise ValueError(f'category_id is {category!r}, which no category has')
                item = items[image]
                label = None if item is None else reading.label(where, categories[category].get('name'))
                if item is not None and label is not None:
                    reading.add(where, item, label, partial(_pixels, annotation.get('segmentation')), annotator=annotator)
            except ValueError as error:
                reading.problem(where, f'{error}; left out')

    def export(self, request: Request, out_dir: str | Path, images: ImageOf) -> list[Path]:
        files = self._write(request, {}, Path(out_dir))
        placed = [place_image(request[key], images, Path(out_dir, 'images')) for key in request.asked_keys()]
        return files + [file for file in placed if file is not None]

    def write(self, request: Request, answers: Sequence[Answer], out_dir: str | Path) -> list[Path]:
        return self._write(request, check_answers(request, answers), Path(out_dir))

    def _write(self, request: Request, answers: Mapping[str, Sequence[Answer]], out_dir: Path) -> list[Path]:
        names = ClassNames(request)
        people = {given.annotator for group in answers.values() for given in group}
        if len(people) > 1:
            raise ValueError(f'the answers are by {sorted(people)}; a COCO document has one contributor: write the answers '
                             'of each person into a folder of their own')
        values = [*range(len(names.names)), VOID, NOT_ANSWERED]
        category_of = {value: place for place, value in enumerate(values, 1)}
        images: list[Any] = []
        annotations: list[Any] = []
        for item, _, shapes in asked_shapes(request, answers):
            images.append(dict(id=len(images) + 1, file_name=item.path, width=item.width, height=item.height, license=0,
                               date_captured=''))
            for _, label, pixels in shapes:
                y, x = np.divmod(pixels, item.width)
                counts = encode_counts(np.sort(x * item.height + y), item.height * item.width)
                annotations.append(dict(
                    id=len(annotations) + 1, image_id=len(images), category_id=category_of[label], iscrowd=0,
                    segmentation=dict(size=[item.height, item.width], counts=compress_counts(counts)),
                    area=int(pixels.size),
                    bbox=[int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]))
        info = dict(description='answers to a request', version='1.0', contributor=people.pop() if people else '',
                    request_id=request.request_id)
        categories = [dict(id=category_of[value], name=names.label(value), supercategory='') for value in values]
        return [write_json(out_dir / self.filename, dict(info=info, licenses=[], images=images, annotations=annotations,
                                                         categories=categories))]


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str))


def _by_id(table: list[Any], part: str) -> dict[Any, Mapping[str, Any]]:
    found: dict[Any, Mapping[str, Any]] = {}
    for row in table:
        name = fields(row, f'a row of {part}').get('id')
        if not _is_id(name) or name in found:
            raise ValueError(f'{part} has the id {name!r} twice or not as a number or text; expected distinct ids')
        found[name] = row
    return found


def _pixels(segmentation: Any, canvas: Canvas) -> np.ndarray:
    """Row-major indices of a segmentation: RLE, or polygons whose union counts."""
    height, width = canvas.item.height, canvas.item.width
    if isinstance(segmentation, list):
        parts = []
        for flat in segmentation:
            values = [number(value) for value in rows(flat, 'a polygon')]
            if len(values) % 2:
                raise ValueError(f'a polygon has {len(values)} numbers; expected pairs x, y; left out')
            parts.append(polygon_pixels(np.array(values).reshape(-1, 2), height, width))
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
    mask = fields(segmentation, 'segmentation')
    if mask.get('size') != [height, width]:
        raise ValueError(f'the mask has size {mask.get("size")}; expected {[height, width]}; left out')
    counts = mask.get('counts')
    if isinstance(counts, str):
        counts = decompress_counts(counts)
    x, y = np.divmod(decode_counts(counts, height * width), height)
    return y * width + x
