# SPDX-License-Identifier: Apache-2.0
"""How far a long task is, for people who watch and for log files."""
import sys
import time
from types import TracebackType
from typing import TextIO

from mmengine.dist import get_rank, get_world_size

SECONDS_BETWEEN_LINES, SECONDS_BETWEEN_REWRITES = 10.0, 0.2
_WIDTH = 78


class Progress:
    """A count of rank 0 on the error stream: one line that is rewritten on a terminal, else a new one at an interval.

    The last count is always shown. As a context it ends the rewritten line, whatever happens.

    Args:
        title (str): what is done.
        total (int | None): how much there is for this rank; None: unknown, nothing is said of the time left.
        unit (str): what is counted, in the plural.
        stream (TextIO | None): default: standard error.
        shown (bool): False: nothing is printed.
        first (int): how much was finished before; it counts as done, but not in the pace.
    """

    def __init__(self, title: str, total: int | None, unit: str, *, stream: TextIO | None = None,
                 shown: bool = True, first: int = 0) -> None:
        self.title, self.total, self.unit, self.first = title, total, unit, first
        self.stream = sys.stderr if stream is None else stream
        self._live, self._silent = self.stream.isatty(), not shown or get_rank() != 0
        self._start = self._last = time.perf_counter()
        self._open = False

    def update(self, done: int, note: str = '') -> None:
        """``done`` of this rank are finished, with those of before; ``note`` ends the line."""
        now = time.perf_counter()
        interval = SECONDS_BETWEEN_REWRITES if self._live else SECONDS_BETWEEN_LINES
        if self._silent or (now - self._last < interval and done != self.total):
            return
        self._last = now
        text = self._line(done, max(now - self._start, 1e-9))
        text = f'{text}  {note}' if note else text
        print(f'\r{text:<{_WIDTH}}' if self._live else text, end='' if self._live else '\n', file=self.stream, flush=True)
        self._open = self._live

    def _line(self, done: int, seconds: float) -> str:
        pace = (done - self.first) / seconds
        of = '' if self.total is None else f'/{self.total}'
        whose = f' of rank 0 of {get_world_size()}' if get_world_size() > 1 else ''
        text = f'{self.title}  {done}{of} {self.unit}{whose}  {pace:.1f} {self.unit}/s'
        if self.total is None:
            return text
        minutes, rest = divmod(int((self.total - done) / max(pace, 1e-9)), 60)
        return f'{text}  {minutes}:{rest:02d} left'

    def __enter__(self) -> 'Progress':
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._open:
            print(file=self.stream, flush=True)
