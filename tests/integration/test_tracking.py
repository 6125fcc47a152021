# SPDX-License-Identifier: Apache-2.0
"""Curves of a small run, written by real trackers: tags, values, one run a stage, and a stage that was killed."""
import json
import math

import pytest
from mmengine.hooks import Hook
from shrink import REPO, shrink

import udatools  # noqa: F401
from udatools.engine.runner import StagedRunner
from udatools.registry import HOOKS


@HOOKS.register_module()
class KillAt(Hook):
    """Ends the process, as far as a stage can tell."""
    priority = 'LOWEST'
    at: dict = {}

    def __init__(self, stage):
        self.stage = stage

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if self.at.get(self.stage) == batch_idx + 1:
            raise RuntimeError('killed')


def config(minidrive_root, work_dir, track):
    """Two stages of 4 iterations, a checkpoint every 2, a point every iteration."""
    data = {'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'}
    cfg = shrink(REPO / 'configs/adaptsegnet/adaptsegnet_minidrive.py', data=data, work_dir=work_dir, iterations=4)
    cfg.checkpoint_interval, cfg.progress, cfg.report, cfg.track = 2, dict(interval=1), False, track
    kill = dict(type='KillAt')
    cfg.stages = [dict(name='first', config={'custom_hooks': [dict(kill, stage='first')]}),
                  dict(name='second', init='first', config={'custom_hooks': [dict(kill, stage='second')]})]
    return cfg


@pytest.fixture
def killed_and_resumed(minidrive_root, tmp_path, monkeypatch):
    """Function: runs with a tracker, is killed in iteration 3 of the second stage, and goes on; the result of a run."""

    def make(track, change=lambda cfg: None):
        runners = []
        for resume in (False, True):
            cfg = config(minidrive_root, tmp_path, track)
            change(cfg)
            cfg.resume = resume
            runners.append(StagedRunner.from_cfg(cfg))
        monkeypatch.setattr(KillAt, 'at', {'second': 3})
        with pytest.raises(RuntimeError, match='killed'):
            runners[0].train()
        monkeypatch.setattr(KillAt, 'at', {})
        return runners[1].train()

    return make


def points(work_dir, stage):
    return [json.loads(line) for line in (work_dir / 'stages' / stage / 'vis_data' / 'scalars.json').read_text().splitlines()]


@pytest.mark.slow
def test_files_and_tensorboard(killed_and_resumed, tmp_path):
    pytest.importorskip('tensorboard', reason='install requirements/optional.txt')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    results = killed_and_resumed(['tensorboard'])
    for number, stage in enumerate(('00_first', '01_second')):
        written = points(tmp_path, stage)
        assert [point['step'] for point in written] == [1, 2, 3, 4, 4]
        train, metrics = written[:4], written[4]
        assert metrics['val/mIoU'] == pytest.approx(results['stages'][number]['metrics']['mIoU'])
        assert 'val/IoU/road' in metrics and 'train/loss' not in metrics
        for point in train:
            parts = [value for name, value in point.items() if '.loss' in name]
            assert len(parts) > 1 and all(math.isfinite(value) for value in parts) and point['iter'] == point['step']
        parts = [value for name, value in train[0].items() if '.loss' in name]
        assert train[0]['train/loss'] == pytest.approx(sum(parts), rel=1e-4)
        assert {'train/segmentor.lr', 'train/discriminator.lr'} <= train[0].keys()

        events = EventAccumulator(str(tmp_path / 'stages' / stage / 'vis_data')).Reload()
        for name in ('train/loss', 'train/segmentor.lr'):
            assert [(event.step, pytest.approx(event.value, rel=1e-5)) for event in events.Scalars(name)] == [
                (point['step'], point[name]) for point in train]
        event, = events.Scalars('val/mIoU')
        assert (event.step, event.value) == (4, pytest.approx(metrics['val/mIoU'], rel=1e-5))
        assert set(events.Tags()['scalars']) == set().union(*written) - {'step'}
    assert len(list((tmp_path / 'stages' / '01_second' / 'vis_data').glob('events.*'))) == 2  # one a process, one curve


@pytest.mark.slow
def test_mlflow(killed_and_resumed, tmp_path):
    pytest.importorskip('sqlalchemy', reason='install the extra mlflow')
    mlflow = pytest.importorskip('mlflow', reason='install the extra mlflow')
    killed_and_resumed(['mlflow'])
    client = mlflow.MlflowClient(f'sqlite:///{tmp_path}/mlflow.db')
    experiment = client.get_experiment_by_name('adaptsegnet_minidrive')
    assert experiment.artifact_location == f'{tmp_path}/mlflow_artifacts'
    runs = {}
    for run in client.search_runs([experiment.experiment_id]):
        runs.setdefault(run.data.tags['mlflow.runName'], []).append(run)
    assert {name: len(found) for name, found in runs.items()} == {'first': 1, 'second': 2}  # a process, a run
    assert {run.data.tags['run_id'] for found in runs.values() for run in found} == {
        json.loads((tmp_path / 'journal.json').read_text())['run']['id']}
    first, = runs['first']
    written = points(tmp_path, '00_first')
    history = client.get_metric_history(first.info.run_id, 'train/loss')
    assert [(point.step, point.value) for point in history] == [(point['step'], point['train/loss']) for point in written[:4]]
    assert first.data.metrics['val/mIoU'] == pytest.approx(written[4]['val/mIoU'])
    assert 'train_cfg.max_iters' in first.data.params and first.info.status == 'FINISHED'
    steps = sorted(point.step for run in runs['second'] for point in client.get_metric_history(run.info.run_id, 'train/loss'))
    assert steps == [1, 2, 3, 3, 4]


@pytest.mark.slow
def test_wandb_offline(killed_and_resumed, tmp_path, monkeypatch):
    wandb = pytest.importorskip('wandb', reason='install the extra wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.setenv('WANDB_SILENT', 'true')
    started, logged, real = [], [], wandb.init

    def init(**options):
        started.append(options)
        run = real(**options)

        def log(values, **kwargs):
            logged.append((options['name'], values))
            return run.log(values, **kwargs)

        monkeypatch.setattr(wandb, 'log', log)
        return run

    monkeypatch.setattr(wandb, 'init', init)
    killed_and_resumed(['wandb'], lambda cfg: cfg.trackers.wandb.init_kwargs.update(mode='offline'))
    assert [options['name'] for options in started] == ['first', 'second', 'second']
    assert len({options['id'] for options in started}) == 2 and started[1]['id'] == started[2]['id']
    assert {(options['group'], options['resume']) for options in started} == {('adaptsegnet_minidrive', 'allow')}
    assert [values['iter'] for name, values in logged if name == 'second'] == [1, 2, 3, 3, 4, 4]
    assert any('val/mIoU' in values for _, values in logged)
    assert list((tmp_path / 'stages' / '00_first' / 'vis_data' / 'wandb').glob('offline-run-*'))
