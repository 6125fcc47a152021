# SPDX-License-Identifier: Apache-2.0
"""Process groups: mmengine's on accelerators, gloo where there is none (mmengine asks for CUDA)."""
import os
from typing import Any

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed


def cpu_model_wrapper() -> dict[str, Any] | None:
    """The distributed wrapper of ranks without an accelerator; None leaves the choice to mmengine."""
    if not is_distributed() or torch.cuda.is_available():
        return None
    return dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)


def init_distributed(cfg: Config) -> None:
    """Process group for ``cfg.launcher``; gloo where there is no accelerator (mmengine asks for CUDA)."""
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none' or is_distributed():
        return
    if torch.cuda.is_available():
        init_dist(launcher, **cfg.get('env_cfg', {}).get('dist_cfg', dict(backend='nccl')))
        return
    if launcher == 'slurm':
        os.environ.setdefault('RANK', os.environ['SLURM_PROCID'])
        os.environ.setdefault('WORLD_SIZE', os.environ['SLURM_NTASKS'])
        os.environ.setdefault('LOCAL_RANK', os.environ['SLURM_LOCALID'])
        os.environ.setdefault('MASTER_ADDR', os.environ.get('SLURM_LAUNCH_NODE_IPADDR', '127.0.0.1'))
        os.environ.setdefault('MASTER_PORT', '29500')
    elif launcher == 'mpi':
        os.environ.setdefault('RANK', os.environ['OMPI_COMM_WORLD_RANK'])
        os.environ.setdefault('WORLD_SIZE', os.environ['OMPI_COMM_WORLD_SIZE'])
        os.environ.setdefault('LOCAL_RANK', os.environ['OMPI_COMM_WORLD_LOCAL_RANK'])
    torch_dist.init_process_group('gloo')
