# SPDX-License-Identifier: Apache-2.0
"""Process groups: mmengine's on accelerators, gloo where there is none (mmengine asks for CUDA)."""
import gc
import logging
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, init_dist, is_distributed, is_main_process


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


def leave_distributed(*, failed: bool = False) -> None:
    """Closes the process group; a process that exits with an open one may be aborted on its way out.

    Args:
        failed (bool): this rank goes because of an error: the others are not waited for, and NCCL, which would wait for
            its pending collectives, is left to the end of the process.
    """
    if not (torch_dist.is_available() and torch_dist.is_initialized()) or (failed and torch_dist.get_backend() == 'nccl'):
        return
    gc.collect()  # wrapped models hold the group, and its threads run into the interpreter's shutdown
    if not failed:
        torch_dist.barrier()
    torch_dist.destroy_process_group()


def exit_process(status: int) -> NoReturn:
    """Ends the process; one of several ranks without the interpreter's teardown.

    Everything is on disk and the group is closed by then, but threads of the gloo backend may still run into the teardown
    and abort a rank that has done its work, which a launcher reports as a failed job.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if int(os.environ.get('WORLD_SIZE', 1)) > 1:
        os._exit(status)
    sys.exit(status)


def on_main(work: Callable[[], Any]) -> Any:
    """Runs on rank 0 and gives every rank its result; an error there is raised on all, so that none waits for ever."""
    outcome: list[Any] = [None, None]
    failure: Exception | None = None
    if is_main_process():
        try:
            outcome[0] = work()
        except Exception as error:
            failure = error
            outcome[1] = _portable(error)
    broadcast_object_list(outcome)
    if failure is not None:
        raise failure
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def _portable(error: Exception) -> Exception:
    """The error, or one with its text where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f'rank 0 failed: {type(error).__name__}: {error}')
    return error
