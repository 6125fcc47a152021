# SPDX-License-Identifier: Apache-2.0
"""A validation sampler that keeps clips together, for metrics that compare a frame with the one before it."""
from __future__ import annotations

from collections.abc import Iterator

from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from udatools.datasets.domain_dataset import DomainDataset
from udatools.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ClipSampler(Sampler):
    """Gives every clip as a whole to one rank and its frames in order; no frame is repeated or left out.

    The longest clip goes first, each to the rank that has the fewest frames.

    Args:
        dataset (DomainDataset): A video data set: it has ``keys`` and ``clip_of``.
        seed (int, optional): Ignored: nothing is random. mmengine passes it.
        shuffle (bool): Only False, for configs that say so. Default: False.

    Raises:
        NotImplementedError: If the data set does not know clips.
        ValueError: If ``shuffle`` is set.
    """

    def __init__(self, dataset: DomainDataset, seed: int | None = None, shuffle: bool = False) -> None:
        if shuffle:
            raise ValueError('ClipSampler got shuffle=True; it is for evaluation, in the order of the frames')
        rank, world = get_dist_info()
        clips: dict[str, list[tuple[int, int]]] = {}
        for index, key in enumerate(dataset.keys):
            clip, frame = dataset.clip_of(key)
            clips.setdefault(clip, []).append((frame, index))
        shares: list[list[str]] = [[] for _ in range(world)]
        sizes = [0] * world
        for clip in sorted(clips, key=lambda name: (-len(clips[name]), name)):
            least = sizes.index(min(sizes))
            shares[least].append(clip)
            sizes[least] += len(clips[clip])
        self._indices = [index for clip in sorted(shares[rank]) for _, index in sorted(clips[clip])]

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __len__(self) -> int:
        """Number of frames of this rank."""
        return len(self._indices)

    def set_epoch(self, epoch: int) -> None:
        """Nothing: every epoch is the same."""
