# SPDX-License-Identifier: Apache-2.0
"""Runs a method as a list of ordinary trainings with a journal between them.

Kill it anywhere: what is done stays done, a half-done training goes on from its newest readable checkpoint, half-done
labelling is redone to the same result. Nothing random is carried in process state, so the numbers are those of an
uninterrupted run.
"""
import shlex
import time
from pathlib import Path
from time import sleep
from typing import Any
from uuid import uuid4

from mmengine.config import Config
from mmengine.dist import barrier, get_world_size
from mmengine.logging import MMLogger, print_log
from mmengine.registry import init_default_scope

import udatools.engine.storage  # noqa: F401 - registers the backend `atomic`
from udatools.active.annotators import AnswersPending
from udatools.engine.export import export_plain
from udatools.engine.hooks.cost_hook import CostHook
from udatools.engine.results import ResultsFile
from udatools.engine.tracking import chosen_trackers, stage_visualizer
from udatools.evaluation.model_selection import format_selection
from udatools.ops.digests import json_digest
from udatools.registry import RUNNERS
from udatools.utils.rng import derive_seed

from .checkpoints import CheckpointError, list_checkpoints, newest_readable, read_checkpoint
from .distributed import cpu_model_wrapper, init_distributed, on_main
from .flow_plan import check_videos
from .journal import DONE, RUNNING, WAITING, Journal, JournalError, WorkDirLock
from .selection import CheckpointSelection
from .stage_runner import StageRunner
from .stage_store import StageStore, stage_keys
from .stages import (
    Stage,
    StageConfig,
    config_digest,
    expand_stages,
    fill_placeholders,
    machine_independent,
    merge_stage_config,
    resolve_references,
)


@RUNNERS.register_module()
class StagedRunner:
    """A run of one or more stages in one work directory.

    Args:
        cfg (Config): base config with ``stages`` (without: one stage ``train``), ``work_dir``, ``randomness.seed`` and
            ``select``: how the checkpoint of the last evaluated stage is chosen, by default it is the last. ``stage_store``
            (a folder, optional) keeps finished stages for other runs that begin alike, and takes over theirs.
        resume (bool): go on with the run that the work directory holds.

    Raises:
        JournalError: when the work directory holds a run and ``resume`` is off, or when that run had another config.
        CompatError: if the package of a tracker is not installed.
        ValueError: for a ``select`` that is unknown, or that needs what the config does not have, or an unknown tracker.
    """

    def __init__(self, cfg: Config, *, resume: bool = False) -> None:
        self.cfg = cfg
        self.resume = resume
        self.work_dir = Path(cfg.work_dir).resolve()
        self.seed = int((cfg.get('randomness') or {}).get('seed') or 0)
        self.stages = expand_stages(cfg.get('stages') or [dict(name='train')])
        self.name = Path(cfg.filename).stem if cfg.filename else 'run'
        self.run_id = ''  # of the journal
        chosen_trackers(cfg)  # a missing package is told before anything is trained
        self.selection = CheckpointSelection(cfg.get('select'), seed=self.seed)
        self.selected = self.stages[-1]
        if self.selection.active:
            self.selected = next((stage for stage in reversed(self.stages) if stage.evaluate), self.selected)
            self.selection.check(merge_stage_config(cfg, self.selected))
        self.store = StageStore(Path(cfg.stage_store)) if cfg.get('stage_store') else None

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'StagedRunner':
        """As ``Runner.from_cfg``; ``cfg.resume`` decides about going on."""
        return cls(cfg, resume=bool(cfg.get('resume')))

    def train(self) -> dict[str, Any]:
        """Runs all stages that are not done.

        Returns:
            dict: the content of ``results.json``.

        Raises:
            AnswersPending: on every rank, if a round waits for people. The stage's status is ``waiting``; the run goes on
                with ``resume`` after their answers are imported.
        """
        init_default_scope(self.cfg.get('default_scope', 'mmseg'))
        init_distributed(self.cfg)
        self._enter()
        try:
            for stage in self.stages:
                if self.journal.stage(stage.name)['status'] != DONE:
                    self._run_stage(stage)
                barrier()
            return self._finish()
        finally:
            if self._lock is not None:
                self._lock.__exit__()

    def _enter(self) -> None:
        """Lock, and checks of videos and journal, on rank 0; every rank learns of a refusal."""
        self._lock: WorkDirLock | None = None

        def enter() -> None:
            self._lock = WorkDirLock(self.work_dir).__enter__()
            done = Journal(self.work_dir / 'journal.json')
            check_videos(self.cfg, [stage for stage in self.stages if done.stage(stage.name)['status'] != DONE])
            self._check_journal()
            self._recover()

        try:
            on_main(enter)
        except Exception:
            if self._lock is not None:
                self._lock.__exit__()
            raise
        self.journal = Journal(self.work_dir / 'journal.json')
        about = self.journal.content['run']
        self.name = about.get('name', self.name)  # also where it goes on from the config.py that it kept
        self.run_id = about.get('id') or json_digest(about)[:12]  # journals of earlier versions have none
        self.logger = MMLogger.get_current_instance()

    def _recover(self) -> None:
        """Clears what a killed process left half-written; reopens a finished stage whose result can no longer be read."""
        for leftover in self.work_dir.rglob('.*.tmp'):
            leftover.unlink()
        journal = Journal(self.work_dir / 'journal.json')
        newest = {stage.kind: stage for stage in self.stages if journal.stage(stage.name)['status'] == DONE}
        for stage in newest.values():
            try:
                read_checkpoint(self.work_dir / journal.stage(stage.name)['checkpoint'], own=True)
            except CheckpointError as error:
                print_log(f'{error}. Stage {stage.name} goes on from the one before.', logger='current', level=30)
                journal.update(stage.name, status=RUNNING)

    def _check_journal(self) -> None:
        journal = Journal(self.work_dir / 'journal.json')
        if journal.exists and not self.resume:
            raise JournalError(f'{self.work_dir} already holds a run; add --resume to go on with it, '
                               'or choose another --work-dir')
        changed = [stage.name for stage in self.stages
                   if (digest := journal.stage(stage.name).get('config')) is not None
                   and digest not in (self._digest(stage), self._digest(stage, loading=True))]
        if changed:
            raise JournalError(f'the config of stage {", ".join(changed)} is not the one that {self.work_dir} was run with; '
                               'choose another --work-dir, or take the change back to go on. If the config files changed with '
                               'udatools, the run still has its own: train.py '
                               f'{shlex.quote(str(self.work_dir / "config.py"))} --work-dir {shlex.quote(str(self.work_dir))} '
                               '--resume')
        if not journal.exists:
            journal.content['run'] = {'name': self.name, 'id': uuid4().hex[:12], 'seed': self.seed,
                                      'stages': [stage.name for stage in self.stages]}
            journal.write()
            StageConfig(self.cfg.to_dict()).dump(str(self.work_dir / 'config.py'))

    def _digest(self, stage: Stage, *, loading: bool = False) -> str:
        """Of the stage's config; with ``loading`` as journals of earlier versions hold it."""
        cfg = merge_stage_config(self.cfg, stage)
        digest = config_digest(cfg, loading=loading)
        if not self._selects(stage):
            return digest
        return json_digest([digest, self.selection.settings(), repr(machine_independent(cfg.get('target_images')))])

    def _selects(self, stage: Stage) -> bool:
        return self.selection.active and stage is self.selected

    def checkpoint_of(self, kinds: tuple[str, ...] | list[str], before: Stage | None = None) -> Path:
        """The newest finished checkpoint of the first kind of stage that has one.

        Args:
            kinds (Sequence[str]): names of stages as in the config.
            before (Stage, optional): look at earlier stages than this one only.

        Raises:
            JournalError: when none of them has been run.
        """
        for kind in kinds:
            for stage in reversed(self.stages[:before.index if before else None]):
                record = self.journal.stage(stage.name)
                if stage.kind == kind and record['status'] == DONE:
                    return self.work_dir / record['checkpoint']
        raise JournalError(f'no finished stage is called {" or ".join(kinds)}')

    def stage_config(self, stage: Stage) -> Config:
        """The complete config of one stage's runner."""

        def value_of(name: str) -> str:
            if name == 'work_dir':
                return str(self.work_dir)
            if name == 'round':
                return str(stage.round)
            if name in ('run', 'run_id', 'stage'):
                return dict(run=self.name, run_id=self.run_id, stage=stage.name)[name]
            return str(self.checkpoint_of(name.removeprefix('checkpoint:').split('|'), stage))

        cfg = merge_stage_config(self.cfg, stage)
        cfg = StageConfig(fill_placeholders(cfg.to_dict(), value_of), filename=None)
        cfg.work_dir = str(self.work_dir / 'stages' / stage.folder)
        cfg.visualizer = stage_visualizer(cfg, Path(cfg.work_dir))
        cfg.run_name = self.name
        cfg.experiment_name = f'{self.name}_{stage.name}_{time.time_ns()}'
        cfg.start_from = str(self.checkpoint_of(stage.init, stage)) if stage.init else cfg.get('load_from')
        cfg.load_from, cfg.resume = None, False
        # Never mmengine's random seed, which a resumed run would not repeat.
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=self.seed)
        if stage.round:
            # The run's seed would show every round the same images in the same crops, those that the first stage began with.
            cfg.train_dataloader.sampler.setdefault('seed', derive_seed(self.seed, stage.name))
        title = f'[{stage.index + 1}/{len(self.stages)}] {stage.name}'
        cfg.custom_hooks = [
            dict(type='IterationSeedHook', seed=self.seed, tag=stage.name),
            dict(type='ProgressHook', title=title, interval=cfg.get('progress', {}).get('interval', 50)),
            dict(type='CurveHook', interval=cfg.get('progress', {}).get('interval', 50)),
            dict(type='TeacherHook'),
            dict(type='CostHook'),
            *cfg.get('custom_hooks', []),
        ]
        cfg.model_wrapper_cfg = cfg.get('model_wrapper_cfg') or cpu_model_wrapper()
        if self._selects(stage):
            cfg.default_hooks.checkpoint.max_keep_ckpts = -1
        return cfg

    def _run_stage(self, stage: Stage) -> None:
        """Trains a stage, or takes it over from a run that began alike."""
        key = self._share_keys().get(stage.name)
        if key is None or self.store is None:
            self._train_stage(stage)
            return
        claim = self._claim(stage, key)
        try:
            if not self._take_over(stage, key):
                self._train_stage(stage)
                on_main(lambda: self._keep(stage, key))
        finally:
            if claim is not None:
                claim.__exit__()

    def _share_keys(self) -> dict[str, str]:
        if self.store is None:
            return {}
        configs = {stage.name: merge_stage_config(self.cfg, stage) for stage in self.stages}
        keys = stage_keys(self.stages, configs, seed=self.seed, world_size=get_world_size())
        return {name: key for name, key in keys.items() if not (self.selection.active and name == self.selected.name)}

    def _claim(self, stage: Stage, key: str) -> WorkDirLock | None:
        """Waits while another run trains this stage; the lock is rank 0's."""
        claim: WorkDirLock | None = None

        def attempt() -> bool:
            nonlocal claim
            claim = self.store.claim(key)
            return claim is not None

        waiting = False
        while not on_main(attempt):
            if not waiting:
                self.logger.info(f'{stage.name}: another run trains the same stage; waiting for it')
                waiting = True
            sleep(2)
        return claim

    def _take_over(self, stage: Stage, key: str) -> bool:
        folder = self.work_dir / 'stages' / stage.folder

        def take() -> dict[str, Any] | None:
            kept = self.store.take(key, folder)
            if kept is None:
                return None
            self.logger.info(f'{stage.name}: taken over from {self.store.root}')
            start = str(self.checkpoint_of(stage.init, stage)) if stage.init else None
            self.journal.update(stage.name, status=RUNNING, config=self._digest(stage), start_from=start, taken_over=key)
            return self._record(stage, str((folder / kept['checkpoint']).relative_to(self.work_dir)), kept['metrics'],
                                kept['seconds'])

        content = on_main(take)
        if content is None:
            return False
        self.journal.content = content
        return True

    def _keep(self, stage: Stage, key: str) -> None:
        record = self.journal.stage(stage.name)
        checkpoint = self.work_dir / record['checkpoint']
        self.store.keep(key, checkpoint.parent, checkpoint=checkpoint.name, metrics=record['metrics'], seconds=record['seconds'])

    def _record(self, stage: Stage, checkpoint: str, metrics: dict[str, Any] | None, seconds: float,
                selection: dict[str, Any] | None = None) -> dict[str, Any]:
        """A finished stage in results and journal; on rank 0."""
        if metrics is not None:
            self._results().add_stage(stage, metrics, checkpoint=checkpoint, selection=selection)
        if metrics is not None:  # JSON has no nan
            metrics = {name: None if value != value else value for name, value in metrics.items()}
        self.journal.update(stage.name, status=DONE, checkpoint=checkpoint, seconds=round(seconds, 1), metrics=metrics)
        return self.journal.content

    def _train_stage(self, stage: Stage) -> None:
        cfg = self.stage_config(stage)
        folder = Path(cfg.work_dir)
        started = time.time()
        waited = {'waiting': None} if 'waiting' in self.journal.stage(stage.name) else {}
        on_main(lambda: self.journal.update(stage.name, status=RUNNING, config=self._digest(stage), start_from=cfg.start_from,
                                            **waited))
        latest = newest_readable(folder)
        if latest is not None:
            self.logger.info(f'{stage.name}: going on from {latest.name}')
            cfg.load_from, cfg.resume = str(latest), True
        runner = StageRunner.from_cfg(cfg)
        try:
            selection, metrics = self._train_and_evaluate(stage, cfg, runner)
        finally:
            runner.visualizer.close()

        def record() -> dict[str, Any]:
            checkpoint = selection['chosen'] if selection else str(list_checkpoints(folder)[0].relative_to(self.work_dir))
            seconds = self.journal.stage(stage.name).get('seconds', 0.0) + time.time() - started
            return self._record(stage, checkpoint, metrics, seconds, selection)

        self.journal.content = on_main(record)

    def _train_and_evaluate(self, stage: Stage, cfg: Config,
                            runner: StageRunner) -> tuple[dict[str, Any] | None, dict[str, float] | None]:
        """The record of the selection and the metrics, None where there are none."""
        try:
            runner.train()
        except AnswersPending as pending:
            self._note_waiting(stage, runner, pending)
            raise
        runner.synchronise_buffers()
        selection: dict[str, Any] | None = None
        if self._selects(stage):
            selection = self.selection.run(cfg, Path(cfg.work_dir), root=self.work_dir, validate=runner.val_checkpoint)
            print_log(format_selection(selection), logger='current')
            runner.load_weights(self.work_dir / selection['chosen'])
        return selection, runner.val() if stage.evaluate and runner.val_loop is not None else None

    def _note_waiting(self, stage: Stage, runner: StageRunner, pending: AnswersPending) -> None:
        """What the round waits for goes to the journal; what the selection has cost stays counted."""
        for hook in runner.hooks:
            if isinstance(hook, CostHook):
                hook.after_train(runner)
        about = dict(request_dir=pending.request_dir.resolve().relative_to(self.work_dir).as_posix(), round=pending.round,
                     asked=pending.asked, unanswered=pending.unanswered)
        on_main(lambda: self.journal.update(stage.name, status=WAITING, waiting=about))

    def _results(self) -> ResultsFile:
        return ResultsFile(self.work_dir, resolve_references(self.cfg), name=self.name, seed=self.seed)

    def _finish(self) -> dict[str, Any]:
        """Export, baselines and report, on rank 0; harmless to repeat."""

        def finish() -> dict[str, Any]:
            last = next(stage for stage in reversed(self.stages) if stage.evaluate)
            results = self._results()
            results.add_baselines(self.cfg.get('baselines', []))
            cfg = self.stage_config(last)
            results.set_final(export_plain(cfg, self.checkpoint_of((last.kind,)), self.work_dir / 'final'))
            if results.content['stages'] and self.cfg.get('report', True):  # without validation there is nothing to show
                from udatools.visualization.report import write_report
                write_report(self.work_dir)
            return results.content

        return on_main(finish)
