# SPDX-License-Identifier: Apache-2.0
"""Curves of a training from the files of its stage: ``vis_data/scalars.json``, else the log.

``CurveHook`` leaves one JSON object a line: ``train/source.loss_main``, ``val/mIoU``, ``step``. A stage that goes on takes back
what came after its checkpoint, so every iteration is there once. A run without that file still has the lines of ``ProgressHook``
in ``<time>/<time>.log``, at the same interval and with four digits; they alone say how long the stage will be. A stage that was
stopped and resumed has several of these logs; where they overlap, the later one counts: it is the one that went on.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from udatools.engine.tracking import FOLDER, SCALARS

__all__ = ['Curve', 'StageHistory', 'read_history']

#: (iteration, value), from 1, in order.
Curve = list[tuple[int, float]]

_PROGRESS = re.compile(r' - \[\d+/\d+\] \S+  (\d+)/(\d+)  (.*?)  [\d.]+ s/it  [\d:]+ left\s*$')


@dataclass
class StageHistory:
    """What a stage has logged so far.

    Attributes:
        curves (dict[str, Curve]): by ``objective.value`` (``source.main``: ``loss_main`` of the objective ``source``), and
            ``mIoU`` where the stage was validated while it trained.
        done (int): the last iteration that was logged.
        planned (int): iterations of the stage, 0 where nothing says so.
    """

    curves: dict[str, Curve] = field(default_factory=dict)
    done: int = 0
    planned: int = 0


def read_history(folder: Path) -> StageHistory:
    """Read the curves of one stage.

    Args:
        folder (Path): ``work_dir/stages/NN_<name>``; without logs, or not there, the history is empty.

    Returns:
        StageHistory: of all its starts. Lines that are cut off or no numbers are left out, as a running stage has them.
    """
    logged: list[tuple[int, dict[str, float]]] = []
    history = StageHistory()
    for start in sorted(path for path in folder.glob('*') if path.is_dir()):
        for iteration, planned, values in _progress(start / f'{start.name}.log'):
            history.planned = max(history.planned, planned)
            logged.append((iteration, values))
    found: dict[str, dict[int, float]] = {}
    for iteration, values in list(_scalars(folder / FOLDER / SCALARS)) or logged:
        for name, value in values.items():
            found.setdefault(name, {})[iteration] = value
    history.curves = {name: sorted(points.items()) for name, points in found.items()}
    history.done = max((curve[-1][0] for curve in history.curves.values()), default=0)
    return history


def _lines(path: Path) -> Iterator[str]:
    if path.is_file():
        with path.open(encoding='utf-8', errors='replace') as file:
            yield from file


def _scalars(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """(iteration, values) of the file that ``CurveHook`` writes."""
    for line in _lines(path):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        iteration = record.get('step') if isinstance(record, Mapping) else None
        if not isinstance(iteration, int):
            continue
        values = {short: value for name, value in record.items() if _is_number(value) and (short := _short(name))}
        if values:
            yield iteration, values


def _progress(path: Path) -> Iterator[tuple[int, int, dict[str, float]]]:
    """(iteration, iterations of the stage, values) of the lines of ``ProgressHook``."""
    for line in _lines(path):
        match = _PROGRESS.search(line)
        if match is None:
            continue
        values = {}
        for part in match[3].split('  '):
            name, _, text = part.strip().rpartition(' ')
            try:
                value = float(text)
            except ValueError:
                continue
            if name and math.isfinite(value):
                values[name] = value
        yield int(match[1]), int(match[2]), values


def _short(name: str) -> str:
    """As ``ProgressHook`` calls a loss or a watched value, ``mIoU``, or nothing: rates and times are no curves of the page."""
    if name == 'val/mIoU':
        return 'mIoU'
    part, _, short = name.partition('/')
    if part != 'train' or '.' not in short or short.endswith(('.lr', '.base_lr')):
        return ''
    return short.replace('.loss_', '.', 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
