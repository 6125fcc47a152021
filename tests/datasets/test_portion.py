# SPDX-License-Identifier: Apache-2.0
"""A random share of a data set: of the right size, another one each round, the same in every process."""
import pytest

from udatools.datasets import GTA5Domain


@pytest.fixture
def root(trees):
    return trees.gta5(40)


def keys(root, **arguments):
    return GTA5Domain(root, **arguments).keys


def test_size_and_order(root):
    everything = keys(root)
    assert [len(keys(root, portion=p)) for p in (1.0, 0.5, 0.03, 0.001)] == [40, 20, 1, 1]
    part = keys(root, portion=0.5)
    assert part == sorted(part) and set(part) < set(everything) and part != everything[:20]
    assert keys(root, portion=1.0) == everything == keys(root, portion=None)


def test_a_subset_is_a_function_of_seed_and_round(root):
    first = keys(root, portion=0.5)
    assert keys(root, portion=0.5) == first == keys(root, portion=0.5, portion_seed=0, portion_round=1)
    others = [keys(root, portion=0.5, portion_round=2), keys(root, portion=0.5, portion_seed=1)]
    assert first not in others and others[0] != others[1]


@pytest.mark.parametrize('number, count', [(1, 4), ('2', 8), (3, 12), (9, 12)])
def test_one_share_a_round(root, number, count):
    assert len(keys(root, portion=[0.1, 0.2, 0.3], portion_round=number)) == count


def test_of_the_first_max_items(root):
    part = keys(root, max_items=10, portion=0.5)
    assert len(part) == 5 and set(part) <= set(keys(root)[:10])


def test_labels_outside_the_subset_are_not_looked_for(root):
    part = keys(root, portion=0.5)
    for path in (root / 'labels').iterdir():
        if path.stem not in part:
            path.unlink()
    data = GTA5Domain(root, portion=0.5)
    assert data.fingerprint() != GTA5Domain(root, portion=0.5, portion_round=2, labelled=False).fingerprint()


@pytest.mark.parametrize('arguments', [dict(portion=0), dict(portion=1.5), dict(portion=[]), dict(portion=[0.5, 0]),
                                       dict(portion=0.5, portion_round=0)])
def test_refuses(root, arguments):
    with pytest.raises(ValueError, match='portion'):
        GTA5Domain(root, **arguments)
