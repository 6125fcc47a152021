# SPDX-License-Identifier: Apache-2.0
"""The console lines of a training and of an evaluation."""
import logging
from types import SimpleNamespace

import pytest
import torch

from udatools.engine.hooks import ProgressHook


@pytest.fixture
def runner():
    lines = []
    logger = logging.Logger('progress')
    logger.addHandler(type('Keep', (logging.Handler, ), {'emit': lambda self, record: lines.append(record.getMessage())})())
    return SimpleNamespace(iter=0, max_iters=25, logger=logger, lines=lines, val_dataloader=range(3), test_dataloader=range(7))


def test_training_lines_at_the_interval_and_at_the_end(runner):
    hook = ProgressHook('[1/2] main', interval=10)
    hook.before_train_epoch(runner)
    for index in range(25):
        hook.after_train_iter(runner, index, outputs={'loss': torch.tensor(9.0), 'source.loss_main': torch.tensor(0.5)})
    assert [line.split('  ')[1] for line in runner.lines] == ['10/25', '20/25', '25/25']
    assert all('source.main 0.5' in line and ' 9' not in line.split('s/it')[0] for line in runner.lines)
    assert runner.lines[-1].endswith('0:00 left')


@pytest.mark.parametrize('kind,total', [('val', 3), ('test', 7)])
def test_evaluation_lines_come_by_time(runner, kind, total, monkeypatch):
    hook = ProgressHook('x')
    clock = iter([0.0, 1.0, 16.0, 17.0])
    monkeypatch.setattr('time.perf_counter', lambda: next(clock))
    getattr(hook, f'before_{kind}_epoch')(runner)
    for index in range(3):
        getattr(hook, f'after_{kind}_iter')(runner, index)
    assert runner.lines == [f'x  evaluated 2/{total}']
