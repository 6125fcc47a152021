# SPDX-License-Identifier: Apache-2.0
"""What the page of a campaign is made from: results, requests and ledger of finished runs, read and never written."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from udatools.active.costs import CostModel
from udatools.active.ledger import LabelLedger
from udatools.active.request import Request
from udatools.evaluation.evenness import normalised_entropy
from udatools.visualization.labelling import run_costs
from udatools.visualization.run_data import Baseline, RunData, Stage, load_run
from udatools.visualization.tables import common_suffix

__all__ = ['Campaign', 'ClassGain', 'Round', 'load_campaigns']

#: Units of cost that a campaign is compared in.
UNITS = ('seconds', 'clicks', 'pixels')


@dataclass
class Round:
    """One round of questions.

    Attributes:
        number (int): from 1.
        kind (str): of the request: ``'segments'``, ``'points'``, ``'regions'``, ``'tags'`` or ``'class_points'``.
        asked (int): pixels asked.
        units (int): points or connected regions asked.
        images (int): images asked about.
        spent (dict): of the answers: pixels, points, clicks, components, seconds, void, images.
        rejected (int): answered pixels outside of the request, left out by the ledger.
        conflicts (int): pixels on which people differ.
        people (list[str]): who answered.
        classes (dict[str, int]): answered pixels by class, void left out.
        miou (float): percent, after training on the answers; NaN if that was not evaluated.
        gain (float): ``miou`` minus that of the round before, in points; NaN if unknown.
    """

    number: int
    kind: str = 'segments'
    asked: int = 0
    units: int = 0
    images: int = 0
    spent: dict[str, Any] = field(default_factory=dict)
    rejected: int = 0
    conflicts: int = 0
    people: list[str] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    miou: float = math.nan
    gain: float = math.nan


@dataclass
class ClassGain:
    """IoU of a class in percent, at the first and at the last evaluated stage, and its answered pixels."""

    name: str
    pixels: int
    first: float
    last: float

    @property
    def gain(self) -> float:
        """Points of IoU."""
        return self.last - self.first


@dataclass
class Campaign:
    """One run that asked for labels.

    Attributes:
        run (RunData): results, baselines, paths.
        label (str): what the page calls it.
        rounds (list[Round]): that were asked, in order.
        images (int): of the target training set.
        total_pixels (int): native pixels of it.
        costs (CostModel): of the run's annotator, else the default.
    """

    run: RunData
    label: str
    rounds: list[Round]
    images: int
    total_pixels: int
    costs: CostModel

    @property
    def start(self) -> Stage | None:
        """The last evaluated stage before the first round."""
        return next((stage for stage in reversed(self.run.stages) if stage.round == 0), None)

    @property
    def full_seconds(self) -> float:
        """Labelling all images in full, by the cost model."""
        return self.images * self.costs.image_seconds

    @property
    def classes(self) -> dict[str, int]:
        """Answered pixels by class over all rounds."""
        total: Counter[str] = Counter()
        for entry in self.rounds:
            total.update(entry.classes)
        return {name: total[name] for name in self.run.classes}

    def evenness(self, classes: Mapping[str, float]) -> float:
        """:func:`normalised_entropy` over the classes of the run."""
        return normalised_entropy(classes.values(), max(2, len(self.run.classes)))

    def total(self, unit: str) -> float:
        """Spent in all rounds, in seconds, clicks, pixels, ..."""
        return float(sum(entry.spent.get(unit, 0) for entry in self.rounds))

    def curve(self, unit: str) -> list[tuple[int, float, float]]:
        """(round, cost so far in the unit, mIoU) of every round whose result was evaluated."""
        points, cost = [], 0.0
        for entry in self.rounds:
            cost += entry.spent.get(unit, 0)
            if math.isfinite(entry.miou):
                points.append((entry.number, cost, entry.miou))
        return points

    def gains(self) -> list[ClassGain]:
        """Every class with an IoU at the first and the last evaluated stage; empty with one stage."""
        stages = [stage for stage in self.run.stages if stage.iou]
        if len(stages) < 2:
            return []
        pixels, first, last = self.classes, stages[0].iou, stages[-1].iou
        both = [name for name in self.run.classes if math.isfinite(first.get(name, math.nan) + last.get(name, math.nan))]
        return [ClassGain(name, pixels.get(name, 0), first[name], last[name]) for name in both]


def load_campaigns(work_dirs: Sequence[str | Path], image_root: str | Path | None = None,
                   ) -> tuple[list[Campaign], list[Baseline]]:
    """Read runs; those without a ledger are baselines.

    Args:
        work_dirs (Sequence[str | Path]): work directories, each with a ``results.json``.
        image_root (str | Path | None): as of :func:`udatools.visualization.run_data.load_run`.

    Returns:
        tuple: the campaigns in the order given, and the baselines, those that the runs' results name first. Of several
        baselines of one name the first counts. An ending that all names share is left out.

    Raises:
        FileNotFoundError: a run has no ``results.json``, or none has a ledger.
        ValueError: ``results.json`` is damaged.
        LedgerError: a ledger is damaged.
    """
    runs = [load_run(work_dir, image_root) for work_dir in work_dirs]
    asked = [run for run in runs if (run.work_dir / 'ledger.sqlite').is_file()]
    if not asked:
        raise FileNotFoundError(f'none of {", ".join(str(run.work_dir) for run in runs)} has a ledger.sqlite; expected the '
                                'work directory of a run that asks for labels, such as configs/labor/spl_minidrive.py')
    baselines = {baseline.name: baseline for run in reversed(asked) for baseline in reversed(run.baselines)}
    for run in runs:
        final = run.final
        if final is not None and run.name not in baselines and all(run is not other for other in asked):
            baselines[run.name] = Baseline(run.name, final.miou, final.iou, [] if run.seed is None else [run.seed])
    suffix = common_suffix(list({*baselines, *(run.name for run in asked)}))
    for baseline in baselines.values():
        baseline.name = baseline.name.removesuffix(suffix)
    campaigns = [_campaign(run, label) for run, label in zip(asked, _labels(asked, suffix))]
    return campaigns, list(baselines.values())


def _labels(runs: Sequence[RunData], suffix: str) -> list[str]:
    """Names without the ending that all share; the seed, else the folder, where they are the same."""
    names = [run.name.removesuffix(suffix) for run in runs]
    seeded = [f'{name}, seed {run.seed}' if names.count(name) > 1 else name for name, run in zip(names, runs)]
    return [f'{label}, {run.work_dir}' if seeded.count(label) > 1 else label for label, run in zip(seeded, runs)]


def _campaign(run: RunData, label: str) -> Campaign:
    requests = {}
    for number in run.requests:
        request = Request.load(run.work_dir / 'requests' / f'round_{number}')
        if request is not None:
            requests[number] = request
    with LabelLedger(run.work_dir / 'ledger.sqlite', read_only=True) as ledger:
        numbers = sorted({*ledger.rounds(), *requests})
        rows = list(ledger.rows())
        rounds = [_round(run, number, requests.get(number), ledger, [row for row in rows if row['round'] == number])
                  for number in numbers]
    before = next((stage.miou for stage in reversed(run.stages) if stage.round == 0), math.nan)
    for entry in rounds:
        entry.gain, before = entry.miou - before, entry.miou
    header = next((request.header for request in requests.values()), {})
    return Campaign(run=run, label=label, rounds=rounds, images=int(header.get('images', 0)),
                    total_pixels=int(header.get('total_pixels', 0)), costs=run_costs(run.work_dir))


def _round(run: RunData, number: int, request: Request | None, ledger: LabelLedger, rows: Sequence[Mapping[str, Any]],
           ) -> Round:
    histogram = ledger.class_histogram(number)
    entry = Round(number, spent=ledger.spent(round=number),
                  rejected=sum(row['rejected'] for row in rows), conflicts=sum(row['conflicts'] for row in rows),
                  people=sorted({row['annotator'] for row in rows}),
                  classes={name: histogram.get(i, 0) for i, name in enumerate(run.classes)},
                  miou=next((stage.miou for stage in run.rounds if stage.round == number), math.nan))
    if request is not None:
        entry.kind, entry.images = request.kind, len(request.asked_keys())
        entry.asked = sum(item.asked for item in request.items)
        entry.units = sum(item.components for item in request.items)
    return entry
