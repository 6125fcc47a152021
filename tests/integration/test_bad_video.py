# SPDX-License-Identifier: Apache-2.0
"""Broken videos through the command line: frames and flow that are missing, damaged or of another size, clips of one frame.

A refusal names the file and what to do, leaves nothing half-written, and after the repair the run ends as if nothing had been.
"""
import importlib.util
import json
import shutil
import sys

import cv2
import numpy as np
import pytest
from run_contents import differences, run_contents
from shrink import REPO
from small_video_run import small_video_config, write_config

from udatools.datasets.flow_io import write_flow
from udatools.engine.cli import build_config
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.journal import WorkDirLock

FRAMES, FLOW = 'data/cityscapes_vps/train/img', 'data/flow/cityscapes_vps/train'


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f'tools_{name}', REPO / f'tools/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def call(monkeypatch, capfd):
    """Function: a tool in this process; (exit status, stdout, stderr)."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        capfd.readouterr()
        tool = load_tool(name)
        status = tool.main(sys.argv[1:]) if name == 'compute_flow' else tool.main()
        return status, *capfd.readouterr()

    return run


def refused(outcome, *words):
    status, _, err = outcome
    assert status == 1 and 'Traceback' not in err, err
    text = err[err.index('error: '):]
    for word in words:
        assert str(word) in text, text


@pytest.fixture(scope='module')
def adversarial(uneven_video_root, tmp_path_factory):
    """Data, a config of VAT and a round of VST on them, and a run of it that has done VAT."""
    root = tmp_path_factory.mktemp('bad_video')
    shutil.copytree(uneven_video_root, root / 'data')
    cfg = small_video_config('video_da/vat_vst', root / 'data')
    cfg.stages, stages = cfg.stages[:2], cfg.stages
    cfg.work_dir = str(root / 'run')
    StagedRunner(cfg).train()
    shutil.rmtree(root / 'run' / 'final')
    cfg.stages = stages
    write_config(cfg, root / 'vst.py')
    return root


@pytest.fixture(scope='module')
def uninterrupted(adversarial, tmp_path_factory):
    """Contents of the run when nothing is broken."""
    folder = tmp_path_factory.mktemp('uninterrupted')
    shutil.copytree(adversarial / 'run', folder / 'run')
    load_and_train(adversarial / 'vst.py', folder / 'run')
    return run_contents(folder / 'run')


def load_and_train(config, work_dir):
    StagedRunner.from_cfg(build_config(str(config), work_dir=str(work_dir), resume='auto')).train()


@pytest.fixture
def broken(adversarial, tmp_path):
    """Function: makes a change to a file of the data, and takes it back after the test; gives a copy of the run."""
    shutil.copytree(adversarial / 'run', tmp_path / 'run')
    saved = {}

    def change(path, make):
        path = adversarial / path
        saved[path] = path.read_bytes()
        path.unlink()
        make(path, saved[path])
        return path

    def repair():
        for path, content in saved.items():
            path.unlink(missing_ok=True)
            path.write_bytes(content)

    change.repair, change.run, change.config = repair, tmp_path / 'run', adversarial / 'vst.py'
    yield change
    repair()


def cut(path, content):
    path.write_bytes(content[:-30])


def shrink_flow(path, content):
    write_flow(path, np.zeros((2, 16, 64), np.float32))


def shrink_image(path, content):
    assert cv2.imwrite(str(path), np.zeros((16, 32, 3), np.uint8))


def dangle(path, content):
    path.symlink_to('nowhere.png')


def no_file(path, content):
    pass


def some(folder, number, pattern='*.png'):
    return lambda root: sorted((root / folder).glob(pattern))[number].relative_to(root)


CASES = {
    'flow of another size': (some(f'{FLOW}/-1', 7), shrink_flow, ('is 64x16, but the frame 64x32', 'flow')),
    'flow cut off': (some(f'{FLOW}/+1', 2), cut, ('is no readable flow', 'truncated PNG', 'tools/compute_flow.py')),
    'flow missing': (some(f'{FLOW}/-1', 1), no_file, ('missing', 'tools/compute_flow.py')),
    'frame cut off': (some(FRAMES, 10), cut, ('truncated PNG', 'again')),
    'frame of another size': (some(FRAMES, 10), shrink_image, ('is 32x16', '64x32', 'one size')),
    'frame that leads nowhere': (some(FRAMES, 3), dangle, ('does not exist', 'complete')),
}


@pytest.mark.parametrize('case', CASES)
def test_refused_then_repaired(case, broken, adversarial, uninterrupted, call):
    """In the labelling of VST, in the middle of a clip."""
    find, make, words = CASES[case]
    path = broken(find(adversarial), make)
    refused(call('train', broken.config, '--work-dir', broken.run, '--resume'), path.stem, *words)
    labels = broken.run / 'pseudo_labels' / 'round_1'
    assert not (labels / 'done.json').exists() and not (labels / 'thresholds.json').exists()
    assert [str(path) for path in broken.run.rglob('*.tmp')] == [] and list(broken.run.glob('stages/02_*/*.pth')) == []
    broken.repair()
    assert call('train', broken.config, '--work-dir', broken.run, '--resume')[0] == 0
    assert differences(uninterrupted, run_contents(broken.run)) == []


def test_flow_that_only_the_training_reads(broken, adversarial, tmp_path, call):
    """Nothing is labelled before: the loader meets it."""
    cfg = small_video_config('davsn/davsn', adversarial / 'data', iterations=12)
    config = write_config(cfg, tmp_path / 'davsn.py')
    path = broken(some(f'{FLOW}/-1', 6)(adversarial), shrink_flow)
    refused(call('train', config, '--work-dir', tmp_path / 'davsn'), path, 'is 64x16', '64x32', 'tools/compute_flow.py')
    assert list((tmp_path / 'davsn').rglob('*.tmp')) == []


def test_flow_is_not_computed_from_broken_frames(broken, adversarial, tmp_path, tree, call):
    command = ['compute_flow', broken.config, '--estimator-options', 'preset=ultrafast', '--batch-size', 1, '--out']
    status, out, _ = call(*command, tmp_path / 'whole')
    assert status == 0 and '24 pairs in' in out and 'no flow starts from 1 of 16 frames' in out
    for make, words in ((cut, ('truncated PNG', 'again')), (dangle, ('does not exist', 'complete')),
                        (shrink_image, ('is 32x16', '64x32', 'one size'))):
        path = broken(some(FRAMES, 11)(adversarial), make)
        refused(call(*command, tmp_path / 'flow'), path, *words)
        assert list((tmp_path / 'flow').rglob('.*')) == []
        broken.repair()
    there = len(list((tmp_path / 'flow').rglob('*.png')))
    status, out, _ = call(*command, tmp_path / 'flow')
    assert status == 0 and f'{there} were there' in out and 0 < there < 24
    written = [{name: content for name, content in tree(tmp_path / name).items() if name != 'lock'} for name in ('whole', 'flow')]
    assert written[0] == written[1]


def test_two_processes_do_not_compute_into_one_folder(broken, tmp_path, call):
    with WorkDirLock(tmp_path / 'flow'):
        refused(call('compute_flow', broken.config, '--out', tmp_path / 'flow'), tmp_path / 'flow', 'in use by another', '--out')
    assert sorted(path.name for path in (tmp_path / 'flow').iterdir()) == ['lock']


def test_what_a_killed_process_left_is_cleared(broken, tmp_path, call):
    """And nothing else: --out may hold more than flow."""
    left = [tmp_path / 'flow' / name for name in ('.flow.json.1.ab.tmp', '-1/.a.png.1.ab.tmp', '+1/clip/.a.png.1.ab.tmp')]
    other = tmp_path / 'flow' / 'mine' / '.b.tmp'
    for path in (*left, other):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'half')
    assert call('compute_flow', broken.config, '--out', tmp_path / 'flow', '--estimator-options', 'preset=ultrafast')[0] == 0
    assert [path for path in left if path.exists()] == [] and other.exists()


def test_clips_of_one_frame(adversarial, tmp_path, call):
    """A clip of one frame among others is passed over; where every clip is such a one, tools and training say so at once."""
    for folder in ('img', 'labelmap'):
        files = sorted((adversarial / 'data/cityscapes_vps/train' / folder).glob('*.png'))
        for path in (files[i] for i in (0, 9, 15)) if folder == 'img' else files:
            (tmp_path / 'data/cityscapes_vps/train' / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / 'data/cityscapes_vps/train' / folder / path.name)
    shutil.copytree(adversarial / 'data/cityscapes_vps/val', tmp_path / 'data/cityscapes_vps/val')
    shutil.copytree(adversarial / 'data/viper', tmp_path / 'data/viper')
    cfg = small_video_config('video_da/vat_vst', tmp_path / 'data')
    config = write_config(cfg, tmp_path / 'vst.py')
    outcome = call('compute_flow', config, '--out', tmp_path / 'flow')
    refused(outcome, 'no frame of 3 has a neighbour', 'every clip has one frame only')
    assert not (tmp_path / 'flow').exists()
    refused(call('train', config, '--work-dir', tmp_path / 'run'), 'no frame of 3 has a neighbour at -1', 'frame_offsets=(0, )')
    assert not (tmp_path / 'run/journal.json').exists()
    status, out, err = call('train', adversarial / 'vst.py', '--work-dir', tmp_path / 'run')
    assert status == 0, err
    thresholds = json.loads((tmp_path / 'run/pseudo_labels/round_1/thresholds.json').read_text())
    assert len(thresholds['clips']) == 3  # of 9, 6 and 1 frames
