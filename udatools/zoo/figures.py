# SPDX-License-Identifier: Apache-2.0
"""Our own figures: means over the runs that ``docs/records`` keeps, and what one has to know of them.

A record belongs to its config as long as the digest of the config is that of the record. Where no record of a config does, its
figure is that of an earlier state and says so.
"""
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from udatools.engine.cli import build_config
from udatools.evaluation.comparison import comparison_rows
from udatools.evaluation.records import run_digest


@dataclass(frozen=True)
class Figure:
    """Of one config, mean over its recorded runs.

    Attributes:
        miou, vpqs (float): percent; ``vpqs`` is None where not all runs have it.
        std, vpqs_std (float | None): sample standard deviation, None for one seed.
        values (dict[int, float]): mIoU by seed.
        protocol (str): of the metrics.
        answers (float): share of the target's pixels that were answered, percent; 0 of methods that do not ask.
        checkpoint (str): how it was chosen; ``last``, or a criterion.
        commits (tuple[str, ...]): of the code that made the records, in the order of the seeds, each once.
        hardware (tuple[str, ...]): ``CPU`` or the names of GPUs.
        folder (str): of the records, relative to the checkout.
        current (bool): whether the records are of the config as it is.
    """
    miou: float
    std: float | None
    vpqs: float | None
    vpqs_std: float | None
    values: dict[int, float]
    protocol: str
    answers: float
    checkpoint: str
    commits: tuple[str, ...]
    hardware: tuple[str, ...]
    folder: str
    current: bool

    @property
    def seeds(self) -> tuple[int, ...]:
        """In ascending order."""
        return tuple(self.values)


def config_files(root: Path) -> list[Path]:
    """The configs of a checkout that train something, in the order of their folders."""
    return sorted(path for path in root.glob('configs/*/*.py') if path.parent.name != '_base_')


def own_figures(root: Path) -> dict[str, Figure]:
    """Figures by the name of their config.

    Args:
        root (Path): a checkout.

    Raises:
        ValueError: for a record that is none, a config with two folders of records, or records without their config.
    """
    configs = {path.stem: path for path in config_files(root)}
    figures: dict[str, Figure] = {}
    for folder in sorted(path for path in root.glob('docs/records/*/*') if path.is_dir()):
        if folder.name in figures:
            raise ValueError(f'{folder} and {root / figures[folder.name].folder} are records of one config; keep one of them')
        if folder.name not in configs:
            raise ValueError(f'{folder} holds records of a config that does not exist; delete it, or name it as the config')
        records = {path.name: _read(path) for path in sorted(folder.glob('seed_*.json'))}
        if records:
            figures[folder.name] = _figure(list(records.values()), configs[folder.name], folder.relative_to(root).as_posix())
    return figures


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        content['results']['stages'][-1]['metrics']['mIoU'] + 0.0, content['digest'], content['commit']
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f'{path} is no record of a run ({type(error).__name__}: {error}); restore it, or delete it') from error
    return content


def _figure(records: list[dict[str, Any]], config: Path, folder: str) -> Figure:
    cfg = build_config(str(config))
    own = [record for record in records if record['digest'] == _digest(cfg, record['results']['seed'])]
    used = sorted(own or records, key=lambda record: record['results']['seed'])
    row, = comparison_rows({config.stem: [record['results'] for record in used]})
    return Figure(
        miou=row['mIoU'], std=row['std'], vpqs=row['VPQs'], vpqs_std=row['VPQs_std'], values=row['values'],
        protocol=row['protocol'], answers=row['labelled'], checkpoint=row['checkpoint'],
        commits=_once(record['commit'] or 'unknown' for record in used),
        hardware=_once(_device(record['results']) for record in used), folder=folder, current=bool(own))


def _digest(cfg: Config, seed: int) -> str:
    cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)  # as the command line does
    return run_digest(cfg)


def _device(results: Mapping[str, Any]) -> str:
    device = (results['stages'][-1].get('cost') or {}).get('device', 'not recorded')
    return 'CPU' if device == 'cpu' else device


def _once(values: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
