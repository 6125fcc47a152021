# SPDX-License-Identifier: Apache-2.0
"""Finished stages that several runs have in common: trained by the first, taken over by the others.

Methods are compared on the same beginning: LabOR and every baseline selector start from one source training and one
adversarial warm-up, CBST and CRST from another. A stage is shared when its weights are a function of its config, the seed,
the code, the libraries and the stage it starts from; one that reads what its run has written (labels, other checkpoints) is
not. Data are told apart by their paths alone: after a change of the images themselves, use another store.
"""
import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import udatools
from udatools.compat import installed_versions
from udatools.engine.costs import FILE as COST_FILE
from udatools.ops.digests import json_digest
from udatools.utils.atomic import write_json_atomic

from .checkpoints import CheckpointError, read_checkpoint
from .journal import WorkDirInUseError, WorkDirLock
from .stages import Stage, has_placeholder, relevant_text, starting_stage

_RECORD = 'record.json'


@cache
def code_digest() -> str:
    """SHA-256 of the package's code and label maps and of the versions below it: others give other weights."""
    root = Path(udatools.__file__).parent
    digest = hashlib.sha256(repr(sorted(installed_versions().items())).encode())
    for path in sorted(path for path in root.rglob('*') if path.suffix in ('.py', '.json')):
        digest.update(f'{path.relative_to(root).as_posix()}\n'.encode() + path.read_bytes())
    return digest.hexdigest()


def stage_keys(stages: list[Stage], configs: dict[str, Any], *, seed: int, world_size: int) -> dict[str, str]:
    """What identifies the outcome of each stage that can be shared.

    Args:
        stages (list[Stage]): of the run.
        configs (dict[str, Config]): merged config by the stage's name.
        seed (int): of the run.
        world_size (int): number of processes; sums in another order end in other last digits.

    Returns:
        dict[str, str]: SHA-256 by the stage's name; stages that cannot be shared are left out.
    """
    keys: dict[str, str] = {}
    for stage in stages:
        start = starting_stage(stages, stage)
        cfg = configs[stage.name]
        if (start is not None and start.name not in keys) or has_placeholder(cfg) or (start is None and cfg.get('load_from')):
            continue
        keys[stage.name] = json_digest([
            code_digest(), seed, world_size, stage.name, stage.evaluate, relevant_text(cfg),
            keys[start.name] if start is not None else None])
    return keys


class StageStore:
    """A folder of finished stages by key; any number of runs may use it at the same time.

    Args:
        root (Path): the folder; made when the first stage is kept.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def claim(self, key: str) -> WorkDirLock | None:
        """The right to train and keep this stage, None while another run has it; leave it with ``__exit__``."""
        try:
            return WorkDirLock(self.root / key).__enter__()
        except WorkDirInUseError:
            return None

    def take(self, key: str, folder: Path) -> dict[str, Any] | None:
        """Copies a kept stage into a run.

        Args:
            key (str): of :func:`stage_keys`.
            folder (Path): the stage's folder in the run.

        Returns:
            dict | None: ``checkpoint`` (file name in the folder), ``metrics`` and ``seconds``; None when it is not kept, or not
            readable.
        """
        kept = self.root / key / 'stage'
        try:
            record = json.loads((kept / _RECORD).read_text(encoding='utf-8'))
            read_checkpoint(kept / record['checkpoint'], own=True)
        except (OSError, ValueError, KeyError, CheckpointError):
            return None
        folder.mkdir(parents=True, exist_ok=True)
        for path in (kept / record['checkpoint'], kept / COST_FILE):
            if path.is_file():
                shutil.copyfile(path, folder / f'.{path.name}.tmp')
                (folder / f'.{path.name}.tmp').replace(folder / path.name)
        return record

    def keep(self, key: str, folder: Path, *, checkpoint: str, metrics: dict[str, Any] | None, seconds: float) -> None:
        """Keeps a finished stage; the record is written last, so that half a copy is no stage.

        Args:
            key (str): of :func:`stage_keys`.
            folder (Path): the stage's folder in the run.
            checkpoint (str): name of its file there.
            metrics (dict | None): of its evaluation.
            seconds (float): that the stage took.
        """
        kept = self.root / key / 'stage'
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for path in (folder / checkpoint, folder / COST_FILE):
            if path.is_file():
                shutil.copyfile(path, kept / path.name)
        write_json_atomic(kept / _RECORD, {'schema_version': 1, 'checkpoint': checkpoint, 'metrics': metrics, 'seconds': seconds})
