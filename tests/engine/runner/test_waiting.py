# SPDX-License-Identifier: Apache-2.0
"""A run that waits for people: journal, exit status, what it says, and going on; also elsewhere."""
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from shrink import REPO, shrink

from udatools.active import LabelLedger, Request
from udatools.active.annotators import AnswersPending
from udatools.active.request import Answer
from udatools.engine.cli import build_config
from udatools.engine.hooks import CostHook
from udatools.engine.runner import StagedRunner, staged_runner
from udatools.engine.runner.journal import Journal, JournalError
from udatools.engine.runner.stages import StageConfig, config_digest


@pytest.fixture
def train(monkeypatch):
    """Function: tools/train.py with a command line; returns the exit status."""
    spec = importlib.util.spec_from_file_location('train_script', REPO / 'tools' / 'train.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*argv):
        monkeypatch.setattr(sys, 'argv', ['tools/train.py', *map(str, argv)])
        return module.main()

    return run


class WaitingStage:
    """In place of a stage's runner: asks at once."""

    def __init__(self, cfg):
        self.cfg, self.hooks, self.visualizer = cfg, [CostHook()], SimpleNamespace(close=lambda: None)
        WaitingStage.started.append(cfg.experiment_name)

    def train(self):
        self.work_dir = self.cfg.work_dir
        self.hooks[0].before_train(self)
        raise AnswersPending(WaitingStage.work_dir / 'requests' / 'round_1', 5, 9, 1)


@pytest.fixture
def waiting(monkeypatch, tmp_path):
    """A config whose only stage waits, and its work directory."""
    WaitingStage.work_dir, WaitingStage.started = tmp_path / 'run', []
    monkeypatch.setattr(staged_runner.StageRunner, 'from_cfg', WaitingStage)
    cfg = Config.fromfile(REPO / 'configs/supervised/supervised_minidrive.py')
    StageConfig(cfg.to_dict()).dump(str(tmp_path / 'cfg.py'))
    return tmp_path / 'cfg.py', tmp_path / 'run'


def test_waiting_is_no_failure_and_is_said_again(waiting, train, capsys):
    config, work_dir = waiting
    for options in ([], ['--resume']):
        assert train(config, '--work-dir', work_dir, *options) == 0
        out, err = capsys.readouterr()
        assert 'Round 1 waits for people: 5 of 9 ' in out and 'error' not in err
        assert f'python tools/train.py {config} --work-dir {work_dir} --resume\n' in out
        record = Journal(work_dir / 'journal.json').stage('train')
        assert record['status'] == 'waiting'
        assert record['waiting'] == dict(request_dir='requests/round_1', round=1, asked=9, unanswered=5)
    assert len(WaitingStage.started) == 2 and not (work_dir / 'results.json').exists()
    cost = json.loads(next(work_dir.rglob('cost.json')).read_text())
    assert cost['train_seconds'] >= 0  # what the selection took stays counted


def test_a_waiting_run_is_not_started_anew_by_accident(waiting, train, capsys):
    config, work_dir = waiting
    train(config, '--work-dir', work_dir)
    capsys.readouterr()
    assert train(config, '--work-dir', work_dir) == 1
    assert 'already holds a run; add --resume' in capsys.readouterr().err
    assert Journal(work_dir / 'journal.json').stage('train')['status'] == 'waiting'


def test_callers_of_the_runner_get_what_is_waited_for(waiting):
    config, work_dir = waiting
    with pytest.raises(AnswersPending, match='5 of 9'):
        StagedRunner(build_config(str(config), work_dir=str(work_dir))).train()
    with pytest.raises(AnswersPending):  # the lock was given back
        StagedRunner(build_config(str(config), work_dir=str(work_dir), resume='auto'), resume=True).train()


def test_the_launcher_of_several_ranks_is_not_guessed(waiting, capsys):
    from udatools.engine.command_line import explain_waiting
    pending = AnswersPending(waiting[1] / 'requests' / 'round_1', 5, 9, 1)
    assert explain_waiting(pending, ['tools/train.py', 'cfg.py', '--launcher', 'pytorch'], 'pytorch') == 0
    assert 'the command that started the run, with --resume' in capsys.readouterr().out


@pytest.mark.distributed
def test_every_rank_stops_cleanly(waiting, run_ranks):
    config, work_dir = waiting

    def work(rank):
        runner = StagedRunner(build_config(str(config), work_dir=str(work_dir)))
        with pytest.raises(AnswersPending, match='5 of 9'):
            runner.train()
        return Journal(work_dir / 'journal.json').stage('train')['status']

    assert run_ranks(work) == [('waiting', None)] * 2


def digest(**values):
    return config_digest(Config(dict(train_dataloader=dict(dataset=dict(target=values)))))


def test_a_run_goes_on_where_the_data_lies_elsewhere():
    here, there = digest(data_root='/home/anna/data/cityscapes'), digest(data_root='/mnt/x/cityscapes')
    assert here == there != digest(data_root='/mnt/x/camvid')
    assert digest(pipeline=[dict(file='/a/b.png')]) == digest(pipeline=[dict(file='/c/b.png')])
    assert digest(data_root='data/a/gta5') != digest(data_root='data/b/gta5')  # relative: which data, not which machine
    assert digest(data_root='data/a', split='train') != digest(data_root='data/a', split='val')


def answer_with_truth(work_dir, data_root):
    """Import what a person would answer, from the label files."""
    from udatools.registry import DATASETS
    truth = DATASETS.build(dict(type='CityscapesDomain', data_root=str(data_root), split='train', classes='cityscapes19',
                                labelled=True, pipeline=[]))
    request = Request.load(work_dir / 'requests' / 'round_1')
    answers = []
    for key in request.asked_keys():
        label = truth.load_label(key)
        answers.append(Answer(key, np.where(request.regions(key) > 0, np.where(label == 255, 254, label), 255).astype(np.uint8),
                              'anna', 'test', clicks=1, seconds=1.0))
    with LabelLedger(work_dir / 'ledger.sqlite') as ledger:
        return ledger.record(request, answers).recorded


@pytest.mark.slow
def test_a_whole_run_waits_goes_on_and_trains_as_with_an_oracle(minidrive_root, tmp_path, train, capsys):
    # After a single iteration the two classifiers may agree everywhere, and nobody is asked anything.
    cfg = shrink(REPO / 'configs/labor/spl_minidrive.py', work_dir='unused', iterations=3, items=None,
                 data={'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'})
    cfg.stages[-1].repeat = cfg.labor.rounds = 1
    cfg.report = False
    StageConfig(cfg.to_dict()).dump(str(tmp_path / 'oracle.py'))
    cfg.labor.annotator = dict(cfg.labor.annotator, type='HumanAnnotator')
    StageConfig(cfg.to_dict()).dump(str(tmp_path / 'human.py'))
    work_dir = tmp_path / 'run'
    for options in ([], ['--resume']):
        assert train(tmp_path / 'human.py', '--work-dir', work_dir, *options) == 0
        assert 'waits for people' in capsys.readouterr().out
    assert Journal(work_dir / 'journal.json').stage('round1_main')['status'] == 'waiting'
    (tmp_path / 'another').mkdir()
    work_dir = Path(shutil.move(work_dir, tmp_path / 'another' / 'place'))
    cfg.val_dataloader.num_workers, cfg.val_dataloader.persistent_workers = 1, False
    StageConfig(cfg.to_dict()).dump(str(tmp_path / 'human.py'))
    with pytest.raises(JournalError, match=r'config of stage round1_main.* train.py \S*/another/place/config.py --work-dir'):
        StagedRunner.from_cfg(build_config(str(tmp_path / 'oracle.py'), work_dir=str(work_dir), resume='auto')).train()
    assert answer_with_truth(work_dir, minidrive_root / 'cityscapes') > 0
    assert train(tmp_path / 'human.py', '--work-dir', work_dir, '--resume') == 0
    record = Journal(work_dir / 'journal.json').stage('round1_main')
    assert record['status'] == 'done' and record['waiting'] is None
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['stages'][-1]['labelled']['pixels'] > 0
    oracle_dir = tmp_path / 'oracle'
    assert train(tmp_path / 'oracle.py', '--work-dir', oracle_dir) == 0
    same = json.loads((oracle_dir / 'results.json').read_text())
    assert same['stages'][-1]['metrics'] == results['stages'][-1]['metrics']
