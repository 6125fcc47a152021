# SPDX-License-Identifier: Apache-2.0
"""SIM's matching: the memory against lists, the losses against loops, gradients, ranks, and what is refused."""
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import udatools  # noqa: F401
from udatools.models.objectives import StuffThingMatching
from udatools.models.objectives.stuff_thing_matching import RegionMemory
from udatools.models.segmentors import DomainBatch, UDABatch
from udatools.ops.regions import label_components

CLASSES = dict(name='five', classes=['road', 'sky', 'car', 'person', 'pole'])
THINGS = (2, 3, 4)
D, CELLS, SIZE = 6, (6, 8), (24, 32)


def make(**kwargs):
    return StuffThingMatching(**{'classes': CLASSES, 'channels': D, 'weights': dict(stuff=0.5, things=2.0), 'memory_size': 4,
                                 'max_things': 5, **kwargs})


def draw(seed, count=2):
    """Blocky labels and logits that mostly agree with them."""
    generator = torch.Generator().manual_seed(seed)
    domains = {}
    for name in ('source', 'target'):
        cells = torch.randint(0, 5, (count, *CELLS), generator=generator)
        cells = torch.where(torch.rand(count, *CELLS, generator=generator) < 0.5, cells[:, :1, :1], cells)
        label = cells.repeat_interleave(4, 1).repeat_interleave(4, 2)
        logits = torch.randn(count, 5, *SIZE, generator=generator) + 2 * torch.eye(5)[label].movedim(-1, 1)
        label[:, :2] = 255
        features = torch.randn(count, D, *CELLS, generator=generator)
        domains[name] = DomainBatch(torch.zeros(count, 3, *SIZE), label if name == 'source' else None, (None, features),
                                    {'main': logits})
    return UDABatch(**domains)


def literal_regions(features, classes, max_things):
    """[(class, mean)] of one image: stuff by class, then the largest regions of things, the first in raster order first."""
    found = [(c, features[:, classes == c].mean(1)) for c in (0, 1) if (classes == c).any()]
    instances = []
    for c in THINGS:
        component = label_components(classes == c)
        for number in range(1, component.max() + 1):
            inside = component == number
            instances.append((-inside.sum(), np.flatnonzero(inside)[0], c, features[:, inside].mean(1)))
    return found + [(c, mean) for *_, c, mean in sorted(instances, key=lambda item: item[:2])[:max_things]]


def at_cells(maps):
    return maps[..., 2::4, 2::4]


def literal_losses(batches, memory_size, max_things):
    """Both terms of the last of some batches, over lists."""
    memory = {c: [] for c in range(5)}
    for batch in batches:
        for i in range(len(batch.source.inputs)):
            label = at_cells(batch.source.label[i]).numpy()
            predicted = at_cells(batch.source.logits['main'][i]).argmax(0).numpy()
            right = np.where(label == predicted, label, -1)
            for c, mean in literal_regions(batch.source.features[-1][i].detach().double().numpy(), right, max_things):
                memory[c] = [*memory[c], mean][-memory_size:]
        terms = {'stuff': [], 'things': []}
        for i in range(len(batch.target.inputs)):
            predicted = at_cells(batch.target.logits['main'][i]).argmax(0).detach().numpy()
            for c, mean in literal_regions(batch.target.features[-1][i].detach().double().numpy(), predicted, max_things):
                if memory[c]:
                    nearest = min(memory[c], key=lambda other: np.abs(other - mean).sum())
                    terms['things' if c in THINGS else 'stuff'].append(np.abs(nearest - mean).mean())
    return {name: float(np.mean(values)) if values else 0.0 for name, values in terms.items()}, memory


@pytest.mark.parametrize('max_things', [2, 40])
def test_losses_equal_loops(max_things):
    objective = make(max_things=max_things)
    batches = [draw(seed) for seed in range(4)]
    for count in range(1, 5):
        values = objective(batches[count - 1], None)
        expected, memory = literal_losses(batches[:count], 4, max_things)
        assert float(values['loss_stuff']) == pytest.approx(0.5 * expected['stuff'], rel=1e-4)
        assert float(values['loss_things']) == pytest.approx(2.0 * expected['things'], rel=1e-4)
        assert expected['stuff'] > 0 and expected['things'] > 0
    for c, stored in memory.items():
        held = objective.memory.features[c][:int(objective.memory.pushed[c].clamp(max=4))].double().numpy()
        assert sorted(map(tuple, held.round(4))) == sorted(map(tuple, np.array(stored).round(4)))


def test_gradients_reach_the_regions_of_the_target_alone():
    batch = draw(0)
    source, target = (domain.features[-1].requires_grad_() for domain in (batch.source, batch.target))
    logits = batch.target.logits['main'].requires_grad_()
    objective = make()
    sum(objective(batch, None).values()).backward()
    assert source.grad is None and logits.grad is None and not list(objective.parameters())
    assert target.grad.abs().sum() > 0
    step = target.detach() - 0.5 * target.grad.sign() * target.grad.abs().clamp(max=1)
    before = literal_losses([batch], 4, 5)[0]
    batch.target.features = (step, )
    after = literal_losses([batch], 4, 5)[0]
    assert 0.5 * after['stuff'] + 2 * after['things'] < 0.5 * before['stuff'] + 2 * before['things']


def test_nothing_to_match_is_a_zero_with_a_gradient():
    batch = draw(0)
    batch.source.label.fill_(255)  # the memory stays empty
    target = batch.target.features[-1].requires_grad_()
    values = make()(batch, None)
    assert [float(value.detach()) for value in values.values()] == [0, 0]
    sum(values.values()).backward()
    assert not target.grad.any()


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_the_memory_is_a_queue_of_each_class(data):
    size, classes = data.draw(st.integers(1, 4)), 3
    memory, lists, ages = RegionMemory(classes, size, 2), {c: [] for c in range(classes)}, itertools.count(1)
    for _ in range(data.draw(st.integers(1, 5))):
        entries = data.draw(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=12))
        features = torch.tensor([[float(next(ages)), 0.0] for _ in entries]).view(-1, 2)
        memory.push(features, torch.tensor([c for c, _ in entries], dtype=torch.int64),
                    torch.tensor([valid for _, valid in entries], dtype=torch.bool))
        for feature, (c, valid) in zip(features.tolist(), entries):
            if valid:
                lists[c].append(feature[0])
    for c, stored in lists.items():
        assert int(memory.pushed[c]) == len(stored)
        assert sorted(memory.features[c, :min(len(stored), size), 0].tolist()) == sorted(stored[-size:])
        found, known = memory.nearest(torch.tensor([[1000.0, 0.0], [0.0, 0.0]]), torch.tensor([c, c]))
        assert known.tolist() == [bool(stored)] * 2
        if stored:
            assert found[:, 0].tolist() == [max(stored[-size:]), min(stored[-size:])]


def test_no_place_is_written_twice(monkeypatch):
    """Which of two writes holds would be a matter of chance on an accelerator."""
    places, copy = [], torch.Tensor.index_copy_
    monkeypatch.setattr(torch.Tensor, 'index_copy_', lambda rows, dim, index, source: places.append(index.tolist()) or
                        copy(rows, dim, index, source))
    memory = RegionMemory(2, 3, 1)
    memory.push(torch.arange(9.0)[:, None], torch.tensor([0, 0, 1, 0, 0, 0, 1, 1, 0]), torch.arange(9) != 7)
    assert places == [[6, 6, 3, 6, 0, 1, 4, 6, 2]]  # place 6 is nowhere: the oldest three of six, and what is not valid
    assert memory.features[..., 0].tolist() == [[4, 5, 8], [2, 6, 0]] and memory.pushed.tolist() == [6, 2]


def test_the_memory_travels_with_a_checkpoint():
    first, second = make(), make()
    for seed in range(3):
        first(draw(seed), None)
    second.load_state_dict(first.state_dict())
    one, two = first(draw(7), None), second(draw(7), None)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(first.memory.features, second.memory.features) and float(one['loss_things']) > 0


def test_two_ranks_are_one_process_with_both_batches(run_ranks):
    """Rank r holds items r, r + 2 of the global batch; losses are averaged over ranks, as gradients are."""
    batches = [draw(seed, count=4) for seed in range(2)]

    def part(batch, rank):
        pick = slice(rank, None, 2)
        return UDABatch(**{
            name: DomainBatch(domain.inputs[pick], None if domain.label is None else domain.label[pick],
                              (domain.features[-1][pick], ), {'main': domain.logits['main'][pick]})
            for name, domain in (('source', batch.source), ('target', batch.target))})

    def work(rank):
        objective = make()
        for batch in batches:
            values = objective(part(batch, rank), None)
        return ({name: float(value) for name, value in values.items()}, objective.memory.features.numpy(),
                objective.memory.pushed.tolist())

    (one, error_one), (two, error_two) = run_ranks(work)
    assert error_one is None and error_two is None, (error_one, error_two)
    alone = make()
    for batch in batches:
        expected = alone(batch, None)
    for _, features, pushed in (one, two):
        np.testing.assert_allclose(features, alone.memory.features.numpy(), atol=1e-6)
        assert pushed == alone.memory.pushed.tolist()
    for name, value in expected.items():
        assert (one[0][name] + two[0][name]) / 2 == pytest.approx(float(value), rel=1e-5)


def test_classes_are_split_by_name():
    objective = make(classes='cityscapes19', channels=D)
    assert objective.stuff_ids.tolist() == [0, 1, 2, 3, 4, 8, 9, 10]
    assert objective.thing_ids.tolist() == [5, 6, 7, *range(11, 19)]
    assert 'thing_ids' not in objective.state_dict()


def test_what_is_refused():
    for wrong in (dict(memory_size=0), dict(max_things=0), dict(min_cells=0)):
        with pytest.raises(ValueError, match='expected 1 or more each'):
            make(**wrong)
    with pytest.raises(ValueError, match='weights has the keys'):
        make(weights=dict(stuff=1.0))
    with pytest.raises(ValueError, match='the last features have 6 channels, StuffThingMatching channels=7'):
        make(channels=7)(draw(0), None)
    batch = draw(0)
    batch.source.label = None
    with pytest.raises(ValueError, match='no labels on the source'):
        make()(batch, None)
