# SPDX-License-Identifier: Apache-2.0
"""Two gloo ranks count what one process counts, also when one has fewer images or none."""
import itertools

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from udatools.datasets.taxonomies import get_class_set
from udatools.evaluation import ProtocolIoUMetric

SIZES = (1, 5)  # with one image the second rank has none


def score(indices, size):
    metric = ProtocolIoUMetric('synthia16')
    metric.dataset_meta = dict(classes=get_class_set('cityscapes19').classes)
    for i in indices:
        rng = np.random.default_rng(i)
        pred, label = torch.from_numpy(rng.integers(0, 19, (2, 1, 6, 7)))
        metric.process({}, [dict(pred_sem_seg=dict(data=pred), gt_sem_seg=dict(data=label), img_path=str(i))])
    return metric.evaluate(size)


def worker(rank, folder):
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    results = {size: score(range(rank, size, 2), size) for size in SIZES}
    torch.save(results, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


@pytest.mark.distributed
def test_two_ranks_equal_one(tmp_path):
    mp.spawn(worker, args=(str(tmp_path), ), nprocs=2)
    ranks = [torch.load(tmp_path / f'{rank}.pth', weights_only=False) for rank in range(2)]
    for size, rank in itertools.product(SIZES, range(2)):
        expected, result = score(range(size), size), ranks[rank][size]
        assert list(result) == list(expected)
        np.testing.assert_array_equal([result[k] for k in expected], list(expected.values()))  # exact, nan included
