# SPDX-License-Identifier: Apache-2.0
"""What has been verified so far, a JSON line a pair, so that a killed run goes on where it was.

The first line says what the records depend on. A line carries the stamps of its files: a pair that was changed since, such
as a bad one that was put right, is verified again. A line that a kill cut short is dropped. Outputs are made of the records
of all pairs in key order, so neither kills nor the number of processes show in them.
"""
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TextIO

from .verify import Pair, PairRecord

SCHEMA_VERSION = 1


class PairJournal:
    """An append-only file of records; a context manager.

    Args:
        path (Path): ``journal.jsonl``; its folder exists.
        settings (dict): What the records depend on. A journal with other settings is of no use and begins anew.

    Raises:
        OSError: If the file cannot be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self._header = json.dumps(dict(schema_version=SCHEMA_VERSION, settings=settings), sort_keys=True)
        self._lines: dict[str, tuple[list, PairRecord]] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> PairJournal:
        intact = self._read()
        if intact:
            os.truncate(self.path, intact)
        self._file = open(self.path, 'a' if intact else 'w', encoding='utf-8')  # noqa: SIM115 - open for the whole run
        if not intact:
            self._write(self._header)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> int:
        """Fills the records; returns how many bytes of the file are whole lines of this journal."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return 0
        position = 0
        for number, line in enumerate(data.splitlines(keepends=True)):
            if not line.endswith(b'\n'):
                break
            try:
                if number == 0:
                    if line.decode().rstrip('\n') != self._header:
                        return 0
                else:
                    entry = json.loads(line)
                    record = PairRecord.from_json(entry)
                    self._lines[record.key] = (entry['stamp'], record)
            except (ValueError, KeyError, TypeError, AttributeError):
                break
            position += len(line)
        return position

    def _write(self, line: str) -> None:
        assert self._file is not None
        self._file.write(line + '\n')
        self._file.flush()

    def find(self, pair: Pair, stamp: list) -> PairRecord | None:
        """The record of a pair whose files are still those that were verified, or None."""
        known, record = self._lines.get(pair.key, (None, None))
        return record if known == stamp else None

    def add(self, record: PairRecord, stamp: list) -> None:
        """Appends a record; ``stamp`` was taken before the files were read."""
        self._lines[record.key] = (stamp, record)
        self._write(json.dumps(record.to_json() | dict(stamp=stamp)))
