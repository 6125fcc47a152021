# SPDX-License-Identifier: Apache-2.0
"""Flow of a whole video data set, computed ahead into files.

Every pair of frames is a file of its own, written atomically, and does not depend on the others. Whatever is there and whole is
left as it is, so that the same command goes on after any interruption; the rest is shared out over ranks in blocks (neighbours in
time share images), which exchange nothing until the end.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from udatools.datasets.flow_io import flow_path, write_flow
from udatools.engine.resumable import claim_folder, share_rest, sum_over_ranks
from udatools.engine.runner.flow_plan import FlowPair
from udatools.models.flow import FlowEstimator
from udatools.utils.png import image_shape, is_whole_png, read_image
from udatools.utils.progress import Progress

SETTINGS = 'flow.json'
PRECISIONS = (64, 32, 16, 8, 4)  # steps a pixel; KITTI PNG holds 64
LEFTOVERS = (f'.{SETTINGS}.*.tmp', '[+-]*/**/.*.tmp')


class ComputedFlow(NamedTuple):
    """What was done, over all ranks.

    Attributes:
        computed (int): pairs.
        reused (int): pairs whose file was there.
        stored_bytes (int): size of the files that were written now.
    """
    computed: int
    reused: int
    stored_bytes: int


def claim_flow(out: Path, settings: Mapping[str, Any]) -> None:
    """Says in ``<out>/flow.json`` what the files come from; raises as :func:`claim_folder`."""
    claim_folder(out, settings, name=SETTINGS, content='flow that was')


def compute_flow(pairs: Sequence[FlowPair], estimator: FlowEstimator, out: str | os.PathLike[str], *, batch_size: int = 4,
                 precision: int = 16) -> ComputedFlow:
    """Writes the flow of every pair that has none yet to ``<out>/<offset:+d>/<key>.png``; collective.

    Args:
        pairs (Sequence[FlowPair]): the same on every rank.
        estimator (FlowEstimator): of the flow.
        out (str | PathLike): folder.
        batch_size (int): pairs that the estimator is given at a time, as far as they have one size.
        precision (int): steps a pixel that values are rounded to, one of ``PRECISIONS``: they are off by half a step at most.
            Fewer steps make smaller files.

    Raises:
        FileNotFoundError, ValueError: for images that are missing, damaged or of two sizes; as the estimator does.
        OSError: when a file cannot be written.
        RuntimeError: on the ranks that did not fail themselves.
    """
    if precision not in PRECISIONS or batch_size < 1:
        raise ValueError(f'got precision={precision} and batch_size={batch_size}; expected one of '
                         f'{", ".join(map(str, PRECISIONS))}, and 1 or more')
    out = Path(out)
    own, reused = share_rest(pairs, _is_stored(out), content='flow')
    load = lru_cache(maxsize=16)(load_image)
    computed = stored = 0
    pending: list[Future[int]] = []
    # Writers: a PNG takes as long as its flow.
    with Progress('flow', len(own), 'pairs') as progress, ThreadPoolExecutor(2) as writers:
        for batch in _batches(own, batch_size):
            images, references = (torch.stack([load(path) for path in paths])
                                  for paths in zip(*((pair.image, pair.reference) for pair in batch)))
            flow, known = estimator.between(images, references, [pair[:2] for pair in batch])
            rounded = ((flow.double() * precision).round() / precision).float().cpu().numpy()
            stored += sum(future.result() for future in pending)
            pending = [writers.submit(_write, flow_path(out, pair.key, pair.offset), *content)
                       for pair, content in zip(batch, zip(rounded, known.cpu().numpy()))]
            computed += len(batch)
            progress.update(computed)
        stored += sum(future.result() for future in pending)
    return ComputedFlow(*sum_over_ranks(computed, reused, stored, content='flow'))


def _write(path: Path, flow: np.ndarray, known: np.ndarray) -> int:
    write_flow(path, flow, known)
    return path.stat().st_size


def load_image(path: str) -> Tensor:
    """Reads an image: uint8, RGB, (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(read_image(path)[:, :, ::-1].transpose(2, 0, 1)))


def _is_stored(out: Path) -> Callable[[FlowPair], bool]:
    """Whether the file of a pair is whole; ValueError for two frames of different sizes."""
    shape_of = lru_cache(maxsize=64)(image_shape)

    def is_stored(pair: FlowPair) -> bool:
        shape, other = shape_of(pair.image), shape_of(pair.reference)
        if shape != other:
            raise ValueError(f'{pair.image} is {shape[1]}x{shape[0]}, but {pair.reference} {other[1]}x{other[0]} (width x '
                             'height); bring the frames of a clip to one size, or give them different clips')
        return is_whole_png(flow_path(out, pair.key, pair.offset), shape, depth=16)

    return is_stored


def _batches(pairs: Iterable[FlowPair], batch_size: int) -> Iterator[list[FlowPair]]:
    """Groups of pairs of one size."""
    for _, of_one_size in groupby(pairs, lambda pair: image_shape(pair.image)):
        while batch := list(islice(of_one_size, batch_size)):
            yield batch
