# SPDX-License-Identifier: Apache-2.0
"""The benchmark of selection: its two sides pick the same windows, and it would tell if they did not."""
import json

import pytest


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('benchmark/selection.py')


SMALL = ['--size', '96x64', '--classes', '4', '--depth', '18', '--base-channels', '8', '--repeats', '1', '--regions', '30']


def test_every_selector_is_measured_on_what_it_reads(benchmark, monkeypatch):
    args = benchmark.parse_args(SMALL)
    rows = benchmark.measure_selectors(args)
    assert [row['selector'] for row in rows] == list(benchmark.CASES)
    measured = {row['selector']: row for row in rows if 'skipped' not in row}
    assert set(benchmark.CASES) - set(measured) <= {'superpixels'}  # where scikit-image is missing
    assert all(row['ratio'] > 0 and 0 <= row['offered'] <= 1 for row in measured.values())
    assert measured['random']['offered'] == int(.05 * 96 * 64) / (96 * 64)
    assert 0 < measured['LabOR-PPL']['offered'] < measured['LabOR-SPL']['offered']


@pytest.mark.parametrize('radius', [1, 3])
def test_both_sides_pick_the_same_windows(benchmark, radius):
    row = benchmark.measure_windows(benchmark.parse_args(SMALL), radius)
    assert row['windows'] == 30 and row['ratio'] > 0


def test_windows_that_differ_are_an_error(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, 'literal_windows', lambda score, radius, limit: [0] * limit)
    with pytest.raises(RuntimeError, match='windows of the two sides differ'):
        benchmark.measure_windows(benchmark.parse_args(SMALL), 1)


def test_tables_by_hand(benchmark):
    tables = benchmark.format_tables(
        [dict(selector='a', ratio=.25, offered=.05), dict(selector='b', skipped='no c')],
        [dict(radius=16, windows=7, ratio=.125)]).splitlines()
    assert '| a | 0.250 | 5.000% |' in tables and '| b | -- | no c |' in tables and '| 33x33 | 7 | 0.1250 |' in tables


def test_the_command_prints_ratios_and_writes_them(benchmark, tmp_path, capsys):
    assert benchmark.main([*SMALL, '--selectors', 'entropy', '--radii', '2', '--json', str(tmp_path / 'x.json')]) == 0
    assert '| entropy | ' in capsys.readouterr().out
    assert [row['radius'] for row in json.loads((tmp_path / 'x.json').read_text())['windows']] == [2]


@pytest.mark.parametrize('arguments', [['--size', '8x8'], ['--size', 'large'], ['--repeats', '0'], ['--radii', '0'],
                                       ['--selectors', 'oracle']])
def test_bad_arguments_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse_args(arguments)
    assert arguments[0] in capsys.readouterr().err
