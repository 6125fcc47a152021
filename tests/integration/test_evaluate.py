# SPDX-License-Identifier: Apache-2.0
"""``tools/test.py`` and the multi-process scripts on what a run leaves behind."""
import json
import os
import subprocess
import sys

import pytest
from mmengine.config import Config
from shrink import REPO, shrink

from udatools.engine.cli import evaluate
from udatools.engine.publish import publish_model
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.checkpoints import CheckpointError
from udatools.engine.runner.stages import StageConfig


@pytest.fixture(scope='module')
def run(tiny_data, tmp_path_factory):
    """A finished AdaptSegNet run: work directory, training config, results."""
    work_dir = tmp_path_factory.mktemp('run')
    cfg = shrink(REPO / 'configs' / 'adaptsegnet' / 'adaptsegnet_minidrive.py', data=tiny_data, work_dir=work_dir)
    results = StagedRunner(cfg).train()
    path = work_dir / 'training_config.py'
    StageConfig(cfg.to_dict()).dump(str(path))
    return work_dir, path, results


def test_exported_and_training_checkpoints_score_as_the_run_did(run, tmp_path):
    work_dir, path, results = run
    record = results['stages'][-1]
    plain = evaluate(str(work_dir / 'final' / 'config.py'), str(work_dir / 'final' / 'model.pth'), work_dir=str(tmp_path / 'a'))
    stage = evaluate(str(path), str(work_dir / record['checkpoint']), work_dir=str(tmp_path / 'b'))
    assert plain['mIoU'] == pytest.approx(record['metrics']['mIoU'], abs=0.05)  # other convolutions, the same sums
    assert stage['mIoU'] == pytest.approx(record['metrics']['mIoU'], abs=1e-6)
    assert json.loads((tmp_path / 'a' / 'metrics.json').read_text())['mIoU'] == pytest.approx(plain['mIoU'])


def test_published_files_score_as_the_run_did(run, tmp_path):
    work_dir, _, results = run
    done = publish_model(work_dir / results['stages'][-1]['checkpoint'], tmp_path, 'net')
    dataset = Config.fromfile(work_dir / 'final' / 'config.py').test_dataloader.dataset
    options = {'test_dataloader.dataset.data_root': dataset.data_root}
    for checkpoint in ([str(done.safetensors)], [str(done.safetensors), str(done.pth)]):  # and the mean of twice the same
        metrics = evaluate(str(done.config), checkpoint, work_dir=str(tmp_path / 'test'), options=options)
        assert metrics['mIoU'] == pytest.approx(results['stages'][-1]['metrics']['mIoU'], abs=0.05)


def test_config_and_checkpoint_of_different_kinds_are_refused(run, tmp_path):
    work_dir, path, _ = run
    with pytest.raises(CheckpointError, match='do not belong together'):
        evaluate(str(path), str(work_dir / 'final' / 'model.pth'), work_dir=str(tmp_path))


@pytest.mark.slow
@pytest.mark.distributed
def test_dist_scripts_train_and_test_on_two_processes(tiny_data, tmp_path):
    cfg = shrink(REPO / 'configs' / 'adaptsegnet' / 'adaptsegnet_minidrive.py', data=tiny_data, work_dir=tmp_path / 'run')
    StageConfig(cfg.to_dict()).dump(str(tmp_path / 'cfg.py'))
    env = dict(os.environ, PYTHON=sys.executable, PORT='29617', OMP_NUM_THREADS='1')
    script = [str(REPO / 'tools' / 'dist_train.sh'), str(tmp_path / 'cfg.py'), '2', '--work-dir', str(tmp_path / 'run')]
    done = subprocess.run(['bash', *script], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    final = tmp_path / 'run' / 'final'
    script = [str(REPO / 'tools' / 'dist_test.sh'), str(final / 'config.py'), str(final / 'model.pth'), '2']
    done = subprocess.run(['bash', *script], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    scored = json.loads((final / 'test' / 'metrics.json').read_text())
    assert scored['mIoU'] == pytest.approx(results['stages'][-1]['metrics']['mIoU'], abs=0.05)
