# SPDX-License-Identifier: Apache-2.0
"""The benchmark of the switches: any config is measured, differences are real, and what does not work is said."""

import pytest
import torch

FAMILIES = ['adaptsegnet/adaptsegnet', 'advent/minent', 'clan/clan', 'fda/fda', 'crst/crst_lrent', 'labor/spl']


@pytest.fixture(scope='module')
def benchmark(load_tool):
    return load_tool('benchmark/train_switches.py')


@pytest.fixture
def measure(benchmark, repo_root):
    def measure(name, *arguments):
        args = benchmark.parse_args([str(repo_root / f'configs/{name}_minidrive.py'), '--size', '64x32', '--batch', '2',
                                     '--device', 'cpu', '--repeats', '1', '--warmup', '1', *arguments])
        return {record['switch']: record for record in benchmark.measure(args.configs[0], args)}

    return measure


@pytest.mark.parametrize('name', FAMILIES)
def test_switches_keep_the_numbers_of_every_family(measure, name):
    records = measure(name, '--switches', 'shared_forward', 'contiguous')
    assert records['plain']['time'] == 1.0 and 'difference' not in records['plain']
    for switch in ('shared_forward', 'contiguous'):
        assert records[switch]['time'] > 0
        assert records[switch]['difference']['loss'] < 1e-5 and records[switch]['difference']['gradient'] < 1e-4


def test_a_switch_that_changes_the_numbers_shows(measure):
    difference = measure('adaptsegnet/adaptsegnet', '--switches', 'bf16')['bf16']['difference']
    assert 1e-4 < difference['gradient'] < 0.5 and difference['loss'] > 0


def test_what_does_not_work_is_said_and_the_rest_goes_on(measure, benchmark, monkeypatch):
    def refuse(module):
        raise RuntimeError('no working C++ compiler\nand much more')

    monkeypatch.setattr(torch.nn.Module, 'compile', refuse)
    records = measure('supervised/supervised', '--switches', 'shared_forward', 'compile', 'contiguous')
    assert records['shared_forward']['problem'] == 'ValueError: the stage has one domain'
    assert records['compile']['problem'] == 'RuntimeError: no working C++ compiler'
    assert records['contiguous']['time'] > 0
    table = benchmark.format_table(list(records.values()))
    assert '| compile | not available: RuntimeError: no working C++ compiler |' in table
    assert len({line.count('|') for line in table.splitlines()}) == 1


def test_a_named_stage_is_measured(measure):
    records = measure('labor/spl', '--stage', 'source', '--switches', 'shared_forward')
    assert records['plain']['stage'] == 'source' and 'one domain' in records['shared_forward']['problem']


def test_table_by_hand(benchmark):
    records = [dict(config='a', stage='train', switch='plain', time=1.0, mib=200.0),
               dict(config='a', stage='train', switch='bf16', time=3.0, mib=100.0, difference=dict(loss=0.0, gradient=0.0123))]
    assert benchmark.format_table(records).splitlines()[2:] == [
        '| a | train | plain | 1.00 | 1.00 | - | - |', '| a | train | bf16 | 3.00 | 0.50 | 0 | 1e-02 |']
