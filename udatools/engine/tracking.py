# SPDX-License-Identifier: Apache-2.0
"""Where the curves of a stage go: mmengine's visualizer backends, one run of a tracker for each stage.

``track`` names entries of ``trackers``, which are configs of backends (docs/logging.md). Files lie in ``vis_data`` of the stage's
folder, whatever the process that writes them, so that a resumed stage goes on in them.
"""
import copy
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from udatools.compat import CompatError

FOLDER = 'vis_data'  # mmengine's name
SCALARS = 'scalars.json'  # and that of the file of ``LocalVisBackend``
PACKAGES = {'TensorboardVisBackend': 'tensorboard', 'WandbVisBackend': 'wandb', 'MLflowVisBackend': 'mlflow'}


def chosen_trackers(cfg: Mapping[str, Any]) -> list[dict]:
    """Configs of the backends that ``track`` names.

    Args:
        cfg (Mapping): config with ``track`` (a name or several) and ``trackers`` (configs by name); both may be absent.

    Raises:
        CompatError: if a package is not installed.
        ValueError: for a name that ``trackers`` does not have.
    """
    names, known = cfg.get('track') or [], cfg.get('trackers') or {}
    names = [names] if isinstance(names, str) else list(names)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f'track names {", ".join(map(str, unknown))}; expected names of trackers: {", ".join(known) or "none"}')
    chosen = [copy.deepcopy(dict(known[name])) for name in names]
    for name, backend in zip(names, chosen):
        package = PACKAGES.get(backend['type'])
        if package and importlib.util.find_spec(package) is None:
            raise CompatError(f'track names {name}, and {package} is not installed; run `pip install "udatools[{package}]"`')
    return chosen


def stage_visualizer(cfg: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The config of the visualizer of a stage: that of ``cfg`` with the chosen trackers, and its files in one place.

    Args:
        cfg (Mapping): config of the stage.
        folder (Path): of the stage.
    """
    visualizer = dict(cfg.get('visualizer') or dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]))
    backends = [*(visualizer.get('vis_backends') or []), *chosen_trackers(cfg)]
    return visualizer | dict(vis_backends=backends, save_dir=str(folder))
