# SPDX-License-Identifier: Apache-2.0
"""The benchmark of VPQ: its two sides find the same matches, and it would tell if they did not."""
import json

import pytest


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('benchmark/vpq.py')


@pytest.mark.parametrize('noise', [0.0, 0.1])
def test_both_sides_find_the_same(benchmark, tmp_path, monkeypatch, noise):
    benchmark.write_set(tmp_path, 2, 5, 48, 32, noise)
    seconds = benchmark.measure(tmp_path, repeats=1)
    assert set(seconds) == {'read', 'udatools', 'usual'}
    assert all(len(values) == 1 and values[0] > 0 for values in seconds.values())
    found = benchmark.ours(tmp_path)
    assert all(sum(map(sum, found[name])) > 5 for name in ('iou', 'tp', 'fp', 'fn'))
    monkeypatch.setitem(benchmark.SIDES, 'usual', lambda folder: dict(found, fp=found['fn']))
    with pytest.raises(RuntimeError, match='the two evaluations differ in fp'):
        benchmark.measure(tmp_path, repeats=1)


def test_table_by_hand(benchmark):
    result = dict(clips=2, frames=6, width=64, height=32, seconds=dict(read=[1.0, 2.0], udatools=[1.5, 3.0], usual=[12.0, 12.0]),
                  memory=dict(read=2**20, udatools=2**21, usual=2**23))
    lines = benchmark.format_table([result, dict(result, memory=None)]).splitlines()
    times = '| 2 x 6 | 64x32 | 1.5 (1.5 to 1.5) | 0.188 (0.125 to 0.25) |'
    assert lines[-2] == f'{times} 2 (2 to 1 MiB) | 0.25 (2 to 8 MiB) |'
    assert lines[-1] == f'{times} -- | -- |'


def test_the_command_measures_time_and_memory_at_two_sizes_in_one_run(benchmark, monkeypatch, tmp_path, capsys):
    asked = []

    def in_this_process(script, arguments):
        asked.append((script, arguments[1]))
        assert benchmark.main(arguments) == 0
        return int(capsys.readouterr().out)

    monkeypatch.setattr(benchmark, 'memory_in_fresh_process', in_this_process)
    assert benchmark.main(['--sizes', '1x4x64x32', '1x4x96x48', '--repeats', '1', '--json', str(tmp_path / 'x.json')]) == 0
    results = json.loads((tmp_path / 'x.json').read_text())
    assert [(one['width'], one['height']) for one in results] == [(64, 32), (96, 48)]
    assert all(one[part].keys() == {'read', 'udatools', 'usual'} for one in results for part in ('seconds', 'memory'))
    assert asked == [(benchmark.__file__, side) for side in ('read', 'udatools', 'usual')] * 2
    assert '| 1 x 4 | 96x48 | ' in capsys.readouterr().out


def test_bad_sizes_are_refused(benchmark, capsys):
    for size in ('8x512', '0x6x512x256', '2x6x8x256', 'many'):
        with pytest.raises(SystemExit):
            benchmark.parse_args(['--sizes', size])
        assert 'CLIPSxFRAMESxWIDTHxHEIGHT' in capsys.readouterr().err
