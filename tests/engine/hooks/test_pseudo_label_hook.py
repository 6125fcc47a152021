# SPDX-License-Identifier: Apache-2.0
"""The pseudo-label hook on a real data set and model: right files, idempotent, blind, no trace in the RNG."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from udatools.engine.hooks.pseudo_label_hook import restart_loader
from udatools.engine.inference import TargetImages, build_predictor, predict_prob
from udatools.registry import HOOKS


def build(setup, out_dir, **changes):
    arguments = dict(type='PseudoLabelHook', policy=dict(type='InstanceAdaptivePolicy', alpha=[0.2, 0.3], round='2'),
                     model=setup.model, checkpoint=setup.checkpoint, dataset=setup.dataset, out_dir=str(out_dir))
    return HOOKS.build({**arguments, **changes})


def test_labels_are_the_models_predictions_at_native_resolution(setup, tmp_path, opened):
    build(setup, tmp_path / 'out').before_train(setup.runner)
    images, model = TargetImages(setup.dataset), build_predictor(setup.model, setup.checkpoint)
    kept = 0
    for i, key in enumerate(setup.keys):
        label = cv2.imread(str(tmp_path / 'out' / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
        predicted = predict_prob(model, images, i).argmax(0).cpu().numpy()
        assert label.shape == (24, 40)
        assert np.array_equal(label[label != 255], predicted[label != 255])
        kept += int((label != 255).sum())
    assert 0 < kept < 4 * 24 * 40
    assert opened == []


def test_a_rerun_predicts_nothing_and_other_weights_redo(setup, tmp_path, tree, monkeypatch):
    build(setup, tmp_path / 'out').before_train(setup.runner)
    before = tree(tmp_path / 'out')
    with monkeypatch.context() as patch:
        patch.setattr('udatools.engine.hooks.pseudo_label_hook.predict_prob', lambda *a: 1 / 0)
        build(setup, tmp_path / 'out').before_train(setup.runner)
        with pytest.raises(ZeroDivisionError):
            build(setup, tmp_path / 'out', checkpoint=setup.save('main', setup.model, 5)).before_train(setup.runner)
    assert tree(tmp_path / 'out').keys() == before.keys() - {'done.json'}
    build(setup, tmp_path / 'out').before_train(setup.runner)
    assert tree(tmp_path / 'out') == before


def test_the_time_in_a_checkpoint_file_does_not_matter(setup, tmp_path, monkeypatch):
    build(setup, tmp_path / 'out').before_train(setup.runner)
    later = str(tmp_path / 'later.pth')
    torch.save(dict(state_dict=torch.load(setup.checkpoint)['state_dict'], meta=dict(time='later')), later)
    monkeypatch.setattr('udatools.engine.hooks.pseudo_label_hook.predict_prob', lambda *a: 1 / 0)
    build(setup, tmp_path / 'out', checkpoint=later).before_train(setup.runner)


def test_global_random_state_is_untouched(setup, tmp_path):
    torch.manual_seed(3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    build(setup, tmp_path / 'out').before_train(setup.runner)
    assert torch.equal(torch.get_rng_state(), state) and np.array_equal(np.random.get_state()[1], numpy_state)


def test_a_missing_checkpoint_is_named(setup, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.pth'):
        build(setup, tmp_path / 'out', checkpoint=str(tmp_path / 'no.pth')).before_train(setup.runner)


def test_a_loader_that_loaded_ahead_starts_over():
    loader = DataLoader([1, 2, 3], batch_size=1)
    loop = SimpleNamespace(dataloader=loader, dataloader_iterator=_InfiniteDataloaderIterator(loader))
    next(loop.dataloader_iterator)
    restart_loader(SimpleNamespace(train_loop=loop))
    assert next(loop.dataloader_iterator) == 1
