# SPDX-License-Identifier: Apache-2.0
"""``--select`` from the config to the exported model: what is kept, scored, chosen, recorded, and done again after a kill."""
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from shrink import REPO, shrink

from udatools.engine.cli import build_config, dry_run, evaluate, score_checkpoints
from udatools.engine.runner import StagedRunner, selection
from udatools.engine.runner.journal import Journal, JournalError
from udatools.engine.runner.selection import CheckpointSelection
from udatools.engine.runner.stages import StageConfig, config_digest, merge_stage_config

CONFIG = REPO / 'configs' / 'source_only' / 'source_only_minidrive.py'
DENSITY = dict(criterion='density', pixels=200)


@pytest.fixture(scope='module')
def config(tiny_data, tmp_path_factory):
    """A training of three iterations, a checkpoint each."""
    path = tmp_path_factory.mktemp('config') / 'cfg.py'
    cfg = shrink(CONFIG, data=tiny_data, work_dir='unused', iterations=3)
    cfg.report = False
    StageConfig(cfg.to_dict()).dump(str(path))
    return path


def build(config, work_dir, select=None, *, resume=False):
    cfg = build_config(str(config), work_dir=str(work_dir), resume='auto' if resume else None)
    if select is not None:
        cfg.select = select
    return cfg


@pytest.fixture(scope='module')
def finished(config, tmp_path_factory):
    """A run whose checkpoint was chosen by density: its folder and its results."""
    work_dir = tmp_path_factory.mktemp('selected') / 'run'
    return work_dir, StagedRunner.from_cfg(build(config, work_dir, DENSITY)).train()


@pytest.fixture
def run(finished, tmp_path):
    """A copy to damage."""
    shutil.copytree(finished[0], tmp_path / 'run')
    return tmp_path / 'run'


def names(record):
    return [candidate['checkpoint'] for candidate in record['candidates']]


def values(record):
    return [candidate['value'] for candidate in record['candidates']]


def test_every_checkpoint_is_a_candidate_and_the_best_is_delivered(config, finished, tmp_path):
    work_dir, results = finished
    record = results['stages'][-1]
    chosen = record['selection']
    assert names(chosen) == [f'stages/00_train/iter_{i}.pth' for i in (1, 2, 3)]
    assert (chosen['criterion'], chosen['uses_target_labels'], chosen['higher_is_better']) == ('density', False, True)
    assert chosen['chosen'] == max(zip(values(chosen), names(chosen)))[1] != names(chosen)[-1]
    assert record['checkpoint'] == chosen['chosen'] == Journal(work_dir / 'journal.json').stage('train')['checkpoint']
    metrics = evaluate(str(config), str(work_dir / chosen['chosen']), work_dir=str(tmp_path))
    assert record['metrics']['mIoU'] == pytest.approx(metrics['mIoU'], abs=1e-6)
    weights = torch.load(work_dir / chosen['chosen'], weights_only=False)['state_dict']
    exported = torch.load(work_dir / 'final' / 'model.pth', weights_only=False)['state_dict']
    key = 'backbone.conv1.weight'
    assert torch.equal(exported[key], weights[f'segmentor.{key}'])
    last = torch.load(work_dir / names(chosen)[-1], weights_only=False)['state_dict']
    assert not torch.equal(exported[key], last[f'segmentor.{key}'])


def test_several_checkpoints_are_tested_together(config, finished, tmp_path):
    paths = [str(finished[0] / name) for name in names(finished[1]['stages'][-1]['selection'])]
    one, same, mixed = (evaluate(str(config), which, work_dir=str(tmp_path / str(i)))
                        for i, which in enumerate((paths[0], [paths[0]] * 2, paths)))
    assert same['mIoU'] == pytest.approx(one['mIoU'], abs=0.2) and mixed['aAcc'] != one['aAcc']


def test_without_select_nothing_changes(config, tmp_path):
    cfg = build(config, tmp_path)
    runner = StagedRunner.from_cfg(cfg)
    results = runner.train()
    folder = tmp_path / 'stages' / '00_train'
    assert 'selection' not in results['stages'][-1] and not (folder / 'selection.json').exists()
    assert results['stages'][-1]['checkpoint'].endswith('iter_3.pth')
    assert sorted(path.name for path in folder.glob('iter_*.pth')) == ['iter_2.pth', 'iter_3.pth']
    plain = config_digest(merge_stage_config(cfg, runner.stages[0]), loading=False)
    assert Journal(tmp_path / 'journal.json').stage('train')['config'] == plain
    StagedRunner.from_cfg(build(config, tmp_path, 'last', resume=True)).train()  # 'last' is the default by name


def test_a_killed_choice_goes_on(config, finished, run, monkeypatch):
    folder = run / 'stages' / '00_train'
    journal = Journal(run / 'journal.json')
    journal.update('train', status='running', checkpoint=None)
    kept = json.loads((folder / 'selection.json').read_text())
    first = kept['values'].pop('iter_3.pth')
    (folder / 'selection.json').write_text(json.dumps(kept))
    scored = []
    score = selection.score_model
    monkeypatch.setattr(selection, 'score_model', lambda *arguments: scored.append(score(*arguments)) or scored[-1])
    results = StagedRunner.from_cfg(build(config, run, DENSITY, resume=True)).train()
    assert scored == [first]
    assert results['stages'][-1]['selection'] == finished[1]['stages'][-1]['selection']
    # Values of other settings are not reused.
    journal.update('train', status='running', checkpoint=None)
    (folder / 'selection.json').write_text(json.dumps(dict(kept, settings=dict(kept['settings'], pixels=199))))
    StagedRunner.from_cfg(build(config, run, DENSITY, resume=True)).train()
    assert len(scored) == 4


def test_a_finished_choice_is_not_done_again(config, finished, run, monkeypatch):
    monkeypatch.setattr(selection, 'score_model', None)
    results = StagedRunner.from_cfg(build(config, run, DENSITY, resume=True)).train()
    assert results['stages'] == finished[1]['stages']


@pytest.mark.parametrize('select', ['last', 'entropy', dict(DENSITY, pixels=100)])
def test_another_criterion_for_the_same_run_is_refused(config, run, select):
    with pytest.raises(JournalError, match='the config of stage train is not the one'):
        StagedRunner.from_cfg(build(config, run, select, resume=True)).train()


def test_an_unreadable_checkpoint_is_no_candidate(config, run):
    folder = run / 'stages' / '00_train'
    chosen = run / Journal(run / 'journal.json').stage('train')['checkpoint']
    chosen.write_bytes(chosen.read_bytes()[:1000])
    results = StagedRunner.from_cfg(build(config, run, DENSITY, resume=True)).train()
    record = results['stages'][-1]['selection']
    assert len(record['candidates']) == 2 and str(chosen.relative_to(run)) not in names(record)
    assert (run / record['chosen']).exists() and results['stages'][-1]['checkpoint'] == record['chosen']
    assert len(json.loads((folder / 'selection.json').read_text())['values']) == 3


def test_the_oracle_says_so(config, tmp_path):
    results = StagedRunner.from_cfg(build(config, tmp_path, 'target_miou')).train()
    record = results['stages'][-1]
    assert record['selection']['uses_target_labels'] is True
    assert record['metrics']['mIoU'] == pytest.approx(max(values(record['selection'])), abs=1e-9)
    scored = score_checkpoints(build(config, tmp_path, 'target_miou'))
    assert values(scored) == pytest.approx(values(record['selection']), abs=1e-9)


@pytest.mark.parametrize('select', [DENSITY, 'entropy'])
def test_checkpoints_of_a_finished_run_are_scored_without_touching_it(config, finished, select, tree):
    work_dir, results = finished
    before = tree(work_dir)
    scored = score_checkpoints(build(config, work_dir, select))
    assert tree(work_dir) == before
    assert names(scored) == names(results['stages'][-1]['selection'])
    if select == DENSITY:
        assert scored == results['stages'][-1]['selection']


def test_two_ranks_choose_what_one_chooses(config, finished, tmp_path, run_ranks):
    work_dir, results = finished
    for value, error in run_ranks(lambda rank: score_checkpoints(build(config, work_dir, DENSITY))):
        assert error is None, error
        assert value == results['stages'][-1]['selection']

    def train(rank):
        cfg = build(config, tmp_path / 'two', DENSITY)
        cfg.launcher = 'pytorch'
        os.environ['LOCAL_RANK'] = str(rank)  # of this process alone, a fork
        return StagedRunner.from_cfg(cfg).train()['stages'][-1]

    records = run_ranks(train)
    assert [error for _, error in records] == [None, None]
    assert records[0][0] == records[1][0]
    alone = score_checkpoints(build(config, tmp_path / 'two', DENSITY))
    assert records[0][0]['selection'] == alone


def test_only_the_last_evaluated_stage_keeps_all(tmp_path):
    cfg = build(REPO / 'configs' / 'labor' / 'spl_minidrive.py', tmp_path, 'entropy')
    runner = StagedRunner(cfg)
    assert runner.selected.name == 'round3_main'
    runner.journal = Journal(tmp_path / 'journal.json')
    for stage in runner.stages:
        expected = -1 if stage is runner.selected else 2
        assert runner.stage_config(stage).default_hooks.checkpoint.max_keep_ckpts == expected
        plain = config_digest(merge_stage_config(cfg, stage), loading=False)
        assert (runner._digest(stage) == plain) == (stage is not runner.selected)
        runner.journal.update(stage.name, status='done', checkpoint='x.pth')


@pytest.mark.parametrize('select, missing, message', [
    ('entropy', 'target_images', 'the config has no target_images; define it'),
    ('target_miou', 'val_dataloader', 'the config has no val_dataloader'),
    ('best', 'nothing', "select is 'best'; expected one of last"),
])
def test_what_could_not_be_chosen_is_refused_before_training(config, tmp_path, select, missing, message):
    cfg = build(config, tmp_path / 'run', select)
    cfg.pop(missing, None)
    with pytest.raises(ValueError, match=message):
        StagedRunner.from_cfg(cfg)
    assert not (tmp_path / 'run').exists()


def test_scoring_refuses(config, run):
    with pytest.raises(ValueError, match="'last' scores nothing"):
        score_checkpoints(build(config, run, 'last'))
    with pytest.raises(ValueError, match="no stage 'warmup'; it has train"):
        score_checkpoints(build(config, run, 'entropy'), stage_name='warmup')
    Journal(run / 'journal.json').update('train', status='running')
    with pytest.raises(JournalError, match='stage train of .* is not finished'):
        score_checkpoints(build(config, run, 'entropy'))


def test_no_checkpoint(tmp_path):
    chooser = CheckpointSelection('target_miou')
    with pytest.raises(RuntimeError, match='no readable checkpoint to choose from'):
        chooser.run(dict(val_dataloader=1), tmp_path, root=tmp_path, validate=lambda path: {})


def test_command_line(config, finished, tmp_path, capsys):
    cfg = build_config(str(config), select='entropy')
    assert cfg.select == 'entropy' and 'select' not in build_config(str(config))
    own = tmp_path / 'own.py'
    own.write_text(f"_base_ = {str(config)!r}\nselect = dict(criterion='density', pixels=50)\n")
    assert build_config(str(own), select='density').select == dict(criterion='density', pixels=50)
    assert build_config(str(own), select='entropy').select == 'entropy'
    assert dry_run(build_config(str(config), select='target_miou')) == 0
    line = 'checkpoint of the last evaluated stage: by target_miou (looks at target labels: an oracle, not a result)'
    assert line in capsys.readouterr().out.splitlines()
    done = subprocess.run([sys.executable, str(REPO / 'tools' / 'select_checkpoint.py'), str(config), str(finished[0]),
                           '--criterion', 'consistency'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index('checkpoint by'):].splitlines()
    assert table[0] == 'checkpoint by consistency (higher is better; no target labels)' and len(table) == 4
    assert sum('<- chosen' in line for line in table) == 1
