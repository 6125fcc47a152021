# SPDX-License-Identifier: Apache-2.0
"""Randomness that is a function of its arguments and leaves no trace."""
import hashlib
import random

import numpy as np
import pytest
import torch

from udatools.utils.rng import derive_seed, make_generator, scoped_rng


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_derive_seed_separates_arguments():
    lists = [(1, ), ('1', ), (1, 1), (11, ), ('1', 1), ('a', 'b'), ('ab', ), ('b', 'a'), ('a', 'b', ''), (0, ), (-1, )]
    seeds = [derive_seed(*parts) for parts in lists]
    assert len(set(seeds)) == len(lists)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(np.int64(3), 'x') == derive_seed(3, 'x')


def test_derive_seed_is_the_same_everywhere():
    digest = hashlib.sha256(b'2:i06:sorder7:ssource2:i0').digest()
    assert derive_seed(0, 'order', 'source', 0) == int.from_bytes(digest[:8], 'little') // 2


def test_scope_gives_the_same_numbers_and_restores_state():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw(), draw()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    got = [draw()]
    with scoped_rng(5, 'x'):
        first = draw()
    got.append(draw())
    with scoped_rng(5, 'x'):
        second = draw()
    with scoped_rng(5, 'y'):
        third = draw()
    assert got == expected
    assert first == second and all(a != b for a, b in zip(first, third))


def test_scope_restores_after_an_error():
    random.seed(2), np.random.seed(2), torch.manual_seed(2)
    expected = draw()
    random.seed(2), np.random.seed(2), torch.manual_seed(2)
    with pytest.raises(RuntimeError):
        with scoped_rng(0):
            draw()
            raise RuntimeError
    assert draw() == expected


def test_make_generator():
    assert make_generator(1, 'a').integers(10**9) == make_generator(1, 'a').integers(10**9)
    assert make_generator(1, 'a').integers(10**9) != make_generator(1, 'b').integers(10**9)
