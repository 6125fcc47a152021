# SPDX-License-Identifier: Apache-2.0
"""Which points of curves are written at which iterations, and which are taken back."""
import json
import math
from types import SimpleNamespace

import pytest
from mmengine.visualization import Visualizer

from udatools.engine.hooks import CurveHook
from udatools.engine.hooks.curve_hook import forget_after


@pytest.fixture
def runner():
    written = []
    return SimpleNamespace(
        iter=0, max_iters=7, loaded_iter=None, written=written,
        log_processor=SimpleNamespace(get_log_after_iter=lambda runner, index, mode: (
            {'train/loss': 10.0 - index, 'train/grad': math.nan, 'note': 'text', 'iter': index + 1}, 'a line')),
        visualizer=SimpleNamespace(add_scalars=lambda scalars, step: written.append((step, scalars))))


def test_points_of_training_at_the_interval_and_at_the_end(runner):
    hook = CurveHook(interval=3)
    hook.before_train(runner)  # from the start: nothing to take back
    for index in range(7):
        hook.after_train_iter(runner, index)
    assert runner.written == [(3, {'train/loss': 8.0, 'iter': 3}), (6, {'train/loss': 5.0, 'iter': 6}),
                              (7, {'train/loss': 4.0, 'iter': 7})]


def test_metrics_belong_to_the_weights(runner):
    hook = CurveHook()
    runner.iter = 7
    hook.after_val_epoch(runner, {'mIoU': 31.5, 'IoU/sky': math.nan})
    runner.loaded_iter = 4  # as a selection among checkpoints loads them
    hook.after_val_epoch(runner, {'mIoU': 28})
    hook.after_val_epoch(runner, None)
    assert runner.written == [(7, {'val/mIoU': 31.5, 'iter': 7}), (4, {'val/mIoU': 28, 'iter': 4}), (4, {'iter': 4})]


def visualizer(folder, kinds):
    backends = [dict(type=f'{kind}VisBackend') for kind in kinds]
    return Visualizer(name=f'{folder}{kinds}', save_dir=str(folder), vis_backends=backends)


def test_later_points_are_taken_out_of_the_file(tmp_path, runner):
    made = visualizer(tmp_path, ['Local'])
    for step in range(1, 6):
        made.add_scalars({'train/loss': float(step)}, step=step)
    file = tmp_path / 'vis_data' / 'scalars.json'
    with file.open('a') as stream:
        stream.write('{"train/loss": 6.0, "st')  # killed here
    runner.visualizer, runner.iter = made, 3
    CurveHook().before_train(runner)
    made.add_scalars({'train/loss': 4.5}, step=4)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line['step'], line['train/loss']) for line in lines] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.5)]


def test_without_a_file_nothing_is_taken_back(tmp_path):
    forget_after(visualizer(tmp_path, ['Local']), 3)
    assert not (tmp_path / 'vis_data' / 'scalars.json').exists()


def test_tensorboard_drops_later_points(tmp_path):
    pytest.importorskip('tensorboard', reason='install requirements/optional.txt')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    for process, steps in enumerate(([1, 2, 3, 4, 5], [4, 5, 6])):
        made = visualizer(tmp_path / str(process), ['Tensorboard'])
        made._vis_backends['TensorboardVisBackend']._save_dir = str(tmp_path / 'vis_data')  # of one stage
        if process:
            forget_after(made, 3)
        for step in steps:
            made.add_scalars({'train/loss': step + 0.5 * process}, step=step)
        made.close()
    events = EventAccumulator(str(tmp_path / 'vis_data')).Reload().Scalars('train/loss')
    assert [(event.step, event.value) for event in events] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.5), (5, 5.5), (6, 6.5)]
