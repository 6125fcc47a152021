# SPDX-License-Identifier: Apache-2.0
"""Work of a round over processes, such that no rank is left waiting for one that failed."""
from collections.abc import Callable, Generator
from typing import Any

from mmengine.dist import all_gather_object, get_rank


def on_all(work: Callable[[], Any]) -> list[Any]:
    """Run on every rank and gather the results; an error on one rank is raised on all."""
    value, error = None, None
    try:
        value = work()
    except Exception as caught:  # raised below, after the other ranks know
        error = caught
    gathered = all_gather_object((value, None if error is None else f'{type(error).__name__}: {error}'))
    if error is not None:
        raise error
    for rank, (_, message) in enumerate(gathered):
        if message is not None:
            raise RuntimeError(f'rank {rank} failed in a round of active labelling: {message}')
    return [value for value, _ in gathered]


def on_rank0(work: Callable[[], Any]) -> Any:
    """Run on rank 0 and give every rank its result; an error there is raised on all."""
    return on_all(work if get_rank() == 0 else lambda: None)[0]


def steps_on_rank0(work: Callable[[], Generator[None, None, Any]]) -> Any:
    """Like :func:`on_rank0` for long work: the ranks meet at every step, so that none waits into a timeout."""
    steps = work() if get_rank() == 0 else None

    def advance() -> tuple[bool, Any]:
        try:
            next(steps)  # type: ignore[arg-type]
        except StopIteration as stop:
            return True, stop.value
        return False, None

    finished, value = False, None
    while not finished:
        finished, value = on_rank0(advance)
    return value
