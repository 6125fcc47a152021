# SPDX-License-Identifier: Apache-2.0
"""A tiny target set with fixed predictions, and a runner of two gloo ranks."""
import multiprocessing
import traceback

import numpy as np
import pytest
import torch


@pytest.fixture
def predictions():
    """Seven (4, 9, 11) probability maps; class 3 is never predicted."""
    generator = torch.Generator().manual_seed(3)
    logits = [4 * torch.randn(4, 9, 11, generator=generator) for _ in range(7)]
    for logit in logits:
        logit[3] = -9
    return [logit.softmax(0) for logit in logits]


@pytest.fixture
def keys():
    return [f'city/frame_{i}' for i in range(7)]


@pytest.fixture
def tree():
    """Function: {relative path: bytes} of all files below a folder."""
    return lambda root: {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def _rank(work, rank, world, rendezvous, queue):
    try:
        torch.set_num_threads(1)
        torch.distributed.init_process_group('gloo', init_method=f'file://{rendezvous}', rank=rank, world_size=world)
        queue.put((rank, work(rank), None))
        torch.distributed.destroy_process_group()
    except BaseException:
        queue.put((rank, None, traceback.format_exc()))


@pytest.fixture
def run_ranks(tmp_path):
    """Function: run ``work(rank)`` on ranks that talk over gloo; returns [(value, traceback or None)] by rank."""

    def run(work, world=2):
        context = multiprocessing.get_context('fork')
        queue = context.Queue()
        rendezvous = tmp_path / f'rendezvous_{np.random.default_rng().integers(1 << 40)}'
        ranks = [context.Process(target=_rank, args=(work, r, world, rendezvous, queue)) for r in range(world)]
        for process in ranks:
            process.start()
        try:
            results = sorted(queue.get(timeout=60) for _ in ranks)
        finally:
            for process in ranks:
                process.join(10)
                process.kill()
        return [(value, error) for _, value, error in results]

    return run
