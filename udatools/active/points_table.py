# SPDX-License-Identifier: Apache-2.0
"""``points.csv`` of a request for points: a row a point, whose column ``label`` a person fills in any spreadsheet.

Class and confidence of the model have columns that stay empty: they would pull the answers towards themselves.
"""
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from udatools.utils.atomic import write_text_atomic

FILENAME = 'points.csv'
COLUMNS = ('point_id', 'image', 'x', 'y', 'round', 'pred', 'conf', 'score', 'region_id', 'label')
Row = tuple[str, ...]


def point_rows(path: str, width: int, round: int, flat_index: np.ndarray, score: np.ndarray) -> list[Row]:
    """The rows of one image, without their ids; regions are numbered as in the mask.

    Args:
        path (str): the image as the request names it.
        width (int): of the image, in pixels.
        round (int): of the request.
        flat_index (np.ndarray): integer, (N,), the points, ascending.
        score (np.ndarray): float, (N,), what the selector ranked them by.
    """
    return [(path, str(x), str(y), str(round), '', '', f'{value:.4g}', str(number), '')
            for number, (x, y, value) in enumerate(zip((flat_index % width).tolist(), (flat_index // width).tolist(),
                                                       score.tolist()), 1)]


def write_table(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as CSV, atomically."""
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    write_text_atomic(path, text.getvalue())
    return path


def write_points(root: Path, rows: Sequence[Row]) -> Path:
    """Write the table of a package; one that somebody has filled in is kept beside it under another name."""
    path = root / FILENAME
    if path.is_file() and _filled(path):
        number = 1
        while (kept := root / f'{path.stem}.{number}{path.suffix}').exists():
            number += 1
        path.rename(kept)
    return write_table(path, [COLUMNS, *((str(number), *row) for number, row in enumerate(rows, 1))])


def _filled(path: Path) -> bool:
    try:
        with open(path, encoding='utf-8-sig', newline='') as stream:
            return any((row.get('label') or '').strip() for row in csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error):  # saved by another program: not ours to replace
        return True
