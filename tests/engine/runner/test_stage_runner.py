# SPDX-License-Identifier: Apache-2.0
"""What a stage's runner adds to mmengine's."""
from types import SimpleNamespace

import torch
from mmengine.config import Config

import udatools  # noqa: F401
from udatools.engine.runner import StagedRunner, StageRunner


def test_all_ranks_end_with_the_statistics_of_rank_0(run_ranks):

    def work(rank):
        norm = torch.nn.BatchNorm2d(2)
        norm.running_mean.fill_(float(rank + 1))
        StageRunner.synchronise_buffers(SimpleNamespace(bare_model=norm))
        return norm.running_mean.tolist()

    for value, error in run_ranks(work):
        assert error is None, error
        assert value == [1.0, 1.0]


def test_a_config_without_a_seed_is_as_repeatable_as_one_with(tmp_path):
    runner = StagedRunner(Config(dict(work_dir=str(tmp_path), model=dict(type='x'))))
    cfg = runner.stage_config(runner.stages[0])
    assert cfg.randomness.seed == 0
    assert cfg.custom_hooks[0]['seed'] == 0


def test_every_round_draws_data_of_its_own(tmp_path):
    """The first stages draw from the run's seed; each stage of a round from its own, unless the config names one."""

    def sampler_seeds(sampler, seed=3):
        rounds = dict(repeat=2, steps=[dict(name='main'), dict(name='second_phase')])
        cfg = Config(dict(work_dir=str(tmp_path), model=dict(type='x'), randomness=dict(seed=seed),
                          stages=[dict(name='warmup'), rounds], train_dataloader=dict(sampler=sampler)))
        runner = StagedRunner(cfg)
        return [runner.stage_config(stage).train_dataloader.sampler.get('seed') for stage in runner.stages]

    first, *rounds = sampler_seeds(dict(type='CounterSampler'))
    assert first is None  # mmengine passes the run's
    assert len(set(rounds)) == 4 and 3 not in rounds
    assert sampler_seeds(dict(type='CounterSampler')) == [None, *rounds]
    assert set(sampler_seeds(dict(type='CounterSampler'), seed=4)[1:]).isdisjoint(rounds)
    assert sampler_seeds(dict(type='CounterSampler', seed=7)) == [7] * 5
