# SPDX-License-Identifier: Apache-2.0
"""What the scripts in ``tools/benchmark`` share: sides that take turns, ratios of their times, and the memory of one side.

Ratios within one run are what can be compared between machines, and between a quiet hour and a busy one.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .costs import ResidentPeak

_GIVEN_BACK = 2**16  # bytes; smaller blocks stay with the process


class Ratio(NamedTuple):
    """Of two sides: ``median`` is that of their median times, ``low`` and ``high`` are quartiles of the ratios turn by turn."""
    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'{self.median:.3g} ({self.low:.3g} to {self.high:.3g})'


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Times of two sides, one number a turn, divided: below 1 where the first one is faster."""
    by_turn = sorted(a / b for a, b in zip(ours, theirs))
    return Ratio(statistics.median(ours) / statistics.median(theirs), by_turn[len(by_turn) // 4],
                 by_turn[(3 * len(by_turn)) // 4])


def synchronise(device: str) -> None:
    """Waits for the GPU, if there is one."""
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


def in_turns(sides: Mapping[str, Callable[[], Any]], repeats: int, *, warmup: int = 1, device: str = 'cpu',
             check: Callable[[dict[str, Any]], None] | None = None) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Runs all sides in this process, A B, B A, A B ...

    Args:
        sides (Mapping[str, Callable]): what is measured, by name.
        repeats (int): turns that count, >= 1.
        warmup (int): turns before them.
        device (str): where the sides work. On a CPU, time is that of the processor, which others on the machine change little.
        check (Callable, optional): is given what the sides returned, by name, after every turn.

    Returns:
        tuple[dict[str, list[float]], dict[str, Any]]: seconds of each side, one number a turn, and what each returned last.
    """
    clock = time.perf_counter if device.startswith('cuda') else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    found: dict[str, Any] = {}
    for turn in range(-warmup, repeats):
        for name in list(sides)[::1 if turn % 2 == 0 else -1]:
            synchronise(device)
            began = clock()
            found[name] = sides[name]()
            synchronise(device)
            if turn >= 0:
                seconds[name].append(clock() - began)
        if check is not None:
            check(found)
    return seconds, found


def peak_memory_of(work: Callable[[], Any], device: str = 'cpu') -> int:
    """Bytes of the largest memory while ``work`` runs; for a process that did nothing like it before.

    On CUDA all that is allocated, what was there before too. On a CPU the peak resident size above the size at the start,
    sampled every 2 ms; freed blocks that the allocator keeps count, see :func:`memory_in_fresh_process`.
    """
    if device.startswith('cuda'):
        torch.cuda.reset_peak_memory_stats(device)
        work()
        synchronise(device)
        return int(torch.cuda.max_memory_allocated(device))
    before, sampler = ResidentPeak.now(), ResidentPeak()
    sampler.start()
    try:
        work()
    finally:
        peak = sampler.stop()
    return max(peak - before, 0)


def memory_in_fresh_process(script: str | Path, arguments: Sequence[str]) -> int:
    """Bytes that a script prints as its last line when it measures the memory of one side.

    The C library (glibc) is told to give every larger block back as soon as it is freed. With its own, growing threshold the
    resident size of a training step varies by a tenth from run to run; so, by less than a hundredth.

    Raises:
        RuntimeError: when it fails; the end of what it wrote to the standard error is in the message.
    """
    run = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True,
                         env=os.environ | {'MALLOC_MMAP_THRESHOLD_': str(_GIVEN_BACK)})
    if run.returncode:
        raise RuntimeError(f'the memory process {Path(script).name} {" ".join(arguments)} failed with {run.returncode}: '
                           f'{run.stderr[-2000:]}')
    return int(run.stdout.splitlines()[-1])


def parse_size(text: str, smallest: int = 1) -> tuple[int, int]:
    """``256x128`` to (256, 128), width and height, for ``argparse``; sides of at least ``smallest`` pixels."""
    try:
        width, height = (int(part) for part in text.lower().split('x'))
        if min(width, height) < smallest:
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'size {text!r} is not WIDTHxHEIGHT with sides of at least {smallest}, for instance '
                                         '256x128') from error
    return width, height
