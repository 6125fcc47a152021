# SPDX-License-Identifier: Apache-2.0
"""Two gloo ranks through ``tools/train.py --launcher pytorch`` against one process with the same global batch.

The network runs with ``bn_mode='eval'``: in training mode plain batch norm takes its statistics from a rank's own
images, so two ranks with one image each differ from one process with two by construction (SyncBN, GPU only, is the
remedy). Dropout of the pixel selector differs between ranks as well, so labels and requests, which have to agree
*exactly*, are made anew by two ranks from the checkpoints of a run in one process.
"""
import json
import os
import shutil

import numpy as np
import pytest
import torch
from launch_ranks import launch_ranks
from run_contents import checkpoint_contents, differences, folder_contents
from shrink import REPO, shrink

from udatools.active.ledger import LabelLedger
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.journal import Journal, WorkDirLock
from udatools.engine.runner.stages import StageConfig

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


def small(name, minidrive_root, **kwargs):
    cfg = shrink(REPO / f'configs/{name}.py', work_dir='unused',
                 data={'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'}, **kwargs)
    cfg.segmentor.backbone.bn_mode = 'eval'
    cfg.report = False
    return cfg


def write(cfg, path):
    StageConfig(cfg.to_dict()).dump(str(path))
    return path


@pytest.fixture(scope='module')
def uneven_labels(minidrive_root, tmp_path_factory):
    """Source data whose label files differ wildly in how many pixels are labelled: nearly all, or a few."""
    root = tmp_path_factory.mktemp('uneven') / 'gta5'
    shutil.copytree(minidrive_root / 'gta5', root)
    import cv2
    from PIL import Image
    counts = []
    for number, path in enumerate(sorted((root / 'labels').rglob('*.png'))):
        image = Image.open(path)
        label = np.array(image)
        if number % 2:
            label[:, 3:] = 0  # unlabelled
        if image.mode == 'P':
            thinned = Image.fromarray(label, mode='P')
            thinned.putpalette(image.getpalette())
            thinned.save(path)
        else:
            cv2.imwrite(str(path), label)
        counts.append(int((label != 0).sum() if label.ndim == 2 else 0))
    assert max(counts) > 5 * min(counts)
    return root


PROBE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import udatools
from mmengine.model import MMDistributedDataParallel
from udatools.engine.runner.stage_runner import StageRunner
train = StageRunner.train
def spy(self):
    assert type(self.model) is MMDistributedDataParallel, type(self.model)
    assert self.model.find_unused_parameters is False
    print('WRAPPED', flush=True)
    return train(self)
StageRunner.train = spy
sys.path.insert(0, sys.argv[0].rpartition('/')[0])
"""


def test_same_parameters_and_metrics_as_one_process(minidrive_root, uneven_labels, tmp_path):
    cfg = small('adaptsegnet/adaptsegnet_minidrive', minidrive_root, iterations=6, items=None)
    cfg.source_train.data_root = str(uneven_labels)
    cfg.train_dataloader.dataset.source.data_root = str(uneven_labels)
    cfg.train_dataloader.batch_size = 2
    cfg.adv_weights = dict(main=0.1)  # large enough to see whether the discriminator's gradient is right
    one, two = tmp_path / 'one', tmp_path / 'two'
    cfg.work_dir = str(one)
    StagedRunner(cfg).train()
    cfg.train_dataloader.batch_size = 1
    probe = tmp_path / 'probe.py'
    probe.write_text(f'import sys\nsys.argv.insert(1, {str(REPO)!r})\n{PROBE}\nsys.path.insert(0, {str(REPO / "tools")!r})\n'
                     'import train as script\nsys.exit(script.main())\n')
    codes, outputs = launch_ranks(write(cfg, tmp_path / 'cfg.py'), '--work-dir', two, script=probe)
    assert codes == [0, 0], outputs
    assert all('WRAPPED' in output for output in outputs)
    states = [torch.load(folder / 'stages/00_train/iter_6.pth', weights_only=False)['state_dict'] for folder in (one, two)]
    first = torch.load(one / 'stages/00_train/iter_5.pth', weights_only=False)['state_dict']
    assert any(name.startswith('objectives.') for name in states[0])
    assert states[0].keys() == states[1].keys()
    for name, expected in states[0].items():
        torch.testing.assert_close(states[1][name], expected, rtol=1e-3, atol=2e-5, msg=lambda text, name=name: f'{name}: {text}')
    moved = [name for name in first if not torch.equal(first[name], states[0][name])]
    assert any(name.startswith('objectives.') for name in moved) and any('decode_head' in name for name in moved)


def test_a_round_of_labels_is_exactly_the_same(minidrive_root, tmp_path):
    cfg = small('labor/spl_minidrive', minidrive_root, iterations=2, items=None)
    cfg.stages[-1].repeat = 1
    cfg.labor.rounds = 1
    cfg.labor.budget.portion = 0.1
    cfg.iters.source = 30  # confident enough for pseudo-labels to be kept
    one, two = tmp_path / 'one', tmp_path / 'two'
    cfg.work_dir = str(one)
    StagedRunner(cfg).train()
    # The same checkpoints, everything that is made from them gone.
    made = ('pseudo_labels', 'requests', 'labels', 'ledger.sqlite*', '02_*', '04_*')
    shutil.copytree(one, two, ignore=shutil.ignore_patterns(*made))
    journal = Journal(two / 'journal.json')
    for name in ('round1_self_training', 'round1_main'):
        del journal.content['stages'][name]
    journal.write()
    codes, outputs = launch_ranks(write(cfg, tmp_path / 'cfg.py'), '--work-dir', two, '--resume')
    assert codes == [0, 0], outputs
    expected, actual = folder_contents(one), folder_contents(two)
    coverage = json.loads((one / 'pseudo_labels/round_1/coverage.json').read_text())
    assert coverage['kept_pixels'] > 0
    assert len(expected) > 12 and differences(expected, actual) == []
    digests = []
    for folder in (one, two):
        with LabelLedger(folder / 'ledger.sqlite') as ledger:
            digests.append((ledger.content_digest(), ledger.spent()))
    assert digests[0] == digests[1] and digests[0][1]['pixels'] > 0
    # Metrics of one checkpoint, by two ranks and by one.
    last = one / json.loads((one / 'journal.json').read_text())['stages']['warmup']['checkpoint']
    shutil.rmtree(two / 'stages/01_warmup')
    shutil.copytree(one / 'stages/01_warmup', two / 'stages/01_warmup')
    journal = Journal(two / 'journal.json')
    metrics = journal.stage('warmup')['metrics']
    journal.update('warmup', status='running', metrics=None)
    codes, outputs = launch_ranks(tmp_path / 'cfg.py', '--work-dir', two, '--resume')
    assert codes == [0, 0], outputs
    assert Journal(two / 'journal.json').stage('warmup')['metrics'] == metrics
    again = two / Journal(two / 'journal.json').stage('warmup')['checkpoint']
    assert checkpoint_contents(again) == checkpoint_contents(last)


def test_easy_and_hard_images_are_exactly_the_same(minidrive_root, tmp_path):
    """TPLD's second phase and what it starts from, made anew by two ranks from the checkpoints of one process."""
    cfg = small('tpld/tpld_minidrive', minidrive_root, iterations=2, items=None)
    cfg.stages[1].repeat = 1
    cfg.iters.source_start = 20  # confident enough for pseudo-labels to be kept
    one, two = tmp_path / 'one', tmp_path / 'two'
    cfg.work_dir = str(one)
    StagedRunner(cfg).train()
    shutil.copytree(one, two, ignore=shutil.ignore_patterns('pseudo_labels', '02_*'))
    journal = Journal(two / 'journal.json')
    del journal.content['stages']['round1_second_phase']
    journal.write()
    cfg.train_dataloader.batch_size = 1
    config = write(cfg, tmp_path / 'cfg.py')
    journal.content['stages'] = {name: {key: value for key, value in record.items() if key != 'config'}
                                 for name, record in journal.content['stages'].items()}  # of another batch size
    journal.write()
    codes, outputs = launch_ranks(config, '--work-dir', two, '--resume')
    assert codes == [0, 0], outputs
    assert all('images: 1 easy, 3 hard' in output for output in outputs[:1])
    again = {name: digest for name, digest in folder_contents(one).items() if 'second_phase' in name}
    assert len(again) == 12 and differences(again, folder_contents(two)) == []
    assert json.loads((one / 'pseudo_labels/second_phase_1/coverage.json').read_text())['kept_pixels'] > 0
    states = [torch.load(folder / 'stages/02_round1_second_phase/iter_2.pth', weights_only=False)['state_dict']
              for folder in (one, two)]
    assert any(name.startswith('objectives.intra') for name in states[0])
    for name, expected in states[0].items():
        torch.testing.assert_close(states[1][name], expected, rtol=1e-3, atol=2e-5, msg=lambda text, name=name: f'{name}: {text}')


def test_a_refusal_reaches_all_ranks(minidrive_root, tmp_path):
    cfg = write(small('adaptsegnet/adaptsegnet_minidrive', minidrive_root, iterations=1, items=2), tmp_path / 'cfg.py')
    with WorkDirLock(tmp_path / 'run'):
        codes, outputs = launch_ranks(cfg, '--work-dir', tmp_path / 'run', timeout=60)
    assert codes == [1, 1]
    for output in outputs:
        assert 'is in use by another run' in output and str(os.getpid()) in output and 'Traceback' not in output
    # A run that failed on rank 0 alone, at the very end: nobody waits for it.
    (tmp_path / 'blocked').mkdir()
    (tmp_path / 'blocked' / 'final').write_text('a file where a folder should be')
    codes, outputs = launch_ranks(cfg, '--work-dir', tmp_path / 'blocked', timeout=60)
    assert codes == [1, 1]
    assert all('final' in output.splitlines()[-1] or 'final' in output for output in outputs)
