# SPDX-License-Identifier: Apache-2.0
"""Counting: ranks interleave, resuming starts later."""
from itertools import islice

import pytest
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader, Dataset

from udatools.datasets import CounterSampler, samplers
from udatools.registry import DATA_SAMPLERS


class Counters(Dataset):
    seed = None

    def set_seed(self, seed):
        self.seed = seed

    def __len__(self):
        return 6

    def __getitem__(self, counter):
        return self.seed, counter


@pytest.fixture
def world(monkeypatch):

    def pretend(rank, size):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, size))

    return pretend


def take(sampler, n):
    return list(islice(iter(sampler), n))


def test_counts_from_start():
    data = Counters()
    assert take(CounterSampler(data, seed=3), 4) == [0, 1, 2, 3] and data.seed == 3
    assert take(CounterSampler(data, seed=3, start=10**12), 2) == [10**12, 10**12 + 1]
    assert len(CounterSampler(data, seed=0, shuffle=True)) == 6


@pytest.mark.parametrize('size, batch', [(2, 4), (3, 2)])
def test_ranks_together_are_one_process(world, size, batch):
    whole = take(CounterSampler(Counters(), seed=0), 5 * size * batch)
    parts = []
    for rank in range(size):
        world(rank, size)
        parts.append(take(CounterSampler(Counters(), seed=0), 5 * batch))
    for i in range(5):
        union = sorted(c for part in parts for c in part[i * batch:(i + 1) * batch])
        assert union == whole[i * size * batch:(i + 1) * size * batch]


@pytest.mark.parametrize('size', [1, 2])
def test_skip_equals_consuming(world, size):
    world(size - 1, size)
    sampler = CounterSampler(Counters(), seed=0, start=100)
    expected = take(sampler, 50)[20:]
    sampler.skip(20)
    assert take(sampler, 30) == expected
    sampler.skip(10**15)  # constant time
    assert take(sampler, 1) == [100 + (size - 1) + size * 10**15]
    with pytest.raises(ValueError):
        sampler.skip(-1)


@pytest.mark.skipif(not hasattr(_InfiniteDataloaderIterator, 'skip_iter'), reason='this mmengine does not call skip')
def test_the_training_loop_skips_without_loading():
    data = Counters()
    iterator = _InfiniteDataloaderIterator(
        DataLoader(data, batch_size=4, sampler=CounterSampler(data, seed=1), collate_fn=list))
    iterator.skip_iter(7)
    assert next(iterator) == [(1, 28), (1, 29), (1, 30), (1, 31)]
    assert IterBasedTrainLoop  # the loop that calls it


def test_built_by_mmengine():
    loader = Runner.build_dataloader(
        dict(dataset=Counters(), sampler=dict(type='CounterSampler', start=8), batch_size=2, num_workers=0,
             collate_fn=dict(type='pseudo_collate')), seed=11)
    assert [list(column) for column in next(iter(loader))] == [[11, 11], [8, 9]]
    assert isinstance(DATA_SAMPLERS.build(dict(type='CounterSampler', dataset=Counters(), seed=0)), CounterSampler)


def test_seed_none_draws_one():
    data = Counters()
    sampler = CounterSampler(data)
    assert isinstance(sampler.seed, int) and data.seed == sampler.seed


def test_wrong_arguments():
    with pytest.raises(TypeError, match='list, which has no set_seed.*UDADataset'):
        CounterSampler([1, 2])
    with pytest.raises(ValueError, match='start=-1'):
        CounterSampler(Counters(), seed=0, start=-1)
