# SPDX-License-Identifier: Apache-2.0
"""Which trackers a stage writes to, under which names and where (that they are written is tests/integration/test_tracking.py)."""
from pathlib import Path

import pytest
from mmengine.config import Config
from shrink import REPO

from udatools.compat import CompatError
from udatools.engine import tracking
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.journal import DONE, Journal
from udatools.engine.tracking import chosen_trackers, stage_visualizer

LOCAL, OTHER = dict(type='LocalVisBackend'), dict(type='Other', option=[1])


def test_trackers_by_name(tmp_path):
    cfg = dict(track=['b'], trackers=dict(a=dict(type='A'), b=OTHER), visualizer=dict(type='V', vis_backends=[LOCAL], alpha=0.5))
    made = stage_visualizer(cfg, tmp_path)
    assert made == dict(type='V', alpha=0.5, vis_backends=[LOCAL, OTHER], save_dir=str(tmp_path))
    made['vis_backends'][1]['option'].append(2)
    assert cfg['trackers']['b'] == dict(type='Other', option=[1]) and cfg['visualizer']['vis_backends'] == [LOCAL]
    assert chosen_trackers(dict(cfg, track='a')) == [dict(type='A')]  # as --cfg-options track=a gives it
    assert chosen_trackers({}) == [] and chosen_trackers(dict(track=None, trackers=None)) == []
    assert stage_visualizer({}, tmp_path) == dict(type='Visualizer', vis_backends=[LOCAL], save_dir=str(tmp_path))


def test_what_is_refused(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r'track names c; expected names of trackers: a, b'):
        chosen_trackers(dict(track=['a', 'c'], trackers=dict(a=LOCAL, b=LOCAL)))
    monkeypatch.setitem(tracking.PACKAGES, 'WandbVisBackend', 'no_such_package')
    cfg = Config(dict(work_dir=str(tmp_path), model=dict(type='x'), track='w', trackers=dict(w=dict(type='WandbVisBackend'))))
    with pytest.raises(CompatError, match=r'track names w, and no_such_package is not installed; run `pip'):
        StagedRunner(cfg)  # before anything is trained


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Function: configs of the stages of AdaptSegNet, as if those before were done."""
    monkeypatch.setattr(tracking, 'PACKAGES', {})  # nothing is written here

    def make(name='adaptsegnet/adaptsegnet_minidrive', **options):
        cfg = Config.fromfile(REPO / 'configs' / f'{name}.py')
        cfg.merge_from_dict(options)
        cfg.work_dir = str(tmp_path)
        runner = StagedRunner(cfg)
        runner.run_id = '0123abcd'
        runner.journal = Journal(tmp_path / 'journal.json')
        found = {}
        for stage in runner.stages:
            found[stage.name] = runner.stage_config(stage)
            runner.journal.update(stage.name, status=DONE, checkpoint=f'{stage.name}.pth')
        return found

    return make


def test_each_stage_is_a_run_of_its_own_that_a_resumed_stage_finds_again(stages, tmp_path):
    found = stages('cbst/cbst_minidrive', track=['tensorboard', 'wandb', 'mlflow'])
    ids = set()
    for number, (name, cfg) in enumerate(found.items()):
        local, tensorboard, wandb, mlflow = cfg.visualizer.vis_backends
        assert (local.type, tensorboard.type) == ('LocalVisBackend', 'TensorboardVisBackend')
        assert Path(cfg.visualizer.save_dir) == tmp_path / 'stages' / f'{number:02d}_{name}' == Path(cfg.work_dir)
        assert wandb.init_kwargs.group == mlflow.exp_name == 'cbst_minidrive'
        assert wandb.init_kwargs.name == mlflow.run_name == name
        assert wandb.init_kwargs.id == f'0123abcd_{name}' and wandb.init_kwargs.resume == 'allow'
        assert mlflow.artifact_location == f'{tmp_path}/mlflow_artifacts'
        assert mlflow.tracking_uri == f'sqlite:///{tmp_path}/mlflow.db' and mlflow.tags == dict(run_id='0123abcd')
        ids.add(wandb.init_kwargs.id)
        hook, = (hook for hook in cfg.custom_hooks if hook['type'] == 'CurveHook')
        assert hook['interval'] == cfg.progress.interval
    assert len(ids) == len(found) > 2


def test_by_default_curves_are_files_alone(stages):
    for cfg in stages().values():
        assert [backend.type for backend in cfg.visualizer.vis_backends] == ['LocalVisBackend']


def test_turning_a_tracker_on_is_no_change_of_the_run(tmp_path):
    cfg = Config.fromfile(REPO / 'configs/adaptsegnet/adaptsegnet_minidrive.py')
    cfg.work_dir = str(tmp_path)
    before = StagedRunner(cfg)
    cfg.trackers.mine = dict(LOCAL)
    cfg.track = ['mine']
    after = StagedRunner(cfg)
    assert [before._digest(stage) for stage in before.stages] == [after._digest(stage) for stage in after.stages]
