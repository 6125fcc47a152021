# SPDX-License-Identifier: Apache-2.0
"""The benchmark of VPQ: its two sides find the same matches, and it would tell if they did not."""
import importlib.util

import pytest


@pytest.fixture(scope='module')
def benchmark(repo_root):
    spec = importlib.util.spec_from_file_location('vpq_benchmark', repo_root / 'tools' / 'benchmark' / 'vpq.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_sides_find_the_same(benchmark, tmp_path, monkeypatch):
    benchmark.write_set(tmp_path, 2, 5, 48, 32)
    seconds = benchmark.measure(tmp_path, repeats=1)
    assert set(seconds) == {'read', 'udatools', 'usual'} and all(value > 0 for value in seconds.values())
    found = benchmark.ours(tmp_path)
    assert all(sum(map(sum, found[name])) > 5 for name in ('iou', 'tp', 'fp', 'fn'))
    monkeypatch.setitem(benchmark.SIDES, 'usual', lambda folder: dict(found, fp=found['fn']))
    with pytest.raises(RuntimeError, match='the two evaluations differ in fp'):
        benchmark.measure(tmp_path, repeats=1)


def test_table_by_hand(benchmark):
    result = dict(clips=2, frames=6, width=64, height=32, seconds=dict(read=1.0, udatools=1.5, usual=12.0),
                  memory=dict(read=2**20, udatools=2**21, usual=2**23))
    lines = benchmark.format_table([result, dict(result, memory=None)]).splitlines()
    assert lines[-2] == '| 2 x 6 | 64x32 | 1.50 | 0.125 | 1 MiB | 2 MiB | 8 MiB |'
    assert lines[-1] == '| 2 x 6 | 64x32 | 1.50 | 0.125 | -- | -- | -- |'


def test_bad_sizes_are_refused(benchmark, capsys):
    for size in ('8x512', '0x6x512x256', '2x6x8x256', 'many'):
        with pytest.raises(SystemExit):
            benchmark.parse_args(['--sizes', size])
        assert 'CLIPSxFRAMESxWIDTHxHEIGHT' in capsys.readouterr().err
