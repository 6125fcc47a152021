# SPDX-License-Identifier: Apache-2.0
"""What the command-line tools do with a config: build it, look at it before a run, test and score what a run left."""
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import init_default_scope

from udatools.datasets.rare_class_sampling import RareClassSampling
from udatools.datasets.uda_dataset import check_same_classes
from udatools.engine.command_line import message_of
from udatools.engine.results import nest_metrics
from udatools.engine.runner import StagedRunner, StageRunner
from udatools.engine.runner.checkpoints import CheckpointError, read_checkpoint
from udatools.engine.runner.distributed import cpu_model_wrapper, init_distributed
from udatools.engine.runner.flow_plan import check_videos
from udatools.engine.runner.journal import Journal, JournalError
from udatools.engine.runner.selection import CheckpointSelection
from udatools.engine.runner.stages import expand_stages, fill_placeholders, merge_stage_config, resolve_references
from udatools.evaluation.model_selection import ORACLE_NOTE
from udatools.registry import DATASETS, MODELS
from udatools.utils.atomic import write_json_atomic


def build_config(path: str, *, work_dir: str | None = None, resume: str | None = None, amp: str | None = None,
                 seed: int | None = None, select: str | None = None, options: dict[str, Any] | None = None,
                 launcher: str = 'none') -> Config:
    """Reads a config file and applies the command line.

    Args:
        path (str): config file.
        work_dir (str, optional): defaults to ``work_dirs/<config name>``.
        resume (str, optional): ``'auto'`` for the run in ``work_dir``, or the work directory of a run.
        amp (str, optional): ``'bfloat16'`` or ``'float16'``.
        seed (int, optional): overrides ``randomness.seed``.
        select (str, optional): overrides ``select``; a dict there for the same criterion keeps its settings.
        options (dict, optional): dotted overrides.
        launcher (str): mmengine's launchers.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'config {path} does not exist; the configs of this repository are below configs/')
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(options or {})
    cfg.launcher = launcher
    cfg.resume = resume is not None
    if resume not in (None, 'auto'):
        if not Path(resume).is_dir():
            raise FileNotFoundError(f'--resume {resume}: no such work directory')
        work_dir = resume
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{Path(path).stem}'
    if seed is not None:
        cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
    if select is not None:
        same = isinstance(cfg.get('select'), dict) and cfg.select.get('criterion') == select
        cfg.select = cfg.select if same else select
    if amp is not None:
        if not torch.cuda.is_available():
            raise ValueError(f'--amp {amp}: mixed precision needs a GPU, and torch sees none; leave --amp out for float32')
        for name, part in cfg.optim_wrapper.items():
            if isinstance(part, dict) and part.get('type', 'OptimWrapper') == 'OptimWrapper':
                cfg.optim_wrapper[name] = dict(part, type='AmpOptimWrapper', dtype=amp)
    return cfg


def evaluate(config: str, checkpoint: str | Sequence[str], *, work_dir: str | None = None, options: dict[str, Any] | None = None,
             launcher: str = 'none') -> dict[str, float]:
    """Tests a plain mmseg model, or a stage's checkpoint with its training config; writes ``metrics.json``.

    Args:
        config (str): exported or training config.
        checkpoint (str | Sequence[str]): the weights; of several models the mean of their probabilities is tested.
        work_dir (str, optional): defaults to ``test/`` beside the first checkpoint.
        options (dict, optional): dotted overrides.
        launcher (str): mmengine's launchers.

    Returns:
        dict[str, float]: the metrics, in percent.

    Raises:
        CheckpointError: when the weights do not fit the model.
    """
    checkpoints = [checkpoint] if isinstance(checkpoint, str) else list(checkpoint)
    work_dir = work_dir or str(Path(checkpoints[0]).parent / 'test')
    cfg = build_config(config, work_dir=work_dir, options=options, launcher=launcher)
    cfg = resolve_references(cfg)
    init_distributed(cfg)
    states = [read_checkpoint(Path(path))['state_dict'] for path in checkpoints]
    keys = ('model', 'work_dir', 'test_dataloader', 'test_cfg', 'test_evaluator', 'default_scope', 'launcher', 'log_level')
    cfg = Config({key: cfg[key] for key in keys if key in cfg})
    if len(checkpoints) > 1:
        cfg.model = dict(type='EnsembleSegmentor', model=cfg.model, count=len(checkpoints))
    runner = _bare_runner(cfg)
    members = runner.bare_model.members if len(checkpoints) > 1 else [runner.bare_model]
    for model, state, path in zip(members, states, checkpoints, strict=True):
        load_tested(model, state, path, config)
    metrics = runner.test()
    if is_main_process():
        write_json_atomic(Path(cfg.work_dir) / 'metrics.json', nest_metrics(metrics))
    return metrics


def load_tested(model: torch.nn.Module, state: dict[str, Any], checkpoint: str, config: str) -> None:
    """Copies weights into a model that is not trained on.

    Args:
        model (nn.Module): a plain mmseg segmentor, or a ``UDASegmentor``, whose objectives may stay as they are.
        state (dict[str, Tensor]): of a checkpoint of the same kind.
        checkpoint (str): its file, for errors.
        config (str): where the model comes from, for errors.

    Raises:
        CheckpointError: when they do not belong together.
    """
    wrapped = any(key.startswith('segmentor.') for key in model.state_dict())
    if wrapped != any(key.startswith('segmentor.') for key in state):
        raise CheckpointError(f'{checkpoint} and {config} do not belong together: one is an exported plain model, the other a '
                              'training config; give final/model.pth with final/config.py, or a stage checkpoint with its config')
    result = model.load_state_dict(state, strict=False)
    if lacking := [key for key in result.missing_keys if not key.startswith('objectives.')]:
        raise CheckpointError(f'{checkpoint} lacks {len(lacking)} parameters of {config}, such as {lacking[0]}; '
                              'give a checkpoint of this network')


def score_checkpoints(cfg: Config, *, stage_name: str | None = None) -> dict[str, Any]:
    """Scores every checkpoint that a run has kept of one stage by ``cfg.select``; the run is left as it is.

    Args:
        cfg (Config): config of the run, with its ``work_dir`` and ``select``.
        stage_name (str, optional): by default the last evaluated stage.

    Returns:
        dict: as :meth:`udatools.engine.runner.selection.CheckpointSelection.run`.

    Raises:
        JournalError: when the work directory holds no run, or the stage is not finished.
        ValueError: for a stage that the config does not have, or a criterion that does not score.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    init_distributed(cfg)
    run = StagedRunner(cfg)
    if not run.selection.active:
        raise ValueError("'last' scores nothing; choose another criterion")
    stages = {stage.name: stage for stage in run.stages}
    if stage_name is not None and stage_name not in stages:
        raise ValueError(f"the config has no stage '{stage_name}'; it has {', '.join(stages)}")
    stage = stages[stage_name] if stage_name else run.selected
    run.journal = Journal(run.work_dir / 'journal.json')
    if run.journal.stage(stage.name)['status'] != 'done':
        raise JournalError(f'stage {stage.name} of {run.work_dir} is not finished; train it first, with --select to keep all of '
                           'its checkpoints')
    stage_cfg = run.stage_config(stage)
    folder = Path(stage_cfg.work_dir)
    validation: list[StageRunner] = []

    def validate(checkpoint: Path) -> dict[str, float]:
        if not validation:
            keys = ('model', 'val_dataloader', 'val_cfg', 'val_evaluator', 'default_scope', 'launcher', 'log_level')
            content = {key: stage_cfg[key] for key in keys if key in stage_cfg}
            validation.append(_bare_runner(Config(content | {'work_dir': str(run.work_dir / 'select')})))
        return validation[0].val_checkpoint(checkpoint)

    return run.selection.run(stage_cfg, folder, root=run.work_dir, validate=validate, keep=False)


def _bare_runner(cfg: Config) -> StageRunner:
    """A runner that only evaluates."""
    cfg.experiment_name = f'test_{time.time_ns()}'
    cfg.default_hooks = dict(logger=None, checkpoint=None)
    cfg.custom_hooks = [dict(type='ProgressHook', title='test')]
    cfg.model_wrapper_cfg = cpu_model_wrapper()
    return StageRunner.from_cfg(cfg)


def dry_run(cfg: Config) -> int:
    """Prints the merged config, stages, data sets and parameters; checks that data is where the config says.

    Returns:
        int: 0, or 1 when something is not there.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    print(cfg.pretty_text)
    problems: list[str] = []
    stages = expand_stages(cfg.get('stages') or [dict(name='train')])
    for stage in stages:
        stage_cfg = merge_stage_config(cfg, stage)
        model = MODELS.build(dict(stage_cfg.model))
        size = sum(parameter.numel() for parameter in model.parameters())
        print(f'stage {stage.index + 1}/{len(stages)} {stage.name}: {stage_cfg.train_cfg["max_iters"]} iterations, '
              f'{size / 1e6:.2f} M parameters, from {" or ".join(stage.init) or "the backbone weights"}, '
              f'objectives {", ".join(model.objectives)}')
    selection = CheckpointSelection(cfg.get('select'))
    if selection.active:
        note = f' ({ORACLE_NOTE})' if selection.uses_target_labels else ', without target labels'
        print(f'checkpoint of the last evaluated stage: by {selection.settings()["criterion"]}{note}')
    first = merge_stage_config(cfg, stages[0])
    loader = merge_stage_config(cfg, stages[-1]).train_dataloader['dataset']
    sets = {'source': loader.get('source') or first.train_dataloader['dataset'].get('source'), 'target': loader.get('target'),
            'validation': (first.get('val_dataloader') or {}).get('dataset')}
    metainfo: dict[str, dict] = {}

    def placeholder(name: str) -> str:
        return str(stages[-1].round) if name == 'round' else f'{{{name}}}'

    for name, dataset in sets.items():
        if dataset is None:
            continue
        try:
            bare = {key: value for key, value in dataset.items() if key not in ('label_dir', 'flow')}
            built = DATASETS.build(fill_placeholders(bare, placeholder))
            metainfo[name] = built.metainfo
            print(f'{name}: {_one_line(built.describe())}')
            rare_classes = loader.get('rare_classes') if name == 'source' else None
            if rare_classes and rare_classes.get('statistics'):  # without a file every label would be read now
                print(f'rare-class sampling: {len(RareClassSampling(built, **rare_classes).images)} classes, counts in '
                      f'{rare_classes["statistics"]}')
        except (OSError, ValueError, KeyError) as error:
            problems.append(f'{name}: {message_of(error)}')
    try:
        check_videos(cfg, stages)
    except (OSError, ValueError, KeyError) as error:
        if not any(message_of(error) in problem for problem in problems):  # of a data set above
            problems.append(message_of(error))
    try:
        if {'source', 'target'} <= metainfo.keys():
            check_same_classes(metainfo['source'], metainfo['target'])
    except ValueError as error:
        problems.append(str(error))
    for problem in problems:
        print(f'NOT READY - {problem}', file=sys.stderr)
    return 1 if problems else 0


def _one_line(about: dict[str, Any]) -> str:
    text = (f'{about["images"]} images, {about["type"]} in {about["data_root"]} ({about["split"]}), '
            f'{about["num_classes"]} classes ({about["classes"]}), labels: {about["labels"]}')
    return '; '.join([text, *(about[name] for name in ('clips', 'gaps', 'translated') if about.get(name))])
