# SPDX-License-Identifier: Apache-2.0
"""Bad input through ``tools/train.py``: exit status 1 and one paragraph that names the file and the remedy."""
import errno
import importlib.util
import os
import shutil
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from shrink import REPO, shrink

from udatools.engine.runner.journal import WorkDirLock
from udatools.engine.runner.stages import StageConfig


def load_script(name):
    spec = importlib.util.spec_from_file_location(f'tools_{name}', REPO / f'tools/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def train(tmp_path, monkeypatch, capfd):
    """Runs the script in this process on a config object or path; (exit status, stderr)."""
    script = load_script('train')

    def run(cfg, *arguments, work_dir='run'):
        path = cfg
        if not isinstance(cfg, str):
            path = tmp_path / 'cfg.py'
            StageConfig(cfg.to_dict()).dump(str(path))
        monkeypatch.setattr(sys, 'argv', ['train.py', str(path), '--work-dir', str(tmp_path / work_dir), *map(str, arguments)])
        capfd.readouterr()
        status = script.main()
        return status, capfd.readouterr()

    return run


@pytest.fixture
def data(minidrive_root, tmp_path):
    """A writable copy of the data, by dataset type."""
    for name in ('gta5', 'cityscapes'):
        shutil.copytree(minidrive_root / name, tmp_path / 'data' / name)
    return {'GTA5Domain': tmp_path / 'data' / 'gta5', 'CityscapesDomain': tmp_path / 'data' / 'cityscapes'}


@pytest.fixture
def config(data):

    def make(name='adaptsegnet/adaptsegnet_minidrive', **kwargs):
        return shrink(REPO / f'configs/{name}.py', data=data, work_dir='unused', **kwargs)

    return make


def refused(outcome, *words):
    """The one paragraph of a refusal."""
    status, output = outcome
    assert status == 1
    assert 'Traceback' not in output.err and 'Traceback' not in output.out, output.err
    paragraphs = [line for line in output.err.splitlines() if line.startswith('error: ')]
    assert len(paragraphs) == 1, output.err
    text = output.err[output.err.index('error: '):]
    for word in words:
        assert str(word) in text, text
    return text


def some_file(folder, pattern='*.png'):
    return sorted(folder.rglob(pattern))[0]


def test_unknown_config(train):
    refused(train('configs/labor/no_such.py'), 'configs/labor/no_such.py', 'does not exist', 'configs/')


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has a GPU')
def test_amp_without_a_gpu(train, config):
    refused(train(config(), '--amp'), '--amp bfloat16', 'needs a GPU', 'leave --amp out')


def test_resume_of_nothing(train, config, tmp_path):
    refused(train(config(), '--resume', tmp_path / 'nowhere'), tmp_path / 'nowhere', 'no such work directory')


def test_missing_data_root(train, config, tmp_path):
    shutil.move(tmp_path / 'data/cityscapes', tmp_path / 'data/elsewhere')
    refused(train(config()), tmp_path / 'data/cityscapes', 'does not exist', 'leftImg8bit', 'data_root')


def test_wrong_layout(train, config, data):
    shutil.move(data['GTA5Domain'] / 'labels', data['GTA5Domain'] / 'annotations')
    refused(train(config()), data['GTA5Domain'] / 'labels', 'Expected layout', 'images')


def test_empty_target_folder(train, config, data):
    folder = data['CityscapesDomain'] / 'leftImg8bit' / 'train'
    shutil.rmtree(folder)
    folder.mkdir()
    refused(train(config()), 'found no image', folder, 'Expected layout')


@pytest.mark.parametrize('arguments', [(), ('--dry-run', )])
def test_class_mismatch(arguments, train, config):
    cfg = config()
    cfg.train_dataloader.dataset.target.classes = 'synthia16'
    status, output = train(cfg, *arguments)
    assert status == 1 and 'Traceback' not in output.err
    for word in ('source has 19 classes, target 16', 'terrain', 'truck', 'train', "choose classes='synthia16'"):
        assert word in output.err


@pytest.mark.parametrize('workers', [0, 1])
def test_truncated_image(workers, train, config, data):
    for path in (data['GTA5Domain'] / 'images').rglob('*.png'):
        path.write_bytes(path.read_bytes()[:200])
    cfg = config()
    cfg.train_dataloader.num_workers = workers
    text = refused(train(cfg), data['GTA5Domain'] / 'images', 'truncated PNG', '200 bytes', 'again')
    assert 'DataLoader worker' not in text


def test_label_ids_outside_the_map(train, config, data):
    for path in (data['CityscapesDomain'] / 'gtFine/val').rglob('*.png'):
        cv2.imwrite(str(path), np.full((32, 64), 77, np.uint8))
    refused(train(config()), data['CityscapesDomain'] / 'gtFine/val', '[77]', 'label map does not define', 'classes')


def test_label_size_mismatch(train, config, data):
    for path in (data['CityscapesDomain'] / 'gtFine/val').rglob('*.png'):
        cv2.imwrite(str(path), np.zeros((16, 64), np.uint8))
    refused(train(config()), 'is 64x32', 'is 64x16', data['CityscapesDomain'] / 'gtFine/val', 'size_mismatch')


def test_no_label_map_for_the_class_set(train, config):
    cfg = config()
    cfg.train_dataloader.dataset.source.classes = 'no_such_set'
    refused(train(cfg), 'no_such_set', 'cityscapes19')


def test_weights_that_cannot_be_had(train, config, tmp_path, monkeypatch):
    with socket.socket() as probe:  # a port that was free a moment ago: nobody listens
        probe.bind(('127.0.0.1', 0))
        mirror = f'http://127.0.0.1:{probe.getsockname()[1]}'
    monkeypatch.setenv('UDATOOLS_WEIGHTS_MIRROR', mirror)
    monkeypatch.setenv('UDATOOLS_WEIGHTS', str(tmp_path / 'weights'))
    cfg = config()
    cfg.segmentor.backbone.weights = 'torchvision://resnet18'
    refused(train(cfg), 'resnet18-f37072fd.pth', mirror, 'UDATOOLS_WEIGHTS', 'scratch')
    assert not list((tmp_path / 'weights').glob('*.pth'))
    cfg.segmentor.backbone.weights = str(tmp_path / 'mine.pth')
    refused(train(cfg, work_dir='other'), tmp_path / 'mine.pth', 'do not exist', 'scratch')


def test_work_dir_in_use(train, config, tmp_path):
    with WorkDirLock(tmp_path / 'run'):
        refused(train(config()), tmp_path / 'run', f'process {os.getpid()}', '--work-dir')


def test_work_dir_with_a_run_and_a_changed_config(train, config, tmp_path):
    cfg = config(iterations=1)
    assert train(cfg)[0] == 0
    before = (tmp_path / 'run/journal.json').read_bytes()
    refused(train(cfg), tmp_path / 'run', '--resume', '--work-dir')
    refused(train(cfg, '--resume', '--cfg-options', 'lr=0.5'), 'stage train', tmp_path / 'run', '--work-dir')
    refused(train(cfg, '--resume', '--seed', '9'), 'stage train')
    assert (tmp_path / 'run/journal.json').read_bytes() == before
    assert train(cfg, '--resume')[0] == 0


@pytest.mark.parametrize('part', ['pseudo_labels/round_1/labels', 'requests/round_1/masks', 'labels'])
def test_full_disk_while_labels_are_written(part, train, config, tmp_path, monkeypatch):
    cfg = config('labor/spl_minidrive', iterations=3, items=6)  # so that two are asked about, whatever the first weights
    cfg.stages[-1].repeat = cfg.labor.rounds = 1
    fsync, done = os.fsync, []

    def full(fd):
        if f'run/{part}/' in os.readlink(f'/proc/self/fd/{fd}'):
            done.append(fd)
            if len(done) > 1:  # the first file still fits
                raise OSError(errno.ENOSPC, 'No space left on device')
        fsync(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full)
        refused(train(cfg), tmp_path / 'run' / part, 'the disk is full', '--resume')
    assert list((tmp_path / 'run' / part).rglob('*.tmp')) == []
    assert train(cfg, '--resume')[0] == 0  # nothing lost


def test_read_only_work_dir(train, config, tmp_path, monkeypatch):
    """Permissions do not stop the root user, so the error is made where the system would."""
    import builtins
    real = builtins.open

    def read_only(file, mode='r', *args, **kwargs):
        if str(file).startswith(str(tmp_path / 'run')) and set(mode) & set('wa+x'):
            raise OSError(errno.EROFS, 'Read-only file system', str(file))
        return real(file, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, 'open', read_only)
        refused(train(config()), tmp_path / 'run', 'Read-only file system')


def test_a_file_in_the_place_of_the_work_dir(train, config, tmp_path):
    (tmp_path / 'run').write_text('')
    refused(train(config()), tmp_path / 'run')


def test_an_unexpected_error_keeps_its_traceback(train, config):
    cfg = config()
    cfg.segmentor.decode_head.in_channels = 7  # torch complains
    status, output = train(cfg)
    assert status == 1 and 'Traceback' in output.err and 'error: ' in output.err


def test_dry_run(train, config, tmp_path):
    cfg = config('labor/spl_minidrive', iterations=2, items=3)
    status, output = train(cfg, '--dry-run')
    assert status == 0 and not (tmp_path / 'run').exists()
    lines = output.out.splitlines()
    stages = [line for line in lines if line.startswith('stage ')]
    assert len(stages) == 11 and 'round3_main' in stages[-1] and '2 iterations' in stages[-1] and 'M parameters' in stages[-1]
    for name in ('source', 'target'):
        assert any(line.startswith(f'{name}: ') and ': 3 images, ' in line for line in lines)
    assert 'checkpoint_interval' in output.out  # the merged config
    shutil.move(tmp_path / 'data/cityscapes/leftImg8bit/val', tmp_path / 'data/cityscapes/leftImg8bit/hidden')
    status, output = train(cfg, '--dry-run')
    assert status == 1
    assert 'NOT READY - validation' in output.err and 'leftImg8bit/val' in output.err and 'Traceback' not in output.err


def test_dry_run_reads_the_counts_of_rare_class_sampling(train, config, tmp_path):
    cfg = config('daformer/daformer_minidrive', iterations=2, items=3)
    cfg.rare_classes.statistics = str(tmp_path / 'counts.json')
    status, output = train(cfg, '--dry-run')
    assert status == 1 and 'NOT READY - source' in output.err and 'counts.json' in output.err
    cfg.rare_classes.statistics = None
    status, output = train(cfg, '--dry-run')
    assert status == 0 and 'rare-class sampling' not in output.out


@pytest.mark.slow
def test_as_a_command(config, tmp_path):
    """The same from a shell: nothing but the paragraph on stderr."""
    shutil.rmtree(tmp_path / 'data/gta5')
    StageConfig(config().to_dict()).dump(str(tmp_path / 'cfg.py'))
    process = subprocess.run([sys.executable, str(REPO / 'tools/train.py'), str(tmp_path / 'cfg.py'), '--work-dir',
                              str(tmp_path / 'run')], capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 1
    assert process.stderr.startswith('error: ') and 'gta5' in process.stderr and 'Traceback' not in process.stderr
