# SPDX-License-Identifier: Apache-2.0
"""Random numbers that are a pure function of ``(seed, tags...)``.

Permutations and augmentation draw from generators derived here by name, never from the state that a previous item
left behind; so an item is the same whatever the number of workers, the world size or the iteration that training was
resumed at.
"""
from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """Mixes integers and strings into one 63-bit seed.

    Args:
        *parts (int | str): Seed, tags and counters; the order matters, ``1`` and ``'1'`` differ.

    Returns:
        int: 0 <= seed < 2**63, from SHA-256, so related inputs give unrelated seeds on every platform.
    """
    digest = hashlib.sha256()
    for part in parts:
        text = f's{part}' if isinstance(part, str) else f'i{int(part)}'
        digest.update(f'{len(text)}:{text}'.encode())  # with its length, so that no two lists read the same
    return int.from_bytes(digest.digest()[:8], 'little') >> 1


def make_generator(*parts: int | str) -> np.random.Generator:
    """Returns a numpy generator seeded by :func:`derive_seed`."""
    return np.random.default_rng(derive_seed(*parts))


@contextmanager
def scoped_rng(*parts: int | str) -> Iterator[None]:
    """Seeds the *global* generators inside the context and restores them afterwards.

    The transforms of mmcv and mmseg draw from the global ``random`` and ``numpy.random`` and take no generator as an
    argument. To keep them usable as they are and still make an item a pure function of ``(seed, counter)``, the global
    state is borrowed for the length of one pipeline; torch's CPU generator too, for transforms that use it. This is
    the only place of udatools' data path that touches global generators, and nobody outside can tell that it did.

    Args:
        *parts (int | str): As :func:`derive_seed`.
    """
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seed = derive_seed(*parts)
    try:
        random.seed(seed)
        np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
        torch.random.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
