# SPDX-License-Identifier: Apache-2.0
"""Choosing which checkpoint of the last evaluated stage is delivered.

``last`` chooses nothing. The other criteria keep every checkpoint of that stage, score each one, and leave the values in a
small file beside them, so that a killed run goes on with the next one.
"""
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log

from udatools.engine.inference import TargetImages, build_predictor
from udatools.evaluation.model_selection import LAST, TARGET_MIOU, SelectionCriterion, choose, parse_select, score_model
from udatools.utils.atomic import write_json_atomic

from .checkpoints import CheckpointError, list_checkpoints, read_checkpoint
from .distributed import on_main

FILE = 'selection.json'
Validate = Callable[[Path], Mapping[str, float]]


class CheckpointSelection:
    """The choice among the checkpoints of one stage.

    Args:
        select (str | Mapping, optional): the top-level config value, see
            :func:`udatools.evaluation.model_selection.parse_select`.
        seed (int): of the run, for criteria that draw pixels.

    Raises:
        ValueError: for an unknown criterion or setting.
    """

    def __init__(self, select: str | Mapping[str, Any] | None = None, *, seed: int = 0) -> None:
        self.criterion = parse_select(select, seed=seed)

    @property
    def active(self) -> bool:
        """Whether anything is chosen; False for ``last``."""
        return self.criterion != LAST

    @property
    def uses_target_labels(self) -> bool:
        """Whether the choice is an oracle's."""
        return self.criterion == TARGET_MIOU

    def settings(self) -> dict[str, Any]:
        """JSON-able settings that the choice depends on."""
        if isinstance(self.criterion, SelectionCriterion):
            return self.criterion.settings()
        return dict(criterion=self.criterion)

    def check(self, cfg: Mapping[str, Any]) -> None:
        """Refuses before anything is trained what could not be chosen after.

        Args:
            cfg (Mapping): config of the stage.

        Raises:
            ValueError: without the images or the validation set that the criterion looks at.
        """
        name = self.settings()['criterion']
        if self.uses_target_labels and not cfg.get('val_dataloader'):
            raise ValueError(f"select='{name}' looks at the validation set, and the config has no val_dataloader; choose another "
                             'criterion')
        if isinstance(self.criterion, SelectionCriterion) and not cfg.get('target_images'):
            raise ValueError(f"select='{name}' looks at the target training images, and the config has no target_images; define "
                             'it (a data set with labelled=False and the pipeline of inference), or choose another criterion')

    def run(self, cfg: Mapping[str, Any], folder: Path, *, root: Path, validate: Validate,
            keep: bool = True) -> dict[str, Any]:
        """Scores every checkpoint and chooses one. Collective.

        Args:
            cfg (Mapping): config of the stage: ``model`` and ``target_images``.
            folder (Path): of the stage.
            root (Path): work directory of the run; checkpoints are named relative to it.
            validate (Callable): metrics of a checkpoint on the validation set, for ``target_miou`` alone.
            keep (bool): read and write the values beside the checkpoints.

        Returns:
            dict: the record of ``results.json``: ``criterion``, ``uses_target_labels``, ``higher_is_better``, ``candidates``
            (``checkpoint`` and ``value`` each, in the order of training), ``chosen``.

        Raises:
            CheckpointError: when no checkpoint can be read.
        """
        self.check(cfg)
        images = None
        if isinstance(self.criterion, SelectionCriterion):
            images = TargetImages(dict(cfg['target_images']))
        paths, values = on_main(lambda: (_readable(folder), self._known(folder) if keep else {}))
        if not paths:
            raise CheckpointError(f'{folder} holds no readable checkpoint to choose from')
        for number, path in enumerate(paths, 1):
            if path.name in values:
                continue
            values[path.name] = self._value(cfg, path, images, validate)
            if keep:
                on_main(lambda: write_json_atomic(folder / FILE, dict(settings=self.settings(), values=values)))
            if is_main_process():
                print_log(f'choosing a checkpoint: {number}/{len(paths)}', logger='current')
        higher = not isinstance(self.criterion, SelectionCriterion) or self.criterion.higher_is_better
        names = [str(path.relative_to(root)) for path in paths]
        ordered = [values[path.name] for path in paths]
        return dict(
            criterion=self.settings()['criterion'], uses_target_labels=self.uses_target_labels, higher_is_better=higher,
            candidates=[dict(checkpoint=name, value=value) for name, value in zip(names, ordered, strict=True)],
            chosen=names[choose(ordered, higher_is_better=higher)])

    def _value(self, cfg: Mapping[str, Any], path: Path, images: TargetImages | None, validate: Validate) -> float | None:
        if isinstance(self.criterion, SelectionCriterion):
            value = score_model(self.criterion, build_predictor(dict(cfg['model']), path), images)
        else:
            value = float(validate(path)['mIoU'])
        return value if math.isfinite(value) else None  # JSON has no nan

    def _known(self, folder: Path) -> dict[str, float | None]:
        """Values that an earlier process found with the same settings."""
        try:
            content = json.loads((folder / FILE).read_text(encoding='utf-8'))
            return dict(content['values']) if content['settings'] == self.settings() else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _readable(folder: Path) -> list[Path]:
    """Checkpoints in the order of training; one that cannot be read is no candidate."""
    paths = []
    for path in reversed(list_checkpoints(folder)):
        try:
            read_checkpoint(path, own=True)
        except CheckpointError as error:
            print_log(f'{error}. It is no candidate.', logger='current', level=30)
        else:
            paths.append(path)
    return paths
