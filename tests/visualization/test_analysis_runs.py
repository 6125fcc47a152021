# SPDX-License-Identifier: Apache-2.0
"""What the analysis page reads: curves that a run wrote, or its logs, stages, seeds, running runs."""
import json
import logging
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from shrink import REPO, shrink
from toy_run import ITERATIONS, SCORES, STAGES, line, toy_run

from udatools.engine.hooks.progress_hook import ProgressHook
from udatools.engine.runner import StagedRunner
from udatools.visualization.analysis.history import read_history
from udatools.visualization.analysis.runs import load_methods, mean_curve


def start(folder, name, log):
    """The log of one start of a stage."""
    (folder / name).mkdir()
    (folder / name / f'{name}.log').write_text(log)


def test_lines_that_the_progress_hook_writes(tmp_path):
    written = []
    formatter = logging.Formatter('%(asctime)s - %(name)s - %(levelname)s - %(message)s', '%Y/%m/%d %H:%M:%S')

    def info(message):
        written.append(formatter.format(logging.LogRecord('mmengine', logging.INFO, '', 0, message, (), None)) + '\n')

    runner = SimpleNamespace(iter=0, max_iters=75, logger=SimpleNamespace(info=info))
    hook = ProgressHook('[2/3] round1_main', interval=50)
    hook.before_train_epoch(runner)
    for iteration in range(75):
        losses = {'loss': torch.tensor(9.0), 'source.loss_main': torch.tensor(1 / (iteration + 1)),
                  'adversarial.accuracy': torch.tensor(-1.5e-7)}
        hook.after_train_iter(runner, iteration, outputs=losses)
    start(tmp_path, '20260101_100000', ''.join(written))
    found = read_history(tmp_path)
    assert found.curves == {'source.main': [(50, 0.02), (75, 0.01333)], 'adversarial.accuracy': [(50, -1.5e-7), (75, -1.5e-7)]}
    assert (found.done, found.planned) == (75, 75)


def test_a_resumed_stage_goes_on_where_the_later_start_began(tmp_path):
    start(tmp_path, '20260101_100000', line('main', 50, 'a.main 1') + line('main', 100, 'a.main 2') + 'half a li')
    start(tmp_path, '20260102_100000', 'noise\n' + line('main', 100, 'a.main 3') + line('main', 150, 'a.main nan  b.main 7', 200))
    found = read_history(tmp_path)
    assert found.curves == {'a.main': [(50, 1.0), (100, 3.0)], 'b.main': [(150, 7.0)]} and found.planned == 200
    assert read_history(tmp_path / 'nothing').curves == {}


def test_curves_come_before_the_log_which_alone_knows_the_length(tmp_path):
    rows = [{'train/segmentor.lr': 0.1, 'train/segmentor.base_lr': 0.1, 'train/loss': 3.0, 'train/source.loss_main': 2.515625,
             'train/prior.accuracy': 0.5, 'train/time': 0.1, 'iter': 10, 'step': 10},
            {'val/mIoU': 20.5, 'val/aAcc': 50.0, 'val/IoU/St. road': 1.0, 'iter': 20, 'step': 20},
            {'train/source.loss_main': math.nan, 'step': 30}, {'no': 'step'}, [1]]
    start(tmp_path, '20260101_100000', line('main', 50, 'source.main 1'))
    (tmp_path / 'vis_data').mkdir()
    (tmp_path / 'vis_data' / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)) + '\n{"step": 9')
    found = read_history(tmp_path)
    assert found.curves == {'source.main': [(10, 2.515625)], 'prior.accuracy': [(10, 0.5)], 'mIoU': [(20, 20.5)]}
    assert (found.done, found.planned) == (20, 100)


@pytest.mark.slow
def test_what_a_run_really_writes(tiny_data, tmp_path):
    cfg = shrink(REPO / 'configs/adaptsegnet/adaptsegnet_minidrive.py', data=tiny_data, work_dir=tmp_path, iterations=4, items=2)
    cfg.checkpoint_interval, cfg.progress, cfg.report, cfg.select = 2, dict(interval=2), False, 'target_miou'
    results = StagedRunner(cfg).train()
    folder, = (tmp_path / 'stages').iterdir()
    found = read_history(folder)
    assert (found.done, found.planned) == (4, 4)
    values = {Path(entry['checkpoint']).name: entry['value'] for entry in results['stages'][-1]['selection']['candidates']}
    assert found.curves.pop('mIoU') == [(step, pytest.approx(values[f'iter_{step}.pth'])) for step in (2, 4)]
    log = next(folder.glob('*/*.log')).read_text()
    names = re.findall(r'(\S+\.\S+) [-\d.e]+  ', re.search(r' 4/4  (.*)', log)[1])
    assert set(found.curves) == set(names) and {'source.main', 'adversarial.adv_main', 'adversarial.dis_main'} <= set(names)
    written = [json.loads(row) for row in (folder / 'vis_data' / 'scalars.json').read_text().splitlines()]
    losses = [(row['step'], row['train/source.loss_main']) for row in written if 'train/loss' in row]
    assert found.curves['source.main'] == losses and [step for step, _ in losses] == [2, 4]
    trace, = load_methods([tmp_path])[0].runs
    assert [step for step, _ in trace.scores()] == [2, 4]


def test_seeds_are_one_method_and_curves_run_over_the_stages(tmp_path, tiny_data):
    runs = [toy_run(tmp_path / 'b', tiny_data, weights=False, seed=1, shift=2.0),
            toy_run(tmp_path / 'a', tiny_data, weights=False)]
    other = toy_run(tmp_path / 'c', tiny_data, weights=False, name='iast_toy', shift=-5.0)
    cbst, iast = load_methods([*runs, other])
    assert (cbst.label, iast.label) == ('cbst', 'iast')  # without the ending that both share
    assert [trace.run.seed for trace in cbst.runs] == [0, 1]
    assert cbst.final_scores() == [40.0, 42.0] and cbst.miou == 41.0
    assert cbst.class_iou()['road'] == 41.0 - 9 and cbst.class_iou('source')['bicycle'] == 31.0 + 18 - 9
    ends = [ITERATIONS * (i + 1) for i in range(len(STAGES))]
    assert iast.runs[0].scores() == [(end, SCORES[stage] - 5) for end, stage in zip(ends, STAGES)]
    # source.main is seed + 1 / (stage + iteration / 50); here both seeds together.
    (part, ) = cbst.curve('source.main')
    assert [point[0] for point in part] == [50, 100, 150, 200, 250, 300]
    assert part[0] == (50, 1.5, 1.0, 2.0) and part[-1] == pytest.approx((300, 0.75, 0.25, 1.25))
    assert cbst.curve('target.main') == []


def test_stages_without_a_value_part_its_curve(tmp_path, tiny_data):
    run = toy_run(tmp_path / 'run', tiny_data, weights=False)
    curves = run / 'stages' / '01_round1_main' / 'vis_data' / 'scalars.json'
    curves.write_text(curves.read_text().replace('source.loss_main', 'target.loss_main'))
    (method, ) = load_methods([run])
    assert [[point[0] for point in part] for part in method.curve('source.main')] == [[50, 100], [250, 300]]
    assert [[point[0] for point in part] for part in method.curve('target.main')] == [[150, 200]]


def test_a_run_that_still_trains(tmp_path, tiny_data):
    half = toy_run(tmp_path / 'half', tiny_data, weights=False, done=1)
    young = toy_run(tmp_path / 'young', tiny_data, weights=False, name='young_toy', done=0)
    first, second = load_methods([half, young])
    assert [(s.status, s.start, s.iterations, s.planned) for s in first.runs[0].stages] == [
        ('done', 0, 100, 100), ('running', 100, 50, 100), ('pending', 200, 0, 0)]
    assert first.runs[0].scores() == [(100, 30.0)]
    assert second.final_scores() == [] and math.isnan(second.miou) and second.runs[0].stages[0].iterations == 50


def test_runs_of_one_name_and_seed_are_told_apart_by_their_folders(tmp_path, tiny_data):
    runs = [toy_run(tmp_path / part / 'seed_0', tiny_data, weights=False) for part in ('plain', 'longer')]
    assert [method.label for method in load_methods(runs)] == ['cbst_toy, plain/seed_0', 'cbst_toy, longer/seed_0']
    assert len(load_methods([runs[0], runs[0]])) == 1


def test_refusals(tmp_path, tiny_data):
    run = toy_run(tmp_path / 'run', tiny_data, weights=False)
    with pytest.raises(FileNotFoundError, match='has neither results.json nor journal.json'):
        load_methods([run, tmp_path])
    with pytest.raises(ValueError, match='no work directory'):
        load_methods([])
    other = toy_run(tmp_path / 'other', tiny_data, weights=False, name='x')
    content = (other / 'results.json').read_text()
    (other / 'results.json').write_text(re.sub('"cityscapes19"', '"synthia13"', content, count=1))
    with pytest.raises(ValueError, match='different protocols: cityscapes19, synthia13'):
        load_methods([run, other])


def test_mean_curve_is_over_the_seeds_that_got_there():
    assert mean_curve([[(1, 2.0), (2, 4.0)], [], [(2, 6.0)]]) == [(1, 2.0, 2.0, 2.0), (2, 5.0, 4.0, 6.0)]
    assert mean_curve([[], []]) == []
