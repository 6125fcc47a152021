# SPDX-License-Identifier: Apache-2.0
"""What tools share that write many files, may be stopped, and go on: the claim of a folder, and work in shares of ranks."""
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from mmengine.dist import all_gather_object, get_rank, get_world_size

from udatools.engine.runner.distributed import on_main
from udatools.engine.runner.journal import WorkDirLock
from udatools.utils.atomic import write_json_atomic

BLOCK = 32  # items that a rank takes at a time: neighbours may have files in common
_Item = TypeVar('_Item')


def claim_folder(out: Path, settings: Mapping[str, Any], *, name: str, content: str) -> Path:
    """Says in a file of a folder what the other files come from.

    Args:
        out (Path): folder.
        settings (Mapping): JSON-able.
        name (str): of the file.
        content (str): what the folder holds, in the words of the error: 'flow that was'.

    Returns:
        Path: the file.

    Raises:
        ValueError: when the folder holds what was made otherwise.
    """
    path = out / name
    wanted = json.loads(json.dumps(dict(schema_version=1, **settings)))
    try:
        present = json.loads(path.read_text(encoding='utf-8'))
    except (FileNotFoundError, NotADirectoryError):
        write_json_atomic(path, wanted)
        return path
    except ValueError:
        present = None
    if not isinstance(present, dict):
        raise ValueError(f'{path} is damaged, so nobody knows how the files beside it were made; delete the folder, or choose '
                         'another --out')
    if present != wanted:
        differ = ', '.join(f'{name} {present.get(name)!r} instead of {wanted.get(name)!r}' for name in sorted(present | wanted)
                           if present.get(name) != wanted.get(name))
        raise ValueError(f'{out} holds {content} made otherwise ({differ}); give the same settings, choose another --out, or '
                         'delete the folder')
    return path


@contextmanager
def sole_writer(out: Path, leftovers: Sequence[str]) -> Iterator[None]:
    """Keeps other runs out of a folder, and clears what a killed one left half-written; collective.

    Args:
        out (Path): folder.
        leftovers (Sequence[str]): patterns of temporary files below it.

    Raises:
        WorkDirInUseError: on every rank, when another run writes there.
    """
    lock: WorkDirLock | None = None

    def enter() -> None:
        nonlocal lock
        lock = WorkDirLock(out).__enter__()
        for pattern in leftovers:
            for leftover in list(out.glob(pattern)):
                leftover.unlink()

    try:
        on_main(enter)
        yield
    finally:
        if lock is not None:
            lock.__exit__()


def share(items: Sequence[_Item]) -> list[_Item]:
    """The items of this rank: blocks in turn."""
    rank, world = get_rank(), get_world_size()
    return [item for i, item in enumerate(items) if i // BLOCK % world == rank]


def share_rest(items: Sequence[_Item], is_done: Callable[[_Item], bool], *, content: str) -> tuple[list[_Item], int]:
    """The items of this rank among those that are left to do; collective.

    Each rank looks at its share, and what they find undone is shared out anew: after an interruption that left one rank far
    behind, none waits for another's rest.

    Args:
        items (Sequence): the same on every rank.
        is_done (Callable): of one item.
        content (str): as of :func:`sum_over_ranks`.

    Returns:
        tuple[list, int]: items of this rank to do, and how many of those that it looked at are done.

    Raises:
        RuntimeError: on the ranks that did not fail themselves.
    """
    looked_at = share(range(len(items)))
    left = [index for index in looked_at if not is_done(items[index])]
    of_all = sorted(chain.from_iterable(_gather(left, content)))
    return [items[index] for index in share(of_all)], len(looked_at) - len(left)


def sum_over_ranks(*counts: int, content: str) -> list[int]:
    """Sums over all ranks; a rank that failed does not keep the others waiting, its end is their error.

    Args:
        *counts (int): of this rank.
        content (str): what is written, in the words of the error: 'flow'.

    Raises:
        RuntimeError: on the ranks that did not fail themselves.
    """
    return np.sum(_gather(counts, content), axis=0).tolist()


def _gather(value: Any, content: str) -> list[Any]:
    try:
        return all_gather_object(value)
    except RuntimeError as error:
        raise RuntimeError(f'another rank ended before its share of the {content} was done, and says why itself; that of this '
                           'rank is written, and the same command goes on') from error
