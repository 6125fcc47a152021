# SPDX-License-Identifier: Apache-2.0
"""The benchmark of pseudo-labels: its two sides write the same files, and it would tell if they did not."""

import pytest


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('benchmark/pseudo_labels.py')


@pytest.fixture(scope='module')
def args(benchmark):
    return benchmark.parse_args(['--base-channels', '16', '--repeats', '1', '--sizes', '3x64x32'])


@pytest.mark.parametrize('policy', ['class_balanced', 'instance_adaptive'])
def test_both_sides_give_the_same_labels(benchmark, args, policy):
    result = benchmark.measure_time(args, policy, args.sizes[0])
    assert 0.01 < result['kept'] < 0.95
    dump = 3 * (128 + 4 * 19 * 64 * 32)  # header and float32 probabilities
    assert result['bytes']['literal'] == (dump if policy == 'class_balanced' else 0)
    assert result['bytes']['udatools'] < dump / 20
    assert result['time_ratio'] > 0 and result['beside_ratio'] > 0


def test_labels_that_differ_are_an_error(benchmark, args, monkeypatch):
    real = benchmark.literal_class_balanced
    monkeypatch.setitem(benchmark.LITERAL, 'class_balanced', lambda model, images, policy, folder: real(
        model, images, dict(policy, portion=0.25), folder))
    with pytest.raises(RuntimeError, match='class_balanced, .*: the labels of the two sides differ'):
        benchmark.measure_time(args, 'class_balanced', args.sizes[0])


def test_table_by_hand(benchmark):
    result = dict(policy='class_balanced', images=8, width=512, height=256, time_ratio=0.5, beside_ratio=0.25,
                  bytes=dict(udatools=2**20, literal=3 * 2**20), memory=dict(udatools=2**21, literal=2**22))
    assert benchmark.format_table([result]).splitlines()[-1] == (
        '| class-balanced | 8 | 512x256 | 0.50 | 0.25 | 3.0 MiB | 1.0 MiB | 4 MiB | 2 MiB | yes |')


def test_bad_sizes_are_refused(benchmark, capsys):
    for size in ('8x512', '0x512x256', '8x8x256', 'many'):
        with pytest.raises(SystemExit):
            benchmark.parse_args(['--sizes', size])
        assert 'IMAGESxWIDTHxHEIGHT' in capsys.readouterr().err
