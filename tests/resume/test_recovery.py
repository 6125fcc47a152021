# SPDX-License-Identifier: Apache-2.0
"""Damaged checkpoints, changed configs and locked work directories: the same numbers, or a refusal that says why."""
import json
import logging
import os
import shutil
import signal
import subprocess
import sys

import pytest
from run_contents import differences, run_contents
from shrink import REPO, shrink

from udatools.engine.cli import build_config
from udatools.engine.runner import StagedRunner, checkpoints, staged_runner
from udatools.engine.runner.checkpoints import CheckpointError, list_checkpoints
from udatools.engine.runner.journal import Journal, JournalError, WorkDirInUseError, WorkDirLock
from udatools.engine.runner.stages import StageConfig


@pytest.fixture(scope='module')
def finished(minidrive_root, tmp_path_factory):
    """A LabOR run of two rounds: its config file, its folder, its contents."""
    root = tmp_path_factory.mktemp('recovery')
    cfg = shrink(REPO / 'configs/labor/spl_minidrive.py', work_dir='unused', iterations=3,
                 data={'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'})
    cfg.stages[-1].repeat = cfg.labor.rounds = 2
    StageConfig(cfg.to_dict()).dump(str(root / 'cfg.py'))
    train(root / 'cfg.py', root / 'run')
    return root / 'cfg.py', root / 'run', run_contents(root / 'run')


def train(config, work_dir, *, resume=False, **options):
    return StagedRunner.from_cfg(
        build_config(str(config), work_dir=str(work_dir), resume='auto' if resume else None, options=options)).train()


@pytest.fixture
def run(finished, tmp_path):
    """A copy to damage."""
    shutil.copytree(finished[1], tmp_path / 'run')
    return tmp_path / 'run'


def rewind(work_dir, first):
    """The journal as it was before the stage ``first`` was done."""
    journal = Journal(work_dir / 'journal.json')
    names = list(journal.content['stages'])
    for name in names[names.index(first):]:
        del journal.content['stages'][name]
    journal.update(first, status='running')


def truncate(path):
    path.write_bytes(path.read_bytes()[:len(path.read_bytes()) // 2])


@pytest.fixture
def said(monkeypatch):
    """What was logged about checkpoints."""
    lines = []
    for module in (checkpoints, staged_runner):
        monkeypatch.setattr(module, 'print_log', lambda message, **kwargs: lines.append((message, kwargs['level'])))
    return lines


def folder_of(work_dir, stage):
    return next((work_dir / 'stages').glob(f'*_{stage}'))


def test_truncated_newest_checkpoint_falls_back(finished, run, said):
    config, _, expected = finished
    rewind(run, 'round2_discrepancy')
    newest = list_checkpoints(folder_of(run, 'round2_discrepancy'))[0]
    truncate(newest)
    train(config, run, resume=True)
    assert len(said) == 1 and said[0][1] == logging.WARNING
    assert str(newest) in said[0][0] and 'Falling back to the one before' in said[0][0]
    assert differences(expected, run_contents(run)) == []


def test_damaged_result_of_a_finished_stage_is_made_again(finished, run, said):
    """The second round was asked already: the first is trained again on the labels that it had, not on later ones."""
    config, _, expected = finished
    rewind(run, 'round2_main')
    newest = list_checkpoints(folder_of(run, 'round1_main'))[0]
    truncate(newest)
    train(config, run, resume=True)
    assert str(newest) in said[0][0] and 'Stage round1_main goes on from the one before' in said[0][0]
    assert str(newest) in said[1][0] and len(said) == 2
    assert differences(expected, run_contents(run)) == []


def test_no_readable_checkpoint_is_an_error_then_trained_anew(finished, run):
    config, _, expected = finished
    rewind(run, 'warmup')
    folder = folder_of(run, 'warmup')
    for path in list_checkpoints(folder):
        truncate(path)
    with pytest.raises(CheckpointError, match='none of the 2 checkpoints .*warmup can be read; delete them'):
        train(config, run, resume=True)
    for path in list_checkpoints(folder):
        path.unlink()
    train(config, run, resume=True)
    assert differences(expected, run_contents(run)) == []


def test_lost_labels_are_written_again_from_the_ledger(finished, run):
    config, _, expected = finished
    rewind(run, 'round2_main')
    shutil.rmtree(run / 'labels')
    shutil.rmtree(folder_of(run, 'round2_main'))
    train(config, run, resume=True)
    assert differences(expected, run_contents(run)) == []


def test_a_finished_run_is_left_as_it_is(finished, run):
    config, _, expected = finished
    times = {path: path.stat().st_mtime_ns for path in (run / 'stages').rglob('*.pth')}
    train(config, run, resume=True)
    assert differences(expected, run_contents(run)) == []
    assert {path: path.stat().st_mtime_ns for path in (run / 'stages').rglob('*.pth')} == times


def test_refusals_change_nothing(finished, run):
    config, _, expected = finished
    with pytest.raises(JournalError, match='already holds a run; add --resume'):
        train(config, run)
    with pytest.raises(JournalError, match='stage round1_main, round2_main .*another --work-dir'):
        train(config, run, resume=True, **{'iters.main': 7})
    with WorkDirLock(run), pytest.raises(WorkDirInUseError, match=f'process {os.getpid()}'):
        train(config, run, resume=True)
    assert differences(expected, run_contents(run)) == []


def test_what_may_change_between_run_and_continuation(finished, run):
    config, _, expected = finished
    rewind(run, 'round2_main')
    train(config, run, resume=True, checkpoint_interval=2, log_level='WARNING', **{'progress.interval': 1})
    assert differences(expected, run_contents(run)) == []


HOLDER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from udatools.engine.runner.journal import WorkDirLock
WorkDirLock(Path(sys.argv[1])).__enter__()
child = os.fork()
if child == 0:  # such as a loader worker, which outlives its parent for some seconds
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_lock_names_its_holder_and_dies_with_it(tmp_path):
    process = subprocess.Popen([sys.executable, '-c', HOLDER, str(tmp_path), str(REPO)], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    try:
        with pytest.raises(WorkDirInUseError, match=f'process {process.pid}.*--work-dir'):
            WorkDirLock(tmp_path).__enter__()
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)  # still there
        with WorkDirLock(tmp_path):
            assert (tmp_path / 'lock').read_text() == str(os.getpid())
        with WorkDirLock(tmp_path):  # and free again
            pass
    finally:
        process.kill()
        os.kill(child, signal.SIGKILL)


def test_journal_that_cannot_be_read(finished, run):
    config = finished[0]
    truncate(run / 'journal.json')
    with pytest.raises(JournalError, match='journal.json cannot be read'):
        train(config, run, resume=True)


def test_results_survive_a_resume(finished):
    results = json.loads((finished[1] / 'results.json').read_text())
    assert [record['name'] for record in results['stages']] == ['source', 'warmup', 'round1_main', 'round2_main']
    pixels = [record['labelled']['pixels'] for record in results['stages']]
    assert pixels[:2] == [0, 0] and 0 < pixels[2] < pixels[3]
