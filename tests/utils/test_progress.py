# SPDX-License-Identifier: Apache-2.0
"""Progress: rewritten on a terminal, a line at an interval in a file, always the last count, rank 0 alone."""
import io
import time

import pytest

from udatools.utils import progress as module
from udatools.utils.progress import Progress


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture
def clock(monkeypatch):
    """Three seconds pass from one look at it to the next."""
    times = iter(range(0, 1000, 3))
    monkeypatch.setattr(time, 'perf_counter', lambda: next(times))


def count(stream, total=6, **settings):
    with Progress('data', total, 'pairs', stream=stream, **settings) as progress:
        for done in range(1, 7):
            progress.update(done, f'{done // 4} bad')
    return stream.getvalue()


def test_a_file_gets_a_line_at_an_interval_and_the_last_count(clock):
    text = count(Stream(False))
    assert text.splitlines() == ['data  4/6 pairs  0.3 pairs/s  0:06 left  1 bad',
                                 'data  6/6 pairs  0.3 pairs/s  0:00 left  1 bad']
    assert '\r' not in text


def test_a_terminal_gets_one_line_that_is_rewritten_and_ended(clock):
    text = count(Stream(True))
    assert text.count('\r') == 6 and text.count('\n') == 1 and text.endswith('\n')
    shown = text.rstrip('\n').split('\r')[1:]
    assert [line.split()[1] for line in shown] == [f'{done}/6' for done in range(1, 7)]
    assert len({len(line) for line in shown}) == 1  # a shorter line covers the longer one before it


def test_the_rewritten_line_is_ended_when_work_fails(clock):
    stream = Stream(True)
    with pytest.raises(OSError), Progress('data', 6, 'pairs', stream=stream) as progress:
        progress.update(1)
        raise OSError
    assert stream.getvalue().endswith('\n')


def test_without_a_total_nothing_is_said_of_the_time_left(clock):
    text = count(Stream(False), total=None)
    assert text == 'data  4 pairs  0.3 pairs/s  1 bad\n'


def test_what_was_done_before_is_not_in_the_pace(clock):
    stream = Stream(False)
    with Progress('data', 106, 'pairs', stream=stream, first=100) as progress:
        for done in range(101, 107):
            progress.update(done)
    assert stream.getvalue().splitlines() == ['data  104/106 pairs  0.3 pairs/s  0:06 left',
                                              'data  106/106 pairs  0.3 pairs/s  0:00 left']


def test_other_ranks_and_unwanted_progress_say_nothing(clock, monkeypatch):
    assert count(Stream(True), shown=False) == ''
    monkeypatch.setattr(module, 'get_rank', lambda: 1)
    assert count(Stream(True)) == ''


def test_several_ranks_say_whose_count_it_is(clock, monkeypatch):
    monkeypatch.setattr(module, 'get_world_size', lambda: 4)
    assert count(Stream(False)).startswith('data  4/6 pairs of rank 0 of 4  ')
