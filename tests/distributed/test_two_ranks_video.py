# SPDX-License-Identifier: Apache-2.0
"""Video on two gloo ranks against one process: VAT's parameters; labels, VST and metrics from one checkpoint; flow files.

As in ``test_two_ranks.py`` the network runs with ``bn_mode='eval'``, and what has to agree *exactly* is made anew by two ranks
from the checkpoints of a run in one process. Clips are of 9, 6 and 1 frames, so that ranks have unequal shares.
"""
import copy
import json
import os
import shutil

import pytest
import torch
from launch_ranks import launch_ranks
from mmengine.model import MMDistributedDataParallel
from run_contents import checkpoint_contents, differences, folder_contents
from small_video_run import small_video_config, write_config

from udatools.engine import resumable
from udatools.engine.flow import compute_flow
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.flow_plan import find_pairs, task_of_class
from udatools.engine.runner.journal import Journal
from udatools.engine.runner.stage_runner import StageRunner
from udatools.models.flow import DISFlow
from udatools.registry import DATASETS

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


@pytest.fixture(scope='module')
def alone(uneven_video_root, tmp_path_factory):
    """VAT and a round of VST in one process: config, work directory."""
    cfg = small_video_config('video_da/vat_vst', uneven_video_root, iterations=3)
    cfg.segmentor.backbone.bn_mode = 'eval'
    cfg.adv_weights = dict(main=0.1)  # large enough to see whether the discriminator's gradient is right
    cfg.work_dir = str(tmp_path_factory.mktemp('alone'))
    StagedRunner(copy.deepcopy(cfg)).train()
    return cfg, tmp_path_factory.getbasetemp() / cfg.work_dir


@pytest.fixture
def rewound(alone, tmp_path):
    """Function: a copy of the run as it was before a stage, and a config of half the batch for each of two ranks to go on."""

    def make(first, *made):
        cfg, work_dir = copy.deepcopy(alone[0]), tmp_path / 'two'
        shutil.copytree(alone[1], work_dir, ignore=shutil.ignore_patterns('final', *made))
        journal = Journal(work_dir / 'journal.json')
        names = list(journal.content['stages'])
        for name in names[names.index(first):]:
            del journal.content['stages'][name]
        for record in journal.content['stages'].values():
            del record['config']  # that of another batch size
        journal.write()
        cfg.train_dataloader.batch_size = 1
        cfg.launcher, cfg.work_dir = 'pytorch', str(work_dir)
        return cfg, work_dir

    return make


def go_on(run_ranks, cfg):
    """Two ranks that resume."""

    def work(rank):
        os.environ['LOCAL_RANK'] = str(rank)
        train, wrapped = StageRunner.train, []

        def spied(self):
            wrapped.append(type(self.model))
            return train(self)

        StageRunner.train = spied  # in a process of its own
        StagedRunner(cfg, resume=True).train()
        return set(wrapped) == {MMDistributedDataParallel}

    assert run_ranks(work) == [(True, None), (True, None)]


def assert_same_parameters(actual, expected, start):
    """Of three checkpoints; and the training between the last two moved what it should."""
    actual, expected, start = (torch.load(path, weights_only=False)['state_dict'] for path in (actual, expected, start))
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-3, atol=2e-5, msg=lambda text, name=name: f'{name}: {text}')
    return {name for name, value in expected.items() if name not in start or not torch.equal(start[name], value)}


def test_same_parameters_of_vat_as_one_process(alone, rewound, run_ranks):
    cfg, two = rewound('warmup', 'pseudo_labels', '01_*', '02_*')
    cfg.stages = cfg.stages[:2]
    go_on(run_ranks, cfg)
    checkpoints = [folder / 'stages/01_warmup/iter_3.pth' for folder in (two, alone[1])]
    moved = assert_same_parameters(*checkpoints, alone[1] / 'stages/01_warmup/iter_2.pth')
    assert any(name.startswith('objectives.adversarial') for name in moved) and any('decode_head' in name for name in moved)


def test_same_labels_and_metrics_from_one_checkpoint(alone, rewound, run_ranks):
    cfg, two = rewound('round1_main', 'pseudo_labels', '02_*')
    metrics = Journal(alone[1] / 'journal.json').stage('warmup')['metrics']
    assert all(metrics[name] > 0 for name in ('mIoU', 'VPQs', 'VPQs_2', 'mTC', 'TC_visible'))
    Journal(two / 'journal.json').update('warmup', status='running', metrics=None)  # it only has to be scored
    go_on(run_ranks, cfg)
    assert Journal(two / 'journal.json').stage('warmup')['metrics'] == metrics
    start = [checkpoint_contents(folder / 'stages/01_warmup/iter_3.pth') for folder in (alone[1], two)]
    assert start[0] == start[1]
    expected = folder_contents(alone[1])
    assert len(expected) == 2 * 16 + 3 and differences(expected, folder_contents(two)) == []
    kept = json.loads((alone[1] / 'pseudo_labels/round_1/coverage.json').read_text())['kept_share']
    assert 0.01 < kept < 0.5
    # And the round that trains on these labels.
    checkpoints = [folder / 'stages/02_round1_main/iter_3.pth' for folder in (two, alone[1])]
    assert any('decode_head' in name for name in
               assert_same_parameters(*checkpoints, alone[1] / 'stages/02_round1_main/iter_2.pth'))


def test_the_flow_tool_writes_the_same_files(uneven_video_root, tmp_path, tree):
    config = write_config(small_video_config('video_da/vat_vst', uneven_video_root), tmp_path / 'vst.py')
    command = [config, '--offsets', -2, -1, 1, 2, '--estimator-options', 'preset=ultrafast', '--out']
    codes, outputs = launch_ranks(*command, tmp_path / 'two', script='tools/compute_flow.py')
    assert codes == [0, 0], outputs
    files = tree(tmp_path / 'two')
    pngs = [name for name in files if name.endswith('.png')]
    assert len(pngs) > resumable.BLOCK  # so both had a share
    assert f'{len(pngs)} pairs in' in outputs[0] and f'{len(pngs)} computed' in outputs[0] and 'pairs in' not in outputs[1]
    dataset = DATASETS.build(task_of_class('CityscapesVPSDomain', str(uneven_video_root / 'cityscapes_vps'), 'train').dataset)
    pairs = find_pairs(dataset, [-2, -1, 1, 2])
    compute_flow(pairs, DISFlow('ultrafast'), tmp_path / 'one')
    assert {name: files[name] for name in pngs} == tree(tmp_path / 'one')


def test_an_image_that_fails_one_rank_ends_all_of_them(uneven_video_root, tmp_path, tree, run_ranks, monkeypatch):
    monkeypatch.setattr(resumable, 'BLOCK', 2)
    shutil.copytree(uneven_video_root / 'cityscapes_vps' / 'train', tmp_path / 'data' / 'train')
    dataset = DATASETS.build(task_of_class('CityscapesVPSDomain', str(tmp_path / 'data'), 'train').dataset)
    pairs = find_pairs(dataset, [-1])[:4]
    compute_flow(pairs, DISFlow('ultrafast'), tmp_path / 'one')
    image = tmp_path / 'data' / 'train' / 'img' / f'{pairs[3].key}.png'
    content = image.read_bytes()
    image.write_bytes(content[:-40])

    def work(rank):
        return compute_flow(pairs, DISFlow('ultrafast'), tmp_path / 'two', batch_size=1)

    errors = [error for _, error in run_ranks(work)]
    assert f'ValueError: {image} is a truncated PNG' in errors[1]
    assert errors[0].splitlines()[-1].startswith('RuntimeError: another rank ended before its share of the flow was done')
    image.write_bytes(content)
    assert len(tree(tmp_path / 'two')) == 3 and [error for _, error in run_ranks(work)] == [None, None]
    assert tree(tmp_path / 'two') == tree(tmp_path / 'one')
