# SPDX-License-Identifier: Apache-2.0
"""The benchmark of warping: its two sides give the same numbers, and it would tell if they did not."""
import json

import numpy as np
import pytest
import torch

OPERATIONS = ['warp, bilinear', 'warp_labels', 'photometric_visibility', 'forward_backward_visibility']


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('benchmark/warp.py')


@pytest.mark.parametrize('size', [(32, 16), (29, 17)])
def test_both_sides_give_the_same_numbers(benchmark, size):
    rows = benchmark.measure_literal(size, repeats=1)
    assert [row['operation'] for row in rows] == OPERATIONS and {tuple(row['size']) for row in rows} == {size}
    assert all(row['time'].median > 0 for row in rows)
    found = {row['operation']: row['difference'] for row in rows}
    assert 0 < found['warp, bilinear'] < 1e-4  # float32 against float64
    assert found['warp_labels'] == found['photometric_visibility'] == found['forward_backward_visibility'] == 0


def test_nothing_measured_is_trivial(benchmark):
    ours = {name: work() for name, work in benchmark.operations(benchmark.make_frames((64, 32))).items()}
    assert 0.01 < (ours['warp_labels'] == 255).mean() < 0.3  # led outside
    assert len(np.unique(ours['warp_labels'])) > 5
    assert all(0.2 < ours[name].mean() < 0.8 for name in OPERATIONS[2:])


def test_the_loop_by_hand(benchmark):
    values = np.array([[[1., 2., 3., 4.], [5., 6., 7., 8.]]])
    flow = np.zeros((2, 2, 4), np.float32)
    flow[0] = 0.5
    flow[1, 0] = 0.25
    warped, inside = benchmark.literal_warp(values, flow)
    assert warped[0].tolist() == [[2.5, 3.5, 4.5, 0], [5.5, 6.5, 7.5, 0]] and inside.tolist() == [[True] * 3 + [False]] * 2
    assert benchmark.literal_warp(values, flow, nearest=True, fill=9)[0][0].tolist() == [[2, 3, 4, 9], [6, 7, 8, 9]]
    far, near = np.full((3, 1, 2), 0.06), np.full((3, 1, 2), 0.04)  # the line is at 0.085 = 0.049 sqrt(3)
    assert benchmark.literal_photometric(np.zeros((3, 1, 2)), np.where([[True, False]], far, near)).tolist() == [[False, True]]
    there = np.zeros((2, 1, 3))
    there[0] = [[1, 1, 0]]
    back = np.zeros((2, 1, 3))
    back[0] = [[5, -1, 0.8]]  # pixel 0 comes home from 1, pixel 1 comes back by 0.8 too far, pixel 2 by 0.8
    assert benchmark.literal_forward_backward(there, back).tolist() == [[True, False, False]]


@pytest.mark.parametrize('operation', OPERATIONS)
def test_sides_that_differ_are_an_error(benchmark, monkeypatch, operation):
    real = benchmark.operations

    def changed(frames):
        sides = real(frames)
        sides[operation] = lambda work=sides[operation]: np.roll(work(), 1, axis=-1)
        return sides

    monkeypatch.setattr(benchmark, 'operations', changed)
    with pytest.raises(RuntimeError, match=f'{operation} and the literal loop differ by .* at 24x16'):
        benchmark.measure_literal((24, 16), 1)


def test_a_frame_beside_reading_it(benchmark):
    rows = benchmark.measure_frame((64, 48), repeats=1)
    assert [row['operation'] for row in rows] == OPERATIONS
    assert all(row[side].low > 0 for row in rows for side in ('image', 'label'))


def test_difference_of_values_and_of_pixels(benchmark):
    assert benchmark.difference(np.float32([1, 2.5]), np.array([1., 2.])) == 0.5
    assert benchmark.difference(torch.tensor([1, 2, 3, 4]).numpy(), np.array([1, 9, 3, 4])) == 0.25
    assert benchmark.difference(np.array([True, False]), np.array([True, True])) == 0.5


def test_the_command_prints_ratios_and_writes_them(benchmark, tmp_path, capsys):
    command = ['--sizes', '16x8', '24x16', '--frame', '32x32', '--repeats', '1', '--json', str(tmp_path / 'x.json')]
    assert benchmark.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith('| 16x8 |')]) == 4
    assert any(line.startswith('| 24x16 | `warp_labels` | ') and line.endswith(' | 0 |') for line in lines)
    assert len([line for line in lines if line.startswith('| 32x32 |') and line.count('|') == 5]) == 4
    written = json.loads((tmp_path / 'x.json').read_text())
    assert len(written['literal']) == 8 and len(written['frame']) == 4


@pytest.mark.parametrize('arguments', [['--sizes', '8'], ['--frame', 'large'], ['--repeats', '0']])
def test_bad_arguments_are_refused(benchmark, arguments, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse_args(arguments)
    assert arguments[0] in capsys.readouterr().err
