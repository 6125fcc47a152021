# SPDX-License-Identifier: Apache-2.0
"""Pairs as a pure function of (seed, counter)."""
import pickle
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from udatools.datasets import CityscapesDomain, CounterSampler, GTA5Domain, UDADataset
from udatools.datasets.uda_dataset import domain_permutation

PIPELINE = [
    dict(type='LoadDomainImage'),
    dict(type='LoadDomainLabel'),
    dict(type='RandomCrop', crop_size=(16, 16)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs', meta_keys=('img_path', 'key', 'flip')),
]


class Numbers:
    """A domain of plain numbers, to look at pairing alone; ``noise`` is its augmentation."""
    labelled = False

    def __init__(self, n, labelled=False):
        self.n, self.labelled = n, labelled
        self.metainfo = dict(classes=['a', 'b'])

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        noise = (random.random(), float(np.random.rand()), float(torch.rand(1)))
        return dict(inputs=torch.tensor(i), data_samples=dict(index=i, noise=noise))


def pairs(n_source, n_target, seed=0):
    data = UDADataset(Numbers(n_source, labelled=True), Numbers(n_target), seed=seed)
    return data, lambda counter: {name: sample['index'] for name, sample in data[counter]['data_samples'].items()}


@pytest.fixture
def real(trees):
    return UDADataset(
        source=dict(type='GTA5Domain', data_root=str(trees.gta5(5)), pipeline=PIPELINE),
        target=dict(type='CityscapesDomain', data_root=str(trees.cityscapes(4)), labelled=False, pipeline=PIPELINE))


def summary(item):
    return {
        name: (item['data_samples'][name].key, item['data_samples'][name].flip, item['inputs'][name].numpy().tobytes(),
               item['data_samples'][name].gt_sem_seg.data.numpy().tobytes())
        for name in item['inputs']
    }


def test_structure(real):
    item = real[0]
    assert set(item) == {'inputs', 'data_samples'} and set(item['inputs']) == {'source', 'target'}
    assert item['inputs']['source'].shape == (3, 16, 16) and item['inputs']['source'].dtype == torch.uint8
    assert (item['data_samples']['target'].gt_sem_seg.data == 255).all()
    assert (item['data_samples']['source'].gt_sem_seg.data != 255).any()
    assert len(real) == 5 and len(real.metainfo['classes']) == 19


def test_item_does_not_depend_on_order_or_global_state(real):
    forward = [summary(real[c]) for c in range(12)]
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    order = np.random.default_rng(0).permutation(12)
    shuffled = {c: summary(real[int(c)]) for c in order}
    assert forward == [shuffled[c] for c in range(12)]
    # The same picture looks different the next time, and so does everything under another seed.
    keys = [f['source'][0] for f in forward]
    again = keys.index(keys[0], 1)
    assert forward[again]['source'][2] != forward[0]['source'][2]
    real.set_seed(1)
    assert [summary(real[c]) for c in range(12)] != forward


def test_global_state_is_left_alone(real):
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), float(torch.rand(1))
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    real[4]
    assert (random.random(), np.random.rand(), float(torch.rand(1))) == expected


@pytest.mark.parametrize('workers', [1, 2])
def test_workers_change_nothing(real, workers):

    def batches(num_workers):
        loader = DataLoader(
            real, batch_size=3, sampler=CounterSampler(real, seed=5), num_workers=num_workers,
            collate_fn=pseudo_collate)
        iterator = iter(loader)
        out = [next(iterator) for _ in range(4)]
        del iterator
        return [[tensor.numpy().tobytes() for name in ('source', 'target') for tensor in batch['inputs'][name]]
                for batch in out]

    assert batches(workers) == batches(0)


def test_pickle_keeps_the_seed(real):
    real.set_seed(17)
    assert summary(pickle.loads(pickle.dumps(real))[7]) == summary(real[7])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.integers(0, 5))
def test_every_epoch_of_a_domain_visits_each_item_once(n_source, n_target, seed, epoch):
    data, at = pairs(n_source, n_target, seed)
    for name, n in (('source', n_source), ('target', n_target)):
        seen = [at(c)[name] for c in range(epoch * n, (epoch + 1) * n)]
        assert sorted(seen) == list(range(n))
    assert len(data) == max(n_source, n_target)


def test_epochs_and_domains_have_orders_of_their_own():
    n = 50
    _, at = pairs(n, n)
    epochs = [[at(c) for c in range(e * n, (e + 1) * n)] for e in range(3)]
    orders = [tuple(p[name] for p in epoch) for epoch in epochs for name in ('source', 'target')]
    assert len(set(orders)) == 6
    # Equal sizes: the source picture s does not meet the same target picture every epoch.
    partner = [{p['source']: p['target'] for p in epoch} for epoch in epochs]
    for a, b in ((0, 1), (1, 2), (0, 2)):
        same = sum(partner[a][s] == partner[b][s] for s in range(n))
        assert same < 8  # 1 expected by chance


def test_augmentation_of_the_domains_is_independent():
    data, _ = pairs(4, 4)
    noise = [data[c]['data_samples'][name]['noise'] for c in range(6) for name in ('source', 'target')]
    for generator in zip(*noise):
        assert len(set(generator)) == 12


def test_reaching_a_far_counter_is_cheap():
    _, at = pairs(7, 3)
    far = 10**15
    assert at(far) == at(far)
    domain_permutation.cache_clear()
    at(far)
    assert domain_permutation.cache_info().misses == 2  # one permutation a domain, none of those before


def test_one_domain_only():
    only_target = UDADataset(target=Numbers(3))
    assert set(only_target[5]['inputs']) == {'target'} and len(only_target) == 3
    assert set(UDADataset(source=Numbers(3, labelled=True))[0]['data_samples']) == {'source'}
    with pytest.raises(ValueError, match='neither source nor target'):
        UDADataset()
    with pytest.raises(IndexError, match='-1'):
        only_target[-1]


def test_class_mismatch_says_what_to_choose(trees):
    gta5, cityscapes = trees.gta5(), trees.cityscapes()
    with pytest.raises(ValueError) as caught:
        UDADataset(GTA5Domain(gta5), CityscapesDomain(cityscapes, labelled=False, classes='synthia16'))
    assert str(caught.value) == ('source has 19 classes, target 16: missing terrain, truck, train; '
                                 "choose classes='synthia16'")
    with pytest.raises(ValueError, match="source lacks wall, fence, pole; choose classes='synthia13'"):
        UDADataset(
            GTA5Domain(gta5, classes='synthia13'), CityscapesDomain(cityscapes, labelled=False, classes='synthia16'))
    other = Numbers(3)
    other.metainfo = dict(classes=['b', 'a'])
    with pytest.raises(ValueError, match='another order'):
        UDADataset(Numbers(3, labelled=True), other)


def test_labels_on_the_wrong_side(trees, tmp_path):
    gta5, cityscapes = trees.gta5(), trees.cityscapes()
    with pytest.raises(ValueError, match='target domain has labelled=True'):
        UDADataset(GTA5Domain(gta5), CityscapesDomain(cityscapes))
    with pytest.raises(ValueError, match='source domain has no labels'):
        UDADataset(GTA5Domain(gta5, labelled=False))
    assert len(UDADataset(GTA5Domain(gta5, labelled=False, label_dir=tmp_path))) == 5
    with pytest.raises(ValueError, match='target domain has no images'):
        UDADataset(target=Numbers(0))
