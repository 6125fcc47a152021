# SPDX-License-Identifier: Apache-2.0
"""Runs the verification of a data set: processes, progress, what is already done, and the files that come out."""
from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2

from udatools.engine.runner.journal import WorkDirLock
from udatools.utils.atomic import write_json_atomic
from udatools.utils.progress import Progress

from .journal import PairJournal
from .statistics import ClassStatistics
from .verify import PairRecord, PairSource, summarise_records, verify_pair

REPORT, STATISTICS, JOURNAL = 'report.json', 'class_statistics.json', 'journal.jsonl'
CHUNK = 16  # pairs that a process takes at a time; as many are done again after a kill


_work: Callable[[Any], Any] | None = None
_Item = TypeVar('_Item')
_Result = TypeVar('_Result')


def _start_worker(work: Callable[[Any], Any], parent: int) -> None:
    global _work
    _work = work
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)  # the parent was killed; nobody waits for what is computed here

    threading.Thread(target=follow, daemon=True).start()


def _do(item: Any) -> Any:
    assert _work is not None
    return _work(item)


def map_pairs(work: Callable[[_Item], _Result], pairs: list[_Item], nproc: int,
              chunk: int | None = None) -> Iterator[_Result]:
    """Applies ``work`` to pairs, or to any other items, in order, in this process or in several.

    Args:
        work (Callable): Takes a pair, gives its record; must be picklable where processes cannot be forked.
        pairs (list): What to do.
        nproc (int): Processes, at least 1.
        chunk (int, optional): Items that a process takes at a time, at most. Default: ``CHUNK``.

    Yields:
        What ``work`` gives, in the order of ``pairs``.

    Raises:
        RuntimeError: If a process died, of lack of memory for instance.
    """
    if nproc == 1 or len(pairs) < 2:
        yield from map(work, pairs)
        return
    context = multiprocessing.get_context('fork' if 'fork' in multiprocessing.get_all_start_methods() else 'spawn')
    pool = ProcessPoolExecutor(min(nproc, len(pairs)), mp_context=context, initializer=_start_worker,
                               initargs=(work, os.getpid()))
    try:
        yield from pool.map(_do, pairs, chunksize=max(1, min(chunk or CHUNK, len(pairs) // nproc)))
    except BrokenProcessPool:
        raise RuntimeError(f'one of {nproc} processes died, perhaps for lack of memory; run again to go on, with a smaller '
                           '--nproc') from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def check_source(source: PairSource, *, nproc: int = 1, title: str = 'verify') -> list[PairRecord]:
    """Verifies all pairs and writes nothing.

    Args:
        source (PairSource): The pairs.
        nproc (int): Processes; changes nothing but the time. Default: 1.
        title (str): Of the progress line.

    Returns:
        list[PairRecord]: In key order.
    """
    pairs = source.pairs()
    records: list[PairRecord] = []
    bad = 0
    with Progress(title, len(pairs), 'pairs') as progress:
        for record in map_pairs(partial(verify_pair, source=source), pairs, nproc):
            records.append(record)
            bad += not record.good
            progress.update(len(records), f'{bad} bad')
    return records


def prepare_source(source: PairSource, folder: Path, *, nproc: int = 1, title: str = 'verify') -> list[PairRecord]:
    """Verifies all pairs, converts those of a source that converts, and writes report and statistics to ``folder``.

    A killed call is continued by the next one and gives the same files. ``report.json`` lists the bad pairs;
    ``class_statistics.json`` (:class:`ClassStatistics`) is written where labels are looked at; ``journal.jsonl`` is the
    memory, which may be deleted.

    Args:
        source (PairSource): The pairs.
        folder (Path): Where to; made if need be.
        nproc (int): Processes; changes nothing but the time. Default: 1.
        title (str): Of the progress line.

    Returns:
        list[PairRecord]: In key order.

    Raises:
        OSError: If a file cannot be written.
        WorkDirInUseError: If another process writes to the same folder.
        ValueError: If the source cannot convert to where it should.
    """
    pairs = {pair.key: pair for pair in source.pairs()}
    records: dict[str, PairRecord] = {}
    with WorkDirLock(folder):
        source.begin()
        with PairJournal(folder / JOURNAL, source.settings()) as journal:
            stamps = {key: pair.stamp() for key, pair in pairs.items()}
            for key, pair in pairs.items():
                known = journal.find(pair, stamps[key])
                if known is not None and (not known.good or source.converted(pair)):
                    records[key] = known
            todo = [pair for key, pair in pairs.items() if key not in records]
            if records and todo:
                print(f'{title}: {len(records)} of {len(pairs)} pairs are done already, going on', file=sys.stderr)
            bad = 0
            with Progress(title, len(todo), 'pairs') as progress:
                for done, record in enumerate(map_pairs(partial(verify_pair, source=source, convert=True), todo, nproc), 1):
                    journal.add(record, stamps[record.key])
                    records[record.key] = record
                    bad += not record.good
                    progress.update(done, f'{bad} bad')
        ordered = [records[key] for key in sorted(records)]
        _write_outputs(source, folder, ordered, labelled=any(pair.label is not None for pair in pairs.values()))
    return ordered


def _write_outputs(source: PairSource, folder: Path, records: Iterable[PairRecord], *, labelled: bool) -> None:
    records = list(records)
    about = source.describe()
    report = dict(schema_version=1, dataset=about, class_set=source.class_set.name if labelled else None)
    write_json_atomic(folder / REPORT, report | summarise_records(records))
    if labelled:
        ClassStatistics(about, source.class_set.name, source.class_set.classes,
                        {record.key: record.counts for record in records if record.good}).save(folder / STATISTICS)

