# SPDX-License-Identifier: Apache-2.0
"""Curves of a training from the files of its stage: mmengine's ``scalars.json`` where a logger writes one, else the log.

``LoggerHook`` with a ``LocalVisBackend`` leaves ``<time>/vis_data/scalars.json``, one JSON object a line. Runs without it still
have the lines of ``ProgressHook`` in ``<time>/<time>.log``, at its interval and with four digits. A stage that was stopped and
resumed has several of these folders; where they overlap, the later one counts: it is the one that went on.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    found: dict[str, dict[int, float]] = {}
    history = StageHistory()
    for start in sorted(path for path in folder.glob('*') if path.is_dir()):
        rows = list(_scalars(start / 'vis_data' / 'scalars.json'))
        for iteration, planned, values in rows or _progress(start / f'{start.name}.log'):
            history.planned = max(history.planned, planned)
            for name, value in values.items():
                found.setdefault(name, {})[iteration] = value
    history.curves = {name: sorted(points.items()) for name, points in found.items()}
    history.done = max((curve[-1][0] for curve in history.curves.values()), default=0)
    return history


def _lines(path: Path) -> Iterator[str]:
    if path.is_file():
        with path.open(encoding='utf-8', errors='replace') as file:
            yield from file


def _scalars(path: Path) -> Iterator[tuple[int, int, dict[str, float]]]:
    """(iteration, 0, values) of mmengine's file."""
    for line in _lines(path):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        iteration = record.get('step', record.get('iter')) if isinstance(record, Mapping) else None
        if not isinstance(iteration, int):
            continue
        values = {_short(name): value for name, value in record.items() if _is_number(value) and ('.' in name or name == 'mIoU')}
        if values:
            yield iteration, 0, values


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
    """As ``ProgressHook`` calls it."""
    return name.replace('.loss_', '.', 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
