# SPDX-License-Identifier: Apache-2.0
"""Results of finished runs as small files that a repository can keep.

A comparison of many methods over seeds takes longer than anybody wants to repeat for one more row. A record is the
``results.json`` of one run with the digest of its config: a run whose config has not changed need not be repeated, and a
changed config does not find its old record.
"""
import hashlib
import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from udatools.engine.runner.stages import config_digest, expand_stages, merge_stage_config
from udatools.utils.atomic import write_json_atomic


def run_digest(cfg: Config) -> str:
    """SHA-256 of what affects the numbers of a whole run, wherever its data lies.

    Args:
        cfg (Config): as ``build_config`` returns it; the seed belongs to it.
    """
    digest = hashlib.sha256()
    for stage in expand_stages(cfg.get('stages') or [dict(name='train')]):
        merged = Config(_without_folders(merge_stage_config(cfg, stage).to_dict()))
        digest.update(f'{stage.name} {stage.init} {stage.evaluate} {config_digest(merged)}\n'.encode())
    return digest.hexdigest()


def _without_folders(value: Any, key: str = '') -> Any:
    """The config with the last part of each ``data_root``, and ``root`` of flow, instead of its path."""
    if isinstance(value, dict):
        return {name: _without_folders(item, name) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_folders(item, key) for item in value)
    return Path(value).name if key in ('data_root', 'root') and isinstance(value, str) else value


def write_record(path: Path, results: dict[str, Any], digest: str, commit: str) -> None:
    """Writes one run's record atomically.

    Args:
        path (Path): ``<records>/<config>/seed_<n>.json``.
        results (dict): contents of its ``results.json``.
        digest (str): :func:`run_digest` of its config.
        commit (str): of the code that made it; empty if unknown.
    """
    write_json_atomic(path, {'schema_version': 1, 'digest': digest, 'commit': commit, 'results': results})


def read_record(path: Path, digest: str) -> dict[str, Any] | None:
    """The results of a record, None when there is none or it belongs to another config.

    Raises:
        ValueError: when the file is no record.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        return content['results'] if content['digest'] == digest else None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is no record of a run ({error}); restore it, or delete it to train this run again') from error
