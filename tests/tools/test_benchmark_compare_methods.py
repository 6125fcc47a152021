# SPDX-License-Identifier: Apache-2.0
"""The comparison tool with a training that only writes a result."""
import json
import sys

import pytest

TRAINING = """
import json, os, pathlib, sys
config, work_dir, seed = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
with open(work_dir.parents[1] / 'order.txt', 'a') as order:
    print(pathlib.Path(config).stem, seed, os.environ['OMP_NUM_THREADS'], *sys.argv[4:], file=order)
if 'broken' in config and seed == 0:
    sys.exit('no luck')
work_dir.mkdir(parents=True, exist_ok=True)
stage = {'name': 'train', 'metrics': {'mIoU': 10.0 * len(pathlib.Path(config).stem) + seed, 'IoU': {'road': 50.0}},
         'labelled': {'portion': 0.0}, 'cost': {}}
result = {'seed': seed, 'protocol': 'p', 'stages': [stage], 'final': {} if 'unfinished' in config else {'checkpoint': 'x'}}
(work_dir / 'results.json').write_text(json.dumps(result))
"""


@pytest.fixture
def tool(load_tool, monkeypatch, tmp_path):
    module = load_tool('benchmark/compare_methods.py')
    script = tmp_path / 'training.py'
    script.write_text(TRAINING)
    real = module.command_of

    def command_of(config, seed, work_dir, args):
        assert real(config, seed, work_dir, args)[2:8] == [config, '--work-dir', str(work_dir), '--seed', str(seed), '--resume']
        return [sys.executable, str(script), config, str(work_dir), str(seed), *real(config, seed, work_dir, args)[8:]]

    monkeypatch.setattr(module, 'command_of', command_of)
    return module


def order_of(root):
    return (root / 'order.txt').read_text().splitlines()


def test_seeds_are_outermost_and_a_failure_does_not_stop_the_others(tool, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    root = tmp_path / 'runs'
    command = ['a.py', 'broken.py', 'unfinished.py', '--seeds', '0', '1', '--root', str(root), '--per-class']
    assert tool.main([*command, '--select', 'last', '--cfg-options', 'x=1']) == 1
    assert order_of(root) == [f'{name} {seed} 1 --select last --cfg-options x=1'
                              for seed in (0, 1) for name in ('a', 'broken', 'unfinished')]
    output = capsys.readouterr()
    assert '| a | 2 | 10.5 ± 0.7 |' in output.out and '| broken | 1 | 61.0 |' in output.out and '| road |' in output.out
    assert 'unfinished' not in output.out.split('| method |')[1]
    assert 'broken with seed 0' in output.err and '3 of 6 runs are not finished' in output.err
    assert '| a | 2 |' in (root / 'comparison.md').read_text()


def test_jobs_share_the_cores_and_keep_their_output(tool, tmp_path, monkeypatch):
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tool.os, 'sched_getaffinity', lambda pid: set(range(7)), raising=False)
    root = tmp_path / 'runs'
    assert tool.main(['a.py', 'broken.py', '--seeds', '0', '--root', str(root), '--jobs', '3']) == 1
    assert sorted(order_of(root)) == ['a 0 2', 'broken 0 2']
    assert 'no luck' in (root / 'broken' / 'seed_0.log').read_text()
    monkeypatch.setenv('OMP_NUM_THREADS', '5')  # said by the caller
    assert tool.environment(3)['OMP_NUM_THREADS'] == '5'


def test_files_are_updated_between_their_markers(tool, tmp_path, capsys):
    root, full, compact, chart = (tmp_path / name for name in ('runs', 'full.md', 'compact.md', 'chart.png'))
    full.write_text('<!-- results:m -->\n<!-- /results -->\n<!-- results:m_classes -->\n<!-- /results -->\n')
    compact.write_text('<!-- results:m -->\n<!-- /results -->\n')
    command = ['a.py', 'bb.py', '--seeds', '0', '--root', str(root), '--marker', 'm', '--per-class', '--chart', str(chart),
               '--update', str(full), '--update-compact', str(compact)]
    assert tool.main(command) == 0
    first = full.read_text()
    assert '| by seed |' in first and '| road |' in first and 'seed' not in compact.read_text()
    assert chart.stat().st_size > 1000
    (root / 'order.txt').unlink()
    assert tool.main([*command, '--table-only']) == 0
    assert not (root / 'order.txt').exists() and full.read_text() == first
    with pytest.raises(SystemExit, match='no finished run'):
        tool.main(['c.py', '--table-only', '--root', str(root)])


def test_bad_arguments_are_refused(tool, capsys):
    for arguments, message in ((['x/a.py', 'y/a.py'], 'two configs are called a'), (['a.py', '--jobs', '0'], '1 or more')):
        with pytest.raises(SystemExit):
            tool.parse_args(arguments)
        assert message in capsys.readouterr().err


def test_results_are_json(tool, tmp_path):
    tool.main(['a.py', '--seeds', '0', '--root', str(tmp_path / 'runs')])
    assert json.loads((tmp_path / 'runs' / 'a' / 'seed_0' / 'results.json').read_text())['final']


def test_a_recorded_run_is_not_repeated_while_its_config_stays(tool, tmp_path, capsys, repo_root):
    config = str(repo_root / 'configs' / 'source_only' / 'source_only_minidrive.py')
    records = tmp_path / 'records'
    command = [config, '--seeds', '0', '--records', str(records)]
    assert tool.main([*command, '--root', str(tmp_path / 'first')]) == 0
    assert json.loads((records / 'source_only_minidrive' / 'seed_0.json').read_text())['results']['seed'] == 0
    capsys.readouterr()

    assert tool.main([*command, '--root', str(tmp_path / 'elsewhere')]) == 0
    assert not (tmp_path / 'elsewhere' / 'order.txt').exists()
    assert '| source_only_minidrive | 1 | 210.0 |' in capsys.readouterr().out

    assert tool.main([*command, '--root', str(tmp_path / 'changed'), '--cfg-options', 'iters.train=7']) == 0
    assert len(order_of(tmp_path / 'changed')) == 1
