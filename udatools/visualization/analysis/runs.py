# SPDX-License-Identifier: Apache-2.0
"""What the analysis page is made from: finished or running work directories, grouped into methods of several seeds.

Read and never written. ``results.json`` may be missing while the first stage trains; then the journal says what there is.
"""

import json
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from udatools.visualization.analysis.history import Curve, read_history
from udatools.visualization.run_data import RunData, Stage, load_run, pseudo_label_folders
from udatools.visualization.tables import common_suffix

__all__ = ['MeanPoint', 'Method', 'RunTrace', 'StageTrace', 'load_methods', 'mean_curve']

#: (iteration, mean, least, greatest) over seeds.
MeanPoint = tuple[int, float, float, float]


@dataclass
class StageTrace:
    """One stage of a run.

    Attributes:
        name (str): such as ``round2_main``.
        status (str): of the journal: pending, running, waiting or done.
        start (int): iterations of the stages before it.
        iterations (int): trained so far.
        planned (int): of the whole stage; 0 where nothing says so.
        curves (dict[str, Curve]): as of :class:`StageHistory`, iterations counted from the start of the stage.
        result (Stage | None): its evaluation.
    """

    name: str
    status: str
    start: int
    iterations: int
    planned: int = 0
    curves: dict[str, Curve] = field(default_factory=dict)
    result: Stage | None = None


@dataclass
class RunTrace:
    """One work directory."""

    run: RunData
    stages: list[StageTrace]

    @property
    def work_dir(self) -> Path:
        """Where it is."""
        return self.run.work_dir

    @property
    def evaluated(self) -> list[StageTrace]:
        """The stages with a result, in order."""
        return [stage for stage in self.stages if stage.result is not None]

    def scores(self) -> Curve:
        """mIoU in percent after each evaluated stage, and where it was validated during training."""
        ends = {stage.start + stage.iterations: stage.result.miou for stage in self.stages
                if stage.result is not None and math.isfinite(stage.result.miou)}
        during = {stage.start + iteration: value for stage in self.stages for iteration, value in stage.curves.get('mIoU', [])}
        return sorted((during | ends).items())

    def coverage(self) -> dict[int, dict[str, Any]]:
        """Round -> content of ``coverage.json`` in its folder of pseudo-labels."""
        folders = pseudo_label_folders(self.work_dir)
        found = {number: _read_object(folder / 'coverage.json') for number, folder in folders.items()}
        return {number: content for number, content in found.items() if isinstance(content.get('classes'), dict)}


@dataclass
class Method:
    """The runs of one config, a seed each; ``label`` is what the page calls it."""

    label: str
    runs: list[RunTrace]

    def curve(self, name: str) -> list[list[MeanPoint]]:
        """Means of a logged value over the seeds; stages that did not log it part the curve."""
        parts: list[list[MeanPoint]] = []
        order = list(dict.fromkeys(stage.name for trace in self.runs for stage in trace.stages))
        last = -2
        for i, stage in enumerate(order):
            curve = mean_curve([[(entry.start + iteration, value) for iteration, value in entry.curves.get(name, [])]
                                for trace in self.runs for entry in trace.stages if entry.name == stage])
            if curve:
                parts = [*parts[:-1], parts[-1] + curve] if last == i - 1 else [*parts, curve]
                last = i
        return parts

    def final_scores(self) -> list[float]:
        """mIoU of the last evaluated stage of every run that has one."""
        found = [trace.run.final.miou for trace in self.runs if trace.run.final is not None]
        return [value for value in found if math.isfinite(value)]

    @property
    def miou(self) -> float:
        """Their mean; NaN without one."""
        scores = self.final_scores()
        return statistics.mean(scores) if scores else math.nan

    def class_iou(self, stage: str | None = None) -> dict[str, float]:
        """IoU by class in percent, mean over the seeds that have it.

        Args:
            stage (str, optional): name of an evaluated stage; by default the last of each run.
        """
        found: dict[str, list[float]] = {}
        for trace in self.runs:
            results = [entry.result for entry in trace.evaluated if stage in (None, entry.name) and entry.result is not None]
            for name, value in (results[-1].iou if results else {}).items():
                found.setdefault(name, []).extend([value] if math.isfinite(value) else [])
        return {name: statistics.mean(values) if values else math.nan for name, values in found.items()}


def mean_curve(curves: Sequence[Curve]) -> list[MeanPoint]:
    """(iteration, mean, least, greatest) over the curves that have a value there: stages that a run took over have no log."""
    found: dict[int, list[float]] = {}
    for iteration, value in (point for curve in curves for point in curve):
        found.setdefault(iteration, []).append(value)
    return [(iteration, statistics.mean(values), min(values), max(values)) for iteration, values in sorted(found.items())]


def load_methods(work_dirs: Sequence[str | Path]) -> list[Method]:
    """Read runs and group those that differ in their seed alone.

    Args:
        work_dirs (Sequence[str | Path]): work directories of ``tools/train.py``, finished or not.

    Returns:
        list[Method]: in the order given. Runs of one name are one method, unless two of them have the same seed (a config
        with other options, for instance): then each is one by itself, named by its folder. An ending that all names share
        is left out.

    Raises:
        FileNotFoundError: a folder is no work directory.
        ValueError: a ``results.json`` is damaged, the runs follow different protocols, or none is given.
    """
    if not work_dirs:
        raise ValueError('got no work directory; name one or more')
    traces = [_load_trace(Path(work_dir)) for work_dir in dict.fromkeys(map(Path, work_dirs))]
    protocols = sorted({trace.run.protocol for trace in traces if trace.run.protocol})
    if len(protocols) > 1:
        raise ValueError(f'the runs follow different protocols: {", ".join(protocols)}; compare them one by one')
    groups: dict[str, list[RunTrace]] = {}
    for trace in traces:
        groups.setdefault(trace.run.name, []).append(trace)
    suffix = common_suffix(list(groups))
    methods = []
    for name, group in groups.items():
        label, seeds = name.removesuffix(suffix), [trace.run.seed for trace in group]
        if len(set(seeds)) == len(seeds):
            methods.append(Method(label, sorted(group, key=lambda trace: trace.run.seed or 0)))
        else:
            methods += [Method(f'{label}, {folder}', [trace]) for folder, trace in zip(_folders(group), group)]
    return methods


def _folders(traces: Sequence[RunTrace]) -> list[str]:
    """Shortest ends of their paths that tell them apart."""
    parts = [trace.work_dir.resolve().parts for trace in traces]
    length = next(n for n in range(1, 1 + max(map(len, parts))) if len({part[-n:] for part in parts}) == len(parts))
    return ['/'.join(part[-length:]) for part in parts]


def _load_trace(work_dir: Path) -> RunTrace:
    if (work_dir / 'results.json').is_file():
        run = load_run(work_dir)
    elif (work_dir / 'journal.json').is_file():
        about = _read_object(work_dir / 'journal.json').get('run') or {}
        run = RunData(work_dir, str(about.get('name') or work_dir.resolve().name), about.get('seed'), '', [], [], [], [], {},
                      _read_object(work_dir / 'journal.json'), None, {}, '', {})
    else:
        raise FileNotFoundError(f'{work_dir} has neither results.json nor journal.json; expected a work directory of '
                                'tools/train.py, such as work_dirs/spl_minidrive')
    return RunTrace(run, _stages(run))


def _stages(run: RunData) -> list[StageTrace]:
    records = run.journal.get('stages') or {}
    names = (run.journal.get('run') or {}).get('stages') or list(records)
    results = {stage.name: stage for stage in run.stages}
    folders = {path.name.partition('_')[2]: path for path in sorted((run.work_dir / 'stages').glob('[0-9]*_*'))}
    stages, start = [], 0
    for name in [*names, *(name for name in results if name not in names)]:  # the journal may be missing in a copy of a run
        record = records.get(name) or {}
        history = read_history(folders[name]) if name in folders else read_history(run.work_dir / 'stages' / name)
        result = results.get(name)
        trained = _iterations(str(record.get('checkpoint') or (result.checkpoint if result else '')))
        status = str(record.get('status') or ('done' if result else 'pending'))
        iterations = trained if trained and status == 'done' else history.done
        stages.append(StageTrace(name, status, start, iterations, max(history.planned, iterations), history.curves, result))
        start += stages[-1].planned
    return stages


def _iterations(checkpoint: str) -> int:
    """Of a checkpoint's name, ``.../iter_400.pth``; 0 for another one."""
    match = re.search(r'iter_(\d+)\.pth$', checkpoint)
    return int(match[1]) if match else 0


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
