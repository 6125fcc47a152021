# SPDX-License-Identifier: Apache-2.0
"""Stages that are killed half-way and resumed, of methods that carry more than weights from one iteration to the next.

A memory of regions (SIM), a network that an earlier stage fitted (PCEDA), labels and thresholds of a round (LSE, TPLD), answers
(WDA): what is in no checkpoint and no file would be gone, and the run would end otherwise than an uninterrupted one. The kill is
an error in an iteration, before its checkpoint is written; ``test_kill_and_resume.py`` kills processes.
"""
import json
from pathlib import Path

import pytest
from run_contents import differences, run_contents
from shrink import REPO, shrink

from udatools.engine.hooks.progress_hook import ProgressHook
from udatools.engine.runner import StagedRunner

pytestmark = pytest.mark.slow

ITERATIONS = 3


class Killed(Exception):
    """As if the process had ended."""


@pytest.fixture
def kill_at(monkeypatch):
    """Function: lets training end once in iteration 2 of each of these stages; the set of those that are still to come."""
    left, plain = set(), ProgressHook.after_train_iter

    def after(self, runner, batch_idx, data_batch=None, outputs=None):
        stage = Path(runner.work_dir).name.partition('_')[2]
        if batch_idx + 1 == 2 and stage in left:
            left.remove(stage)
            raise Killed(stage)
        plain(self, runner, batch_idx, data_batch, outputs)

    monkeypatch.setattr(ProgressHook, 'after_train_iter', after)

    def kill(stages):
        left.update(stages)
        return left

    return kill


def sim(cfg):
    cfg.sim.weights = dict(stuff=5.0, things=5.0)  # it shows in the losses
    cfg.self_training.policy.initial = 0.05  # of a network that knows nothing yet


def lse(cfg):
    cfg.stages[1].repeat = 2


METHODS = {
    'sim/sim': (sim, ['warmup', 'round1_main']),
    'tpld/tpld': (None, ['round2_main', 'round1_second_phase']),
    'lse/lse': (lse, ['round1_main', 'round2_main']),
    'pceda/pceda': (None, ['prior', 'adapt']),
    'wda/wda_points': (None, ['warmup', 'round1_main']),
}


@pytest.mark.parametrize('name', METHODS)
def test_same_as_uninterrupted(name, kill_at, minidrive_root, tmp_path):
    change, killed = METHODS[name]

    def run(folder, resume=False):
        cfg = shrink(REPO / f'configs/{name}_minidrive.py', work_dir=tmp_path / folder, iterations=ITERATIONS, items=4,
                     data={'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'})
        cfg.report = False
        if change is not None:
            change(cfg)
        return StagedRunner(cfg, resume=resume).train()

    run('whole')
    left = kill_at(killed)
    for number, stage in enumerate(killed):
        with pytest.raises(Killed, match=stage):
            run('killed', resume=number > 0)
    run('killed', resume=True)
    assert not left
    expected, actual = run_contents(tmp_path / 'whole'), run_contents(tmp_path / 'killed')
    assert differences(expected, actual) == []
    for path in (tmp_path / 'whole' / 'pseudo_labels').glob('*/coverage.json'):
        assert json.loads(path.read_text())['kept_pixels'] > 0, path
