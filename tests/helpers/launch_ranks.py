# SPDX-License-Identifier: Apache-2.0
"""Two real processes of a script that talk over gloo, as a launcher starts them."""
import os
import socket
import subprocess
import sys

from shrink import REPO


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def launch_ranks(*arguments, script='tools/train.py', timeout=120):
    """Two processes of ``script``; (exit codes, stdout and stderr of both)."""
    port = free_port()
    ranks = []
    for rank in range(2):
        env = dict(os.environ, OMP_NUM_THREADS='1', RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', LOCAL_WORLD_SIZE='2',
                   MASTER_ADDR='127.0.0.1', MASTER_PORT=port, CUDA_VISIBLE_DEVICES='')
        command = [sys.executable, str(REPO / script), *map(str, arguments), '--launcher', 'pytorch']
        ranks.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    try:
        outputs = [rank.communicate(timeout=timeout)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()  # by its handle; nothing happens to one that is done
    return [rank.returncode for rank in ranks], outputs
