# SPDX-License-Identifier: Apache-2.0
"""How a run asks for labels, and what they cost, as its config says."""
from pathlib import Path
from typing import Any

from udatools.active.costs import CostModel


def labelling_stage(work_dir: Path, *, import_modules: bool = False) -> tuple[list[Any], dict[str, Any]]:
    """Read from a run's config how it asks.

    Args:
        work_dir (Path): with ``config.py``.
        import_modules (bool): import what ``custom_imports`` of the config names.

    Returns:
        tuple: all stages (:class:`udatools.engine.runner.stages.Stage`), and the config of the last one's
        ``ActiveLabelingHook``, references resolved, placeholders such as ``{work_dir}`` as they are.

    Raises:
        FileNotFoundError: there is no ``config.py``.
        ValueError: no stage asks for labels.
    """
    from mmengine.config import Config

    from udatools.engine.runner.stages import expand_stages, merge_stage_config

    path = work_dir / 'config.py'
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; expected the work directory of a run of tools/train.py')
    cfg = Config.fromfile(path, import_custom_modules=import_modules)
    stages = expand_stages(cfg.get('stages') or [])
    for stage in reversed(stages):
        for hook in merge_stage_config(cfg, stage).get('custom_hooks') or []:
            if hook.get('type') == 'ActiveLabelingHook':
                return stages, dict(hook)
    raise ValueError(f'no stage of {path} has an ActiveLabelingHook; expected the config of a run that asks for labels')


def run_costs(work_dir: Path) -> CostModel:
    """The cost model of a run's annotator; that of the slides where its config names none.

    Args:
        work_dir (Path): of the run; an old or hand-made config is no error here, a page about the run is worth more.
    """
    try:
        return CostModel(**(labelling_stage(work_dir)[1]['annotator'].get('costs') or {}))
    except Exception:
        return CostModel()
