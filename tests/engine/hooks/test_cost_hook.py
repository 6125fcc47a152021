# SPDX-License-Identifier: Apache-2.0
"""What a stage cost, with a clock that the test moves."""
import json
import time
from types import SimpleNamespace

import pytest

from udatools.engine import costs
from udatools.engine.hooks import cost_hook
from udatools.engine.hooks.cost_hook import CostHook


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0, peak=7)
    clocks = {'train_seconds': lambda: clock.now, 'processor_seconds': lambda: clock.now / 2}  # half a processor
    monkeypatch.setattr(cost_hook, 'CLOCKS', clocks)
    monkeypatch.setattr(cost_hook, 'peak_memory_bytes', lambda: clock.peak)
    return clock


def seconds(folder):
    return costs.read_cost(folder).get('train_seconds')


def test_labelling_counts_and_evaluation_does_not(clock, tmp_path):
    hook, runner = CostHook(), SimpleNamespace(work_dir=str(tmp_path))
    hook.before_train(runner)
    clock.now += 5  # labels
    hook.before_train_epoch(runner)
    assert seconds(tmp_path) == 5.0
    clock.now += 3
    hook.before_val_epoch(runner)
    clock.now += 1000
    hook.after_val_epoch(runner, {})
    clock.now += 2
    clock.peak = 9
    hook.after_train(runner)
    clock.now += 1000
    hook.before_val_epoch(runner)  # the evaluation of the finished stage
    hook.after_val_epoch(runner, {})
    assert costs.read_cost(tmp_path) == {
        'train_seconds': 10.0, 'processor_seconds': 5.0, 'peak_memory_bytes': 9, 'device': costs.device_name()}


def test_a_killed_stage_adds_up_and_lost_work_counts_once(clock, tmp_path):
    runner = SimpleNamespace(work_dir=str(tmp_path))
    killed = CostHook()
    killed.before_train(runner)
    clock.now += 4
    killed.before_train_epoch(runner)
    clock.now += 6
    killed.before_save_checkpoint(runner, {})
    clock.now += 50  # lost
    clock.peak = 5
    going_on = CostHook()
    going_on.before_train(runner)
    going_on.before_train_epoch(runner)
    clock.now += 7
    going_on.after_train(runner)
    assert seconds(tmp_path) == 17.0
    assert costs.read_cost(tmp_path)['peak_memory_bytes'] == 7


def test_outside_of_training_nothing_is_written(clock, tmp_path):
    hook, runner = CostHook(), SimpleNamespace(work_dir=str(tmp_path))
    hook.before_val_epoch(runner)
    hook.after_val_epoch(runner)
    hook.before_save_checkpoint(runner, {})
    assert not list(tmp_path.iterdir())


def test_record_sums_all_stages_up_to_this_one(tmp_path):
    for folder, value, peak in (('00_source', 10.0, 50), ('01_main', 5.0, 90), ('02_later', 100.0, 900)):
        costs.write_cost(tmp_path / folder, train_seconds=value, processor_seconds=2 * value, peak_memory=peak)
    record = costs.cost_record(tmp_path, '01_main')
    assert (record['train_seconds'], record['peak_memory_bytes']) == (5.0, 90)
    assert record['total'] == {'train_seconds': 15.0, 'processor_seconds': 30.0, 'peak_memory_bytes': 90}


def test_a_stage_without_its_cost_leaves_no_total(tmp_path):
    costs.write_cost(tmp_path / '01_main', train_seconds=5.0, processor_seconds=5.0, peak_memory=1)
    (tmp_path / '00_source').mkdir()
    assert costs.cost_record(tmp_path, '01_main') == {}
    (tmp_path / '00_source' / 'cost.json').write_text('{"train_seconds": ')
    assert costs.cost_record(tmp_path, '01_main') == {}


def test_peak_of_this_process_is_in_bytes():
    assert 30 * 2**20 < costs.peak_memory_bytes() < 2**40


def test_the_clock_of_the_processors_stands_while_this_process_waits():
    before = cost_hook.read_clocks()
    time.sleep(0.2)
    spent = {name: value - before[name] for name, value in cost_hook.read_clocks().items()}
    assert spent['processor_seconds'] < 0.1 < spent['train_seconds']


def test_results_of_a_run_carry_the_cost(tmp_path, tiny_data, repo_root):
    from shrink import shrink

    from udatools.engine.runner import StagedRunner
    cfg = shrink(repo_root / 'configs/source_only/source_only_minidrive.py', data=tiny_data, work_dir=tmp_path / 'run')
    StagedRunner.from_cfg(cfg).train()
    stage, = json.loads((tmp_path / 'run' / 'results.json').read_text())['stages']
    assert stage['cost']['train_seconds'] > 0 and stage['cost']['total']['peak_memory_bytes'] > 30 * 2**20
    cfg.resume = True
    StagedRunner.from_cfg(cfg).train()
    assert json.loads((tmp_path / 'run' / 'results.json').read_text())['stages'] == [stage]
