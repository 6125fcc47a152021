# SPDX-License-Identifier: Apache-2.0
"""From the ``stages`` of a config to the flat list of stages that are run, and each stage's own config."""
import copy
import hashlib
import json
import pprint
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from mmengine.config import Config

# What affects a stage's numbers. Other top-level values are where these were composed from, or say where and how to run;
# they may differ between a run and its continuation.
RELEVANT = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'auto_scale_lr', 'param_scheduler', 'custom_hooks',
            'randomness', 'load_from', 'val_dataloader', 'val_cfg', 'val_evaluator')
# How batches are loaded, not what is in them.
_LOADING = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor')
_KEYS = {'name', 'init', 'config', 'evaluate'}
_PLACEHOLDER = re.compile(r'\{(work_dir|round|run|run_id|stage|checkpoint:[\w|]+)\}')
_REFERENCE = re.compile(r'\{cfg:(\*?)([\w.]+)(\??)\}')
_ABSENT = object()


class StageConfig(Config):
    """A config whose text costs nothing.

    mmengine puts ``pretty_text`` into every checkpoint and three files at every start, and formats it anew each time: a
    second a checkpoint for the configs here.
    """

    @property
    def pretty_text(self) -> str:
        """Python source, one assignment a top-level value."""
        return ''.join(f'{key} = {pprint.pformat(value, width=120, sort_dicts=False)}\n' for key, value in self.to_dict().items())


@dataclass(frozen=True)
class Stage:
    """One training of a staged run.

    Attributes:
        index (int): position in the run, from 0.
        kind (str): its name in the config; the same in every round.
        round (int): 1-based round of a repeated stage, 0 outside of rounds.
        init (tuple[str, ...]): kinds of stages; the newest checkpoint of the first kind that has one starts this stage.
        config (dict): overrides of the base config.
        evaluate (bool): whether the trained model is evaluated and listed in the results.
    """
    index: int
    kind: str
    round: int = 0
    init: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    evaluate: bool = True

    @property
    def name(self) -> str:
        """Unique within the run: ``warmup``, ``round2_main``."""
        return f'round{self.round}_{self.kind}' if self.round else self.kind

    @property
    def folder(self) -> str:
        """Name of its directory below ``stages/``."""
        return f'{self.index:02d}_{self.name}'


def expand_stages(stages: Iterable[dict]) -> list[Stage]:
    """Unrolls repeated groups.

    Args:
        stages (Iterable[dict]): ``dict(name=, init=, config=, evaluate=)`` or a group ``dict(name=, repeat=N, steps=[...])``.

    Returns:
        list[Stage]: in the order they run.

    Raises:
        ValueError: for unknown keys, doubled names, or an ``init`` that names no earlier stage.
    """
    flat: list[tuple[dict, int]] = []
    for entry in stages:
        if 'steps' in entry:
            flat += [(step, number) for number in range(1, int(entry.get('repeat', 1)) + 1) for step in entry['steps']]
        else:
            flat.append((entry, 0))
    result: list[Stage] = []
    for entry, number in flat:
        if unknown := entry.keys() - _KEYS:
            raise ValueError(f"stage {entry.get('name')!r} has unknown keys {sorted(unknown)}; expected some of {sorted(_KEYS)}")
        init = (entry['init'],) if isinstance(entry.get('init'), str) else tuple(entry.get('init', ()))
        known = {stage.kind for stage in result}
        if init and not known.intersection(init):
            raise ValueError(f"stage {entry['name']!r} starts from {list(init)}, but only {sorted(known)} come before it")
        stage = Stage(len(result), entry['name'], number, init, dict(entry.get('config', {})), entry.get('evaluate', True))
        if stage.name in {other.name for other in result}:
            raise ValueError(f"two stages are called '{stage.name}'; give one of them another name")
        result.append(stage)
    return result


def resolve_references(cfg: Config) -> Config:
    """Replaces every string that is nothing but ``{cfg:NAME}`` by a copy of that top-level value of the same config.

    Config files of models, datasets and methods are written without knowing each other (a base file cannot see its
    siblings); a reference is how a method says "the segmentor, whichever it is". Dots reach inside: ``{cfg:iters.main}``.
    Top-level names with a leading underscore are pieces that config files are made of: they can be referred to and are left out.
    ``{cfg:NAME?}`` is optional: where the config has no such value, the key (or list item) that refers to it goes.
    ``{cfg:*NAME}``, an item of a list, stands for all items of a list.

    Raises:
        KeyError: when the config has no such value and the reference is not optional.
        ValueError: for references in a circle, and ``*`` of what is no list or outside of one.
    """
    plain = cfg.to_dict()

    def resolve(value: Any, trail: tuple[str, ...]) -> Any:
        if isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
            unpacked, name, optional = match.groups()
            if unpacked:
                raise ValueError(f"'{value}' unpacks a list into another one; expected as an item of a list")
            if name in trail:
                raise ValueError(f'config references go in a circle: {" -> ".join((*trail, name))}')
            found: Any = plain
            for part in name.split('.'):
                if isinstance(found, str) and _REFERENCE.fullmatch(found):
                    found = resolve(found, (*trail, name))
                if not isinstance(found, dict) or part not in found:
                    if optional:
                        return _ABSENT
                    raise KeyError(f"the config refers to '{name}', which it does not have; define it in one of its base files")
                found = found[part]
            return resolve(copy.deepcopy(found), (*trail, name))
        if isinstance(value, dict):
            resolved = {key: resolve(item, trail) for key, item in value.items()}
            return {key: item for key, item in resolved.items() if item is not _ABSENT}
        if isinstance(value, (list, tuple)):
            resolved_items = (item for entry in value for item in resolve_item(entry, trail))
            return type(value)(item for item in resolved_items if item is not _ABSENT)
        return value

    def resolve_item(entry: Any, trail: tuple[str, ...]) -> list[Any]:
        match = _REFERENCE.fullmatch(entry) if isinstance(entry, str) else None
        if match is None or not match[1]:
            return [resolve(entry, trail)]
        items = resolve(entry.replace('*', '', 1), trail)
        if items is not _ABSENT and not isinstance(items, (list, tuple)):
            raise ValueError(f"'{entry}' unpacks a list, but '{match[2]}' is {items!r}")
        return [] if items is _ABSENT else list(items)

    wanted = {key: value for key, value in plain.items() if not key.startswith('_')}
    return Config(resolve(wanted, ()), filename=cfg.filename)


def fill_placeholders(value: Any, value_of: Callable[[str], str]) -> Any:
    """Replaces the placeholders of docs/configs.md in all strings of a nested config.

    A string that is nothing but ``{round}`` becomes an integer.
    """
    if isinstance(value, str):
        if value == '{round}':
            return int(value_of('round'))
        return _PLACEHOLDER.sub(lambda match: value_of(match.group(1)), value)
    if isinstance(value, dict):
        return {key: fill_placeholders(item, value_of) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(fill_placeholders(item, value_of) for item in value)
    return value


def relevant_text(cfg: Config) -> str:
    """What affects a stage's numbers as JSON with sorted keys, paths as they are."""
    return json.dumps({key: value for key, value in cfg.to_dict().items() if key in RELEVANT}, sort_keys=True, default=str)


def has_placeholder(cfg: Config) -> bool:
    """Whether what affects a stage's numbers names files of its run: its work directory, or checkpoints of other stages."""
    return bool(re.search(r'\{(work_dir|checkpoint:)', relevant_text(cfg)))


def starting_stage(stages: list[Stage], stage: Stage) -> Stage | None:
    """The stage whose weights this one starts from: the newest of the first kind in ``init`` that comes before it."""
    for kind in stage.init:
        for earlier in reversed(stages[:stage.index]):
            if earlier.kind == kind:
                return earlier
    return None


def merge_stage_config(base: Config, stage: Stage) -> Config:
    """The base config without the plan of stages, the stage's overrides merged in, references resolved.

    ``base.stage_overrides`` (optional) comes last: overrides by the stage's kind (``main``), then by its name
    (``round2_main``). That is where a schedule says what differs by stage; stages that the method lacks are left unused.
    """
    plain = {key: value for key, value in base.to_dict().items()
             if key not in ('stages', 'runner_type', 'stage_overrides')}
    cfg = Config(plain, filename=None)
    of_stages = base.get('stage_overrides') or {}
    for overrides in (stage.config, of_stages.get(stage.kind, {}), of_stages.get(stage.name, {})):
        cfg.merge_from_dict(copy.deepcopy(dict(overrides)))
    return resolve_references(cfg)


def machine_independent(value: Any) -> Any:
    """A nested config in which absolute paths count by their last part only: a run may go on on another machine, where the
    data lies elsewhere. Relative paths are kept: they say which data."""
    if isinstance(value, str):
        return PurePath(value).name if PurePath(value).is_absolute() else value
    if isinstance(value, dict):
        return {key: machine_independent(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [machine_independent(item) for item in value]
    return value


def config_digest(cfg: Config, *, loading: bool = True) -> str:
    """SHA-256 of what affects a stage's numbers; paths below the work directory are still placeholders.

    Args:
        cfg (Config): of the stage.
        loading (bool): whether the number of workers and the like count, which say how batches are loaded.
    """
    relevant = {key: machine_independent(value) for key, value in cfg.to_dict().items() if key in RELEVANT}
    if not loading:
        for key in relevant.keys() & {'train_dataloader', 'val_dataloader'}:
            relevant[key] = {name: value for name, value in (relevant[key] or {}).items() if name not in _LOADING}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True, default=str).encode()).hexdigest()
