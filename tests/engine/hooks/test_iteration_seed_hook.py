# SPDX-License-Identifier: Apache-2.0
"""The model's noise is a function of seed, stage, iteration and rank."""
import torch

from udatools.engine.hooks import IterationSeedHook, iteration_seed_hook


def noise(iteration, *, seed=0, tag='main', history=0):
    hook = IterationSeedHook(seed, tag=tag)
    torch.rand(history + 1)  # whatever was drawn before does not matter
    hook.before_train_iter(None, iteration)
    return torch.rand(5)


def test_same_after_a_resume():
    assert torch.equal(noise(7, history=3), noise(7, history=1000))


def test_differs_between_iterations_seeds_stages_and_ranks(monkeypatch):
    draws = [noise(7), noise(8), noise(7, seed=1), noise(7, tag='warmup')]
    monkeypatch.setattr(iteration_seed_hook, 'get_rank', lambda: 1)
    draws.append(noise(7))
    assert all(not torch.equal(a, b) for i, a in enumerate(draws) for b in draws[:i])
