# SPDX-License-Identifier: Apache-2.0
"""What tools share that write many files, may be stopped, and go on: the claim of a folder, and progress."""
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank, get_world_size

from udatools.utils.atomic import write_json_atomic

REPORT_SECONDS = 15.0


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


class Progress:
    """A line of rank 0 at an interval and at the end.

    Args:
        title (str): what is done.
        total (int): number for this rank.
        unit (str): what is counted.
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self.title, self.total, self.unit, self.start = title, total, unit, time.perf_counter()
        self.last = self.start

    def step(self, done: int) -> None:
        """``done`` of this rank are finished."""
        now = time.perf_counter()
        if get_rank() != 0 or (now - self.last < REPORT_SECONDS and done < self.total):
            return
        self.last = now
        pace = done / max(now - self.start, 1e-9)
        whose = f' of rank 0 of {get_world_size()}' if get_world_size() > 1 else ''
        minutes, seconds = divmod(int((self.total - done) / max(pace, 1e-9)), 60)
        print(f'{self.title}  {done}/{self.total} {self.unit}{whose}  {pace:.1f} {self.unit}/s  {minutes}:{seconds:02d} left',
              flush=True)
