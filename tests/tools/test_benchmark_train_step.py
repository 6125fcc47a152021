# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the training step: both sides do the same, and the printed numbers are what was measured."""
import json

import pytest
import torch

ARGUMENTS = ['--base-channels', '4', '--size', '64x32', '--batch', '2', '--classes', '5', '--device', 'cpu']


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('benchmark/train_step.py')


@pytest.mark.parametrize('levels', [[], ['--multi-level']])
def test_both_sides_end_with_the_same_parameters(benchmark, levels):
    args = benchmark.parse_args([*ARGUMENTS, *levels, '--repeats', '3', '--steps', '1', '--warmup', '2'])
    timing = benchmark.measure_time(args)
    assert timing['steps_taken'] == 5
    assert {name: len(values) for name, values in timing['seconds'].items()} == {'udatools': 3, 'reference': 3}
    assert all(value > 0 for values in timing['seconds'].values() for value in values)
    assert timing['moved'] > 1e-4  # both trained
    assert timing['difference'] <= 1e-3 * timing['moved']


def test_a_reference_that_differs_shows(benchmark, monkeypatch):
    real = benchmark.reference_step

    def without_adversary(model, args):
        monkeypatch.setattr(benchmark, 'ADV_WEIGHTS', {'main': 1.0})  # ours was built with 0.001
        return real(model, args)

    monkeypatch.setitem(benchmark.STEPS, 'reference', without_adversary)
    args = benchmark.parse_args([*ARGUMENTS, '--repeats', '1', '--steps', '1', '--warmup', '1'])
    timing = benchmark.measure_time(args)
    assert timing['difference'] > 1e-3 * timing['moved']


def test_reference_trains_the_discriminator_on_detached_predictions_only(benchmark):
    args = benchmark.parse_args(ARGUMENTS)
    model = benchmark.build_model(args)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    benchmark.reference_step(model, args)(benchmark.make_batches(args, 1)[0])
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(parameter.detach(), before[name])}
    assert {name for name in before if 'discriminators' in name} <= changed
    assert 'segmentor.decode_head.branches.0.weight' in changed and 'segmentor.backbone.conv1.weight' in changed
    assert all(parameter.requires_grad for parameter in model.objectives.parameters())  # thawed again


def test_summary_is_the_ratio_of_the_medians(benchmark):
    timing = dict(seconds=dict(udatools=[3.0, 1.0, 2.0, 9.0, 2.0], reference=[4.0, 4.0, 4.0, 1.0, 5.0]),
                  difference=1e-9, moved=0.1, steps_taken=7)
    result = benchmark.summarise(timing, dict(udatools=30.0, reference=20.0))
    assert result['time_ratio'] == pytest.approx(2.0 / 4.0)
    assert result['time_ratio_quartiles'] == (0.4, 0.75)  # of 0.25 0.4 0.5 0.75 9
    assert result['memory_ratio'] == pytest.approx(1.5)
    table = benchmark.format_table(result, 'cpu')
    assert '0.500' in table and '1.500' in table and '1.00e-09' in table and 'resident' in table
    assert 'allocated on the GPU' in benchmark.format_table(result, 'cuda:0')


@pytest.mark.slow
def test_command_line_with_memory_in_fresh_processes(benchmark, tmp_path, capsys):
    command = [*ARGUMENTS, '--repeats', '1', '--steps', '1', '--warmup', '1', '--json', str(tmp_path / 'out.json')]
    assert benchmark.main(command) == 0
    result = json.loads((tmp_path / 'out.json').read_text())
    assert result['memory_mib'].keys() == {'udatools', 'reference'} and min(result['memory_mib'].values()) >= 0
    assert 'largest parameter difference' in capsys.readouterr().out


def test_bad_arguments_are_refused(benchmark, capsys):
    for arguments, message in ((['--amp', 'bf16', '--device', 'cpu'], 'needs a CUDA device'),
                               (['--size', '256'], 'WIDTHxHEIGHT')):
        with pytest.raises(SystemExit):
            benchmark.parse_args(arguments)
        assert message in capsys.readouterr().err
