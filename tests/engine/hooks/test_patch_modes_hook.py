# SPDX-License-Identifier: Apache-2.0
"""The patch-modes hook: right centres, idempotent, redone for other inputs, the same on all ranks."""
import logging
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from udatools.models.objectives import PatchAlignment
from udatools.ops.clustering import kmeans, patch_label_histograms
from udatools.registry import DATASETS, HOOKS

CLASSES = 19


@pytest.fixture
def dataset(minidrive_root):
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield dict(type='GTA5Domain', data_root=str(minidrive_root / 'gta5'), split='train', classes='cityscapes19',
                   pipeline=[dict(type='LoadDomainImage')])


def build(dataset, out_dir, **kwargs):
    return HOOKS.build(dict(type='PatchModesHook', **{'dataset': dataset, 'size': (32, 64), 'out_dir': str(out_dir), **kwargs}))


def runner(**kwargs):
    discriminator = dict(type='PatchDiscriminator', in_channels=6)
    objective = PatchAlignment(discriminator, **{'num_classes': CLASSES, 'num_clusters': 6, 'patch_size': (8, 16), **kwargs})
    return SimpleNamespace(model=SimpleNamespace(objectives={'patch': objective}), logger=logging.getLogger('patch'))


def centres(run):
    return run.model.objectives['patch'].centres


def labels(dataset):
    built = DATASETS.build(dict(dataset, pipeline=[]))
    return [built.load_label(key) for key in built.keys]


def test_centres_are_those_of_all_labelled_patches(dataset, tmp_path):
    run = runner()
    build(dataset, tmp_path, seed=3).before_train(run)
    stacked = torch.stack([torch.from_numpy(label).long() for label in labels(dataset)])
    histograms, labelled = patch_label_histograms(stacked, CLASSES, (4, 4))
    assert torch.equal(centres(run), kmeans(histograms[labelled], 6, seed=3))
    assert run.model.objectives['patch'].has_centres


def test_labels_are_resized_to_the_training_size_without_mixing_classes(dataset, tmp_path):
    run = runner()
    build(dataset, tmp_path, size=(16, 32)).before_train(run)
    small = [cv2.resize(label, (32, 16), interpolation=cv2.INTER_NEAREST) for label in labels(dataset)]
    histograms, labelled = patch_label_histograms(torch.from_numpy(np.stack(small)).long(), CLASSES, (2, 2))
    assert torch.equal(centres(run), kmeans(histograms[labelled], 6))


def test_a_rerun_reads_the_file_and_other_inputs_redo(dataset, tmp_path, monkeypatch):
    first, second = runner(), runner()
    build(dataset, tmp_path).before_train(first)
    before = (tmp_path / 'patch_modes.npz').read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr('udatools.engine.hooks.patch_modes_hook.kmeans', lambda *a, **k: 1 / 0)
        build(dataset, tmp_path).before_train(second)
        for changed in (dict(seed=1), dict(max_images=2), dict(dataset=dict(dataset, max_items=3)), dict(size=(16, 32))):
            with pytest.raises(ZeroDivisionError):
                build(**{'dataset': dataset, 'out_dir': tmp_path} | changed).before_train(runner())
        with pytest.raises(ZeroDivisionError):
            build(dataset, tmp_path).before_train(runner(patch_size=(16, 16)))
    assert torch.equal(centres(first), centres(second)) and (tmp_path / 'patch_modes.npz').read_bytes() == before


@pytest.mark.parametrize('damage', [b'', b'PK\x03\x04 broken', None])
def test_a_damaged_file_is_made_again(dataset, tmp_path, damage):
    first, second = runner(), runner()
    build(dataset, tmp_path).before_train(first)
    path = tmp_path / 'patch_modes.npz'
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    build(dataset, tmp_path).before_train(second)
    assert torch.equal(centres(first), centres(second))


def test_few_patches_give_few_modes(dataset, tmp_path):
    run = runner(patch_size=(32, 64))
    build(dataset, tmp_path, max_images=2).before_train(run)
    assert int((centres(run) < 2).all(1).sum()) == 2


def test_no_image_is_read_and_the_global_random_state_stays(dataset, tmp_path, monkeypatch):
    run = runner()
    state = torch.get_rng_state()
    monkeypatch.setattr('mmcv.imfrombytes', lambda *a, **k: 1 / 0)
    build(dataset, tmp_path).before_train(run)
    assert run.model.objectives['patch'].has_centres and torch.equal(state, torch.get_rng_state())


def test_wrong_settings_are_named(dataset, tmp_path):
    with pytest.raises(KeyError, match="'other'.*'patch'"):
        build(dataset, tmp_path, objective='other').before_train(runner())
    with pytest.raises(ValueError, match='19 classes.*num_classes=5'):
        build(dataset, tmp_path).before_train(runner(num_classes=5))
    with pytest.raises(PermissionError, match='labelled=False'):
        build(dict(dataset, labelled=False), tmp_path).before_train(runner())
    with pytest.raises(ValueError, match='max_images'):
        build(dataset, tmp_path, max_images=0)


@pytest.mark.distributed
def test_all_ranks_get_the_centres_of_the_first(dataset, tmp_path, run_ranks):
    alone = runner()
    build(dataset, tmp_path / 'alone').before_train(alone)

    def work(rank):
        run = runner()
        build(dataset, tmp_path / 'shared').before_train(run)
        return centres(run).tolist()

    results = run_ranks(work)
    assert [error for _, error in results] == [None, None]
    assert results[0][0] == results[1][0] == centres(alone).tolist()
