# SPDX-License-Identifier: Apache-2.0
"""The sampler of :class:`UDADataset`: it counts.

All randomness lies in the dataset, as a function of the counter, so the sampler has no state worth saving: resuming is
starting later. mmengine's training loop calls ``skip`` on resume where it knows it; elsewhere ``start`` does the same.
"""
from __future__ import annotations

import itertools
from collections.abc import Iterator, Sized

from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from udatools.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class CounterSampler(Sampler):
    """Yields ``start + rank, start + rank + world, start + rank + 2 * world, ...`` for ever.

    With ``world`` ranks of batch ``b``, iteration ``i`` covers the ``b * world`` counters from ``i * b * world`` on,
    exactly as one process of batch ``b * world`` does.

    Args:
        dataset (UDADataset): Any dataset whose items are functions of (seed, counter), with ``set_seed``.
        seed (int, optional): Passed to ``dataset.set_seed``; None draws one that all ranks share.
        start (int): First global counter, a multiple of the global batch size. Default: 0.
        shuffle (bool, optional): Ignored, for configs that pass it; order is the dataset's business.

    Raises:
        TypeError: If the dataset has no ``set_seed``.
        ValueError: If ``start`` is negative.
    """

    def __init__(self, dataset: Sized, seed: int | None = None, start: int = 0, shuffle: bool | None = None) -> None:
        set_seed = getattr(dataset, 'set_seed', None)
        if set_seed is None:
            raise TypeError(f'CounterSampler got a {type(dataset).__name__}, which has no set_seed; wrap it as '
                            "dict(type='UDADataset', source=...), or use InfiniteSampler")
        if start < 0:
            raise ValueError(f'CounterSampler got start={start}; expected 0 or more')
        self.dataset = dataset
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else int(seed)
        self.start = start
        self._skipped = 0
        set_seed(self.seed)

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.start + self.rank + self.world_size * self._skipped, self.world_size)

    def __len__(self) -> int:
        """Length of the dataset: a unit of progress, the stream is endless."""
        return len(self.dataset)

    def skip(self, num_samples: int) -> None:
        """Continues as if ``num_samples`` counters of this rank had been consumed; O(1).

        Args:
            num_samples (int): Absolute count from the beginning of the stream, of this rank, >= 0.
        """
        if num_samples < 0:
            raise ValueError(f'CounterSampler.skip got {num_samples}; expected 0 or more')
        self._skipped = num_samples

    def set_epoch(self, epoch: int) -> None:
        """Nothing: epochs follow from the counter."""
