# SPDX-License-Identifier: Apache-2.0
"""``results.json``: one record per evaluated stage, the baselines beside them, the final model."""
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmengine.logging import print_log

from udatools.active.ledger import LabelLedger
from udatools.datasets.taxonomies import get_class_set
from udatools.engine.costs import cost_record
from udatools.evaluation.protocols import get_protocol
from udatools.utils.atomic import write_json_atomic

if TYPE_CHECKING:
    from udatools.engine.runner.stages import Stage


class ResultsFile:
    """Reads, extends and atomically writes ``work_dir/results.json``.

    Args:
        work_dir (Path): of the run.
        cfg (Config): the run's config, for the protocol.
        name (str): of the run.
        seed (int): of the run.
    """

    def __init__(self, work_dir: Path, cfg: Config, *, name: str, seed: int) -> None:
        self.path = work_dir / 'results.json'
        self.work_dir = work_dir
        if self.path.exists():
            self.content: dict[str, Any] = json.loads(self.path.read_text(encoding='utf-8'))
        else:
            protocol = get_protocol(_protocol_name(cfg))
            classes = get_class_set(cfg.classes)
            self.content = {
                'schema_version': 1, 'name': name, 'seed': seed, 'protocol': protocol.name,
                'classes': list(classes.classes), 'palette': [list(colour) for colour in classes.palette],
                'stages': [], 'baselines': [], 'final': {}
            }

    def add_stage(self, stage: 'Stage', metrics: dict[str, float], *, checkpoint: str,
                  selection: dict[str, Any] | None = None) -> None:
        """Adds or replaces the record of one evaluated stage; ``selection`` says how its checkpoint was chosen, if it was."""
        record = {'name': stage.name, 'round': stage.round, 'metrics': nest_metrics(metrics),
                  'labelled': self._labelled(stage.round), 'checkpoint': checkpoint,
                  'cost': cost_record(self.work_dir / 'stages', stage.folder)}
        if selection is not None:
            record['selection'] = selection
        others = [old for old in self.content['stages'] if old['name'] != stage.name]
        self.content['stages'] = [*others, record]
        self._write()

    def add_baselines(self, work_dirs: list[str]) -> None:
        """Copies the last record of finished runs; a run that is not there yet is left out with a line saying so."""
        found = []
        for folder in map(Path, work_dirs):
            path = folder / 'results.json'
            if not path.exists():
                print_log(f'baseline {folder} has no results.json yet; run its config to see it in the report', logger='current')
                continue
            other = json.loads(path.read_text(encoding='utf-8'))
            if other['protocol'] != self.content['protocol'] or not other['stages']:
                print_log(f'baseline {folder} is left out: protocol {other["protocol"]}, this run {self.content["protocol"]}',
                          logger='current')
                continue
            last = other['stages'][-1]
            found.append({'name': other['name'], 'metrics': last['metrics'], 'labelled': last['labelled'], 'seed': other['seed']})
        self.content['baselines'] = found
        self._write()

    def set_final(self, final: dict[str, str]) -> None:
        """Paths of the exported model."""
        self.content['final'] = final
        self._write()

    def _labelled(self, round_number: int) -> dict[str, Any]:
        """What had been asked and answered by the end of a round."""
        path = self.work_dir / 'ledger.sqlite'
        if not round_number or not path.exists():
            return {'pixels': 0, 'portion': 0.0, 'points': 0, 'seconds': 0.0, 'classes': {}}
        with LabelLedger(path, read_only=True) as ledger:
            spent = ledger.spent(before_round=round_number + 1)
            histogram = ledger.class_histogram(round_number)
        names = self.content['classes']
        request = json.loads((self.work_dir / 'requests' / f'round_{round_number}' / 'request.json').read_text(encoding='utf-8'))
        total = request['total_pixels']
        return {
            'pixels': spent['pixels'], 'portion': spent['pixels'] / total, 'points': spent['points'],
            'seconds': spent['seconds'], 'classes': {names[i]: int(n) for i, n in histogram.items()},
        }

    def _write(self) -> None:
        write_json_atomic(self.path, self.content)


def _protocol_name(cfg: Config) -> str:
    """The protocol of the first evaluator that has one; without an evaluator the class set's own."""
    evaluators = cfg.get('val_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    return next((entry['protocol'] for entry in evaluators if 'protocol' in entry), cfg.classes)


def nest_metrics(metrics: dict[str, float]) -> dict[str, Any]:
    """``{'mIoU': 1, 'IoU/road': 2}`` -> ``{'mIoU': 1, 'IoU': {'road': 2}}``; nan becomes None (JSON has no nan)."""
    nested: dict[str, Any] = {}
    for key, value in metrics.items():
        clean = None if isinstance(value, float) and math.isnan(value) else value
        outer, slash, inner = key.partition('/')
        if slash:
            nested.setdefault(outer, {})[inner] = clean
        else:
            nested[key] = clean
    return nested
