# SPDX-License-Identifier: Apache-2.0
"""Pseudo-labels of the rounds of a method: what was kept, and, where it is asked for, how right that is.

Coverage is in the files of a run. Precision takes ground truth of the target's training images: it is opened here for analysis
alone, when the caller says so, through the labelled twin of the very data set that was pseudo-labelled; it reaches no training.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from udatools.evaluation.pseudo_label_quality import labelled_part, pseudo_label_confusion
from udatools.visualization.analysis.runs import RunTrace
from udatools.visualization.analysis.validation import run_config
from udatools.visualization.run_data import pseudo_label_folders

__all__ = ['PseudoLabelRounds', 'load_rounds', 'score_rounds']


@dataclass
class PseudoLabelRounds:
    """Counts of all seeds of a method together.

    Attributes:
        coverage (dict[int, dict]): round -> ``pixels``, ``kept_pixels``, ``classes`` (name -> ``predicted``, ``kept``).
        confusions (dict[int, Tensor]): round -> int64 (C, C) of kept labels, rows are ground truth; empty if not opened.
        classes (list[str]): names of the C classes.
    """

    coverage: dict[int, dict[str, Any]] = field(default_factory=dict)
    confusions: dict[int, Tensor] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)

    def kept_share(self, number: int) -> float:
        """Of all pixels, in [0, 1]."""
        about = self.coverage[number]
        return about['kept_pixels'] / about['pixels'] if about['pixels'] else math.nan

    def class_share(self, number: int, name: str) -> float:
        """Of the pixels that were predicted as a class, in [0, 1]; nan where it never was."""
        about = self.coverage[number]['classes'].get(name) or {}
        return about['kept'] / about['predicted'] if about.get('predicted') else math.nan

    def precision(self, number: int) -> float:
        """Of the kept pixels with ground truth those that are right, in [0, 1]; nan without any."""
        conf = self.confusions[number]
        return float(conf.diagonal().sum() / conf.sum()) if int(conf.sum()) else math.nan


def load_rounds(traces: Sequence[RunTrace]) -> PseudoLabelRounds:
    """Add up the coverage of the seeds of a method; without pseudo-labels it is empty."""
    found = PseudoLabelRounds()
    for trace in traces:
        for number, about in trace.coverage().items():
            total = found.coverage.setdefault(number, dict(pixels=0, kept_pixels=0, classes={}))
            total['pixels'] += about['pixels']
            total['kept_pixels'] += about['kept_pixels']
            for name, counts in about['classes'].items():
                before = total['classes'].get(name) or dict(predicted=0, kept=0)
                total['classes'][name] = {key: before[key] + counts[key] for key in before}
    found.coverage = dict(sorted(found.coverage.items()))
    return found


def score_rounds(found: PseudoLabelRounds, work_dir: Path, options: Mapping[str, Any] | None = None) -> None:
    """Add a run's confusion of kept labels and ground truth to every round that has coverage.

    Args:
        found (PseudoLabelRounds): is extended.
        work_dir (Path): of the run.
        options (Mapping, optional): dotted overrides of its config, such as where data lies on this machine.

    Raises:
        FileNotFoundError: config, data or pseudo-labels are missing.
        ValueError: none of the images has ground truth, or the config makes no pseudo-labels.
    """
    from udatools.engine.runner.stages import expand_stages, fill_placeholders, merge_stage_config

    cfg = run_config(work_dir, options)
    numbers = {folder.resolve(): number for number, folder in pseudo_label_folders(work_dir).items()}
    scored: set[int] = set()
    for stage in expand_stages(cfg.get('stages') or [dict(name='train')]):
        for hook in merge_stage_config(cfg, stage).to_dict().get('custom_hooks') or []:
            if hook['type'] != 'PseudoLabelHook':
                continue
            values = {'work_dir': str(work_dir), 'round': str(stage.round)}
            about = fill_placeholders({name: hook[name] for name in ('out_dir', 'dataset')}, values.__getitem__)
            number = numbers.get(Path(about['out_dir']).resolve())
            if number not in found.coverage or number in scored:
                continue
            folder, dataset = Path(about['out_dir']) / 'labels', about['dataset']
            keys = [path.relative_to(folder).with_suffix('').as_posix() for path in sorted(folder.rglob('*.png'))]
            truth = labelled_part(dataset, keys)
            counted = pseudo_label_confusion(folder, truth).matrix
            found.confusions[number] = found.confusions.get(number, 0) + counted
            found.classes = list(truth.class_set.classes)
            scored.add(number)
    if not scored:
        raise ValueError(f'no stage of {work_dir / "config.py"} makes pseudo-labels with a PseudoLabelHook')
