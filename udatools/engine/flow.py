# SPDX-License-Identifier: Apache-2.0
"""Flow of a whole video data set, computed ahead into files.

Every pair of frames is a file of its own, written atomically, and does not depend on the others: pairs are shared out over
ranks in blocks (neighbours in time share images), nothing is exchanged until the end, and whatever is there and whole is
left as it is, so that the same command goes on after any interruption.
"""
from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from PIL import Image
from torch import Tensor

from udatools.datasets.flow_io import flow_path, write_flow
from udatools.engine.resumable import claim_folder
from udatools.engine.runner.distributed import on_main
from udatools.engine.runner.flow_plan import FlowPair
from udatools.engine.runner.journal import WorkDirLock
from udatools.models.flow import FlowEstimator
from udatools.utils.png import read_image
from udatools.utils.progress import Progress

SETTINGS = 'flow.json'
PRECISIONS = (64, 32, 16, 8, 4)  # steps a pixel; KITTI PNG holds 64
BLOCK = 32  # pairs that a rank takes at a time
_IHDR = struct.Struct('>8sI4sIIBB')  # magic, length and name of the chunk, width, height, bit depth, colour type
_IEND = b'IEND\xaeB`\x82'


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


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Keeps other runs out of a folder of flow, and clears what a killed one left half-written; collective.

    Raises:
        WorkDirInUseError: on every rank, when another run writes there.
    """
    lock: WorkDirLock | None = None

    def enter() -> None:
        nonlocal lock
        lock = WorkDirLock(out).__enter__()
        of_frames = (path for folder in out.glob('[+-]*') for path in folder.rglob('.*.tmp'))
        for leftover in (*out.glob(f'.{SETTINGS}.*.tmp'), *of_frames):
            leftover.unlink()

    try:
        on_main(enter)
        yield
    finally:
        if lock is not None:
            lock.__exit__()


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
    own = share(pairs)
    load = lru_cache(maxsize=16)(load_image)
    reused = computed = stored = 0
    pending: list[Future[int]] = []
    # Writers: a PNG takes as long as its flow.
    with Progress('flow', len(own), 'pairs') as progress, ThreadPoolExecutor(2) as writers:
        for batch in _batches(own, out, batch_size):
            reused += len(batch.reused)
            if batch.pairs:
                images, references = (torch.stack([load(path) for path in paths])
                                      for paths in zip(*((pair.image, pair.reference) for pair in batch.pairs)))
                flow, known = estimator.between(images, references, [pair[:2] for pair in batch.pairs])
                rounded = ((flow.double() * precision).round() / precision).float().cpu().numpy()
                stored += sum(future.result() for future in pending)
                pending = [writers.submit(_write, flow_path(out, pair.key, pair.offset), *content)
                           for pair, content in zip(batch.pairs, zip(rounded, known.cpu().numpy()))]
                computed += len(batch.pairs)
            progress.update(reused + computed)
        stored += sum(future.result() for future in pending)
    return ComputedFlow(*_sum_over_ranks(computed, reused, stored))


def _sum_over_ranks(*counts: int) -> list[int]:
    """Sums over all ranks; a rank that failed does not keep the others waiting, its end is their error."""
    try:
        gathered = all_gather_object(counts)
    except RuntimeError as error:
        raise RuntimeError('another rank ended before its share of the flow was done, and says why itself; the flow of this rank '
                           'is written, and the same command goes on') from error
    return np.sum(gathered, axis=0).tolist()


def _write(path: Path, flow: np.ndarray, known: np.ndarray) -> int:
    write_flow(path, flow, known)
    return path.stat().st_size


def load_image(path: str) -> Tensor:
    """Reads an image: uint8, RGB, (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(read_image(path)[:, :, ::-1].transpose(2, 0, 1)))


def share(pairs: Sequence[FlowPair]) -> list[FlowPair]:
    """The pairs of this rank: blocks in turn."""
    rank, world = get_rank(), get_world_size()
    return [pair for i, pair in enumerate(pairs) if i // BLOCK % world == rank]


class _Batch(NamedTuple):
    """Pairs to compute, and those found finished on the way."""
    pairs: list[FlowPair]
    reused: list[FlowPair]


def _batches(pairs: Sequence[FlowPair], out: Path, batch_size: int) -> Iterator[_Batch]:
    """Groups of pairs of one size that lack a file."""
    batch, batch_shape = _Batch([], []), (0, 0)
    shape_of = lru_cache(maxsize=64)(_image_shape)
    for pair in pairs:
        shape = shape_of(pair.image)
        if shape != (other := shape_of(pair.reference)):
            raise ValueError(f'{pair.image} is {shape[1]}x{shape[0]}, but {pair.reference} {other[1]}x{other[0]} (width x '
                             'height); bring the frames of a clip to one size, or give them different clips')
        if _is_whole(flow_path(out, pair.key, pair.offset), shape):
            batch.reused.append(pair)
            continue
        if batch.pairs and (shape != batch_shape or len(batch.pairs) == batch_size):
            yield batch
            batch = _Batch([], [])
        batch.pairs.append(pair)
        batch_shape = shape
    yield batch


def _image_shape(path: str) -> tuple[int, int]:
    """(H, W) from the header."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist; check that the data set is complete') from None
    except OSError as error:
        raise ValueError(f'{path} is no readable image ({error}); download, extract or generate this file again') from error


def _is_whole(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a KITTI PNG of that (H, W) with its end lies there; its pixels are not decoded."""
    try:
        with open(path, 'rb') as stream:
            head = stream.read(_IHDR.size)
            if len(head) < _IHDR.size:
                return False
            stream.seek(-len(_IEND), os.SEEK_END)
            tail = stream.read()
    except FileNotFoundError:
        return False
    _, _, kind, width, height, depth, colour = _IHDR.unpack(head)
    return kind == b'IHDR' and (height, width, depth, colour) == (*shape, 16, 2) and tail == _IEND
