# SPDX-License-Identifier: Apache-2.0
"""What a stage cost: seconds of training by two clocks and the largest memory, in one small file beside its checkpoints.

The file is written when the labels of the stage are there, at every checkpoint and at the end. A stage that goes on after
a kill adds to it; work since the last checkpoint was lost, is done again and counted once.
"""
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

from udatools.utils.atomic import write_json_atomic

FILE = 'cost.json'
_HIGH_WATER = 'VmHWM:'


def peak_memory_bytes() -> int:
    """Largest memory so far: allocated on the GPU since the last reset, else resident in this process's life."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    status = Path('/proc/self/status')
    if status.exists():  # ru_maxrss would keep the parent's peak across exec
        for line in status.read_text(encoding='utf-8').splitlines():
            if line.startswith(_HIGH_WATER):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024


def device_name() -> str:
    """The name of the GPU, or ``cpu``."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'


def read_cost(stage_dir: Path) -> dict[str, Any]:
    """``train_seconds``, ``processor_seconds``, ``peak_memory_bytes``, ``device`` of one stage; empty without a readable file."""
    try:
        cost = json.loads((stage_dir / FILE).read_text(encoding='utf-8'))
        return {'train_seconds': float(cost['train_seconds']), 'processor_seconds': float(cost['processor_seconds']),
                'peak_memory_bytes': int(cost['peak_memory_bytes']), 'device': str(cost['device'])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_cost(stage_dir: Path, *, train_seconds: float, processor_seconds: float, peak_memory: int) -> None:
    """Atomic write.

    Args:
        stage_dir (Path): folder of the stage.
        train_seconds (float): on the wall.
        processor_seconds (float): of this process on all processors, its data-loading workers left out.
        peak_memory (int): bytes.
    """
    write_json_atomic(stage_dir / FILE, {
        'train_seconds': round(train_seconds, 2), 'processor_seconds': round(processor_seconds, 2),
        'peak_memory_bytes': peak_memory, 'device': device_name()})


def cost_record(stages_dir: Path, folder: str) -> dict[str, Any]:
    """The cost of a stage, and under ``total`` that of all stages up to it, those that are not evaluated too.

    Args:
        stages_dir (Path): ``stages/`` of a run.
        folder (str): of the stage, ``NN_name``.

    Returns:
        dict: as :func:`read_cost`, and ``total`` with all but the device; empty where a stage has no readable cost.
    """
    index = int(folder.split('_')[0])
    folders = [path for path in stages_dir.glob('[0-9]*_*') if path.is_dir() and int(path.name.split('_')[0]) <= index]
    costs = [read_cost(path) for path in folders]
    own = read_cost(stages_dir / folder)
    if not own or not all(costs):
        return {}
    seconds = {name: round(sum(cost[name] for cost in costs), 2) for name in ('train_seconds', 'processor_seconds')}
    return own | {'total': seconds | {'peak_memory_bytes': max(cost['peak_memory_bytes'] for cost in costs)}}


class ResidentPeak(threading.Thread):
    """Samples the resident size of this process (Linux) until stopped: the peak of a part of a process's life.

    Args:
        interval (float): seconds between samples.
    """

    def __init__(self, interval: float = 0.002) -> None:
        super().__init__(daemon=True)
        self.interval, self.peak, self._stop_now = interval, 0, threading.Event()

    @staticmethod
    def now() -> int:
        """Bytes."""
        return int(Path('/proc/self/statm').read_text(encoding='utf-8').split()[1]) * os.sysconf('SC_PAGE_SIZE')

    def run(self) -> None:
        """Thread body."""
        while not self._stop_now.is_set():
            self.peak = max(self.peak, self.now())
            time.sleep(self.interval)

    def stop(self) -> int:
        """The peak in bytes."""
        self._stop_now.set()
        self.join()
        return self.peak
