# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: sides take turns, ratios are of what was measured, memory is that of one side."""
import argparse
import time

import numpy as np
import pytest

from udatools.engine.benchmarking import in_turns, memory_in_fresh_process, parse_size, peak_memory_of, ratio


def test_ratio_by_hand():
    found = ratio([3.0, 1.0, 2.0, 9.0, 2.0], [4.0, 4.0, 4.0, 1.0, 5.0])
    assert found == (2.0 / 4.0, 0.4, 0.75)  # quartiles of 0.25 0.4 0.5 0.75 9
    assert str(found) == '0.5 (0.4 to 0.75)'
    assert str(ratio([0.00123456], [1.0])) == '0.00123 (0.00123 to 0.00123)'


def test_sides_take_turns_and_the_first_ones_do_not_count():
    calls, seen = [], []

    def side(name):
        def work():
            calls.append(name)
            return len(calls)
        return work

    seconds, found = in_turns(dict(a=side('a'), b=side('b')), 3, warmup=2, check=lambda results: seen.append(dict(results)))
    assert ''.join(calls) == 'abba' 'abba' 'ab'
    assert {name: len(values) for name, values in seconds.items()} == dict(a=3, b=3)
    assert found == dict(a=9, b=10) and seen[0] == dict(a=1, b=2) and len(seen) == 5


def test_time_is_that_of_the_processor():
    def work():
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass

    seconds, _ = in_turns(dict(sleeping=lambda: time.sleep(0.05), working=work), 1, warmup=0)
    assert seconds['sleeping'][0] < 0.04 < seconds['working'][0]


def test_a_check_that_fails_stops_the_run():
    def refuse(results):
        raise RuntimeError('they differ')

    with pytest.raises(RuntimeError, match='they differ'):
        in_turns(dict(a=lambda: 1), 2, check=refuse)


def test_memory_is_what_the_work_needs():
    def hold(mib):
        def work():
            held = np.ones(mib * 2**20, np.uint8)
            time.sleep(0.02)  # ten samples
            return int(held[0])
        return work

    small, large = (peak_memory_of(hold(mib)) / 2**20 for mib in (1, 200))
    assert small < 50 and 190 < large < 260


def test_memory_stops_sampling_when_the_work_fails():
    def fail():
        raise ValueError('no')

    with pytest.raises(ValueError, match='no'):
        peak_memory_of(fail)


def test_a_fresh_process_is_asked_and_its_failure_is_told(tmp_path):
    script = tmp_path / 'side.py'
    script.write_text("import sys\nprint('a warning')\nif sys.argv[1] == 'bad':\n    sys.exit('no such side')\nprint(12 * 2)\n")
    assert memory_in_fresh_process(script, ['good']) == 24
    with pytest.raises(RuntimeError, match='side.py bad failed with 1: no such side'):
        memory_in_fresh_process(str(script), ['bad'])


def test_a_fresh_process_gives_freed_blocks_back(tmp_path, monkeypatch):
    monkeypatch.setenv('SIDE', '7')
    script = tmp_path / 'side.py'
    script.write_text("import os\nprint(int(os.environ['MALLOC_MMAP_THRESHOLD_']) + int(os.environ['SIDE']))\n")
    assert memory_in_fresh_process(script, []) == 2**16 + 7


def test_sizes():
    assert parse_size('256x128') == (256, 128) and parse_size('32X64', smallest=32) == (32, 64)
    for text in ('256', '2x3x4', 'ax2', '0x5', '-4x4'):
        with pytest.raises(argparse.ArgumentTypeError, match='WIDTHxHEIGHT with sides of at least 1'):
            parse_size(text)
    with pytest.raises(argparse.ArgumentTypeError, match='at least 32'):
        parse_size('64x31', smallest=32)
