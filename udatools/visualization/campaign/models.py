# SPDX-License-Identifier: Apache-2.0
"""The labelling hook of a finished run, with the models that the run ended with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from udatools.visualization.labelling import labelling_stage

__all__ = ['final_hook']


def final_hook(work_dir: Path) -> Any:
    """Build the labelling hook as a further round would have it: with the newest finished checkpoint of each model.

    A round of LabOR first trains a new pixel selector; here the one of the last round is used. Nothing of the run is
    written, and no label file is opened.

    Args:
        work_dir (Path): with ``config.py``, ``journal.json`` and checkpoints.

    Returns:
        ActiveLabelingHook: ready for ``open_target``.

    Raises:
        FileNotFoundError: a file of the run is missing.
        ValueError: no stage asks for labels, or none of a kind that the hook names is finished.
    """
    from mmengine.registry import init_default_scope

    import udatools  # noqa: F401 - fills the registries
    from udatools.engine.runner.journal import DONE, Journal
    from udatools.engine.runner.stages import fill_placeholders
    from udatools.registry import HOOKS

    init_default_scope('mmseg')
    stages, hook = labelling_stage(work_dir, import_modules=True)
    journal = Journal(work_dir / 'journal.json')

    def value_of(name: str) -> str:
        if name == 'work_dir':
            return str(work_dir)
        if name == 'round':
            return '1'  # it only numbers what is asked, and the caller plans that
        kinds = name.removeprefix('checkpoint:').split('|')
        for kind in kinds:
            for stage in reversed(stages):
                record: Mapping[str, Any] = journal.stage(stage.name)
                if stage.kind == kind and record['status'] == DONE:
                    return str(work_dir / record['checkpoint'])
        raise ValueError(f'{work_dir} has no finished stage called {" or ".join(kinds)}; let the run finish first')

    return HOOKS.build(fill_placeholders(hook, value_of))
