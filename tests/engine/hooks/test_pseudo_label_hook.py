# SPDX-License-Identifier: Apache-2.0
"""The pseudo-label hook on a real data set and model: right files, idempotent, blind, no trace in the RNG."""
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from udatools.engine.hooks.pseudo_label_hook import restart_loader, train_on_split
from udatools.engine.inference import ImagePredictor, TargetImages, build_predictor, predict_prob
from udatools.ops.selection import entropy
from udatools.registry import DATASETS, HOOKS


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
        patch.setattr(ImagePredictor, 'infer', lambda *a: 1 / 0)
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
    monkeypatch.setattr(ImagePredictor, 'infer', lambda *a: 1 / 0)
    build(setup, tmp_path / 'out', checkpoint=later).before_train(setup.runner)


@pytest.mark.parametrize('changes', [dict(views=dict(scales=[0.9])), dict(views=dict(flip=True)), dict(checkpoint='other'),
                                     dict(policy=dict(type='ClassBalancedPolicy')),
                                     dict(policy=dict(type='ClassBalancedPolicy', portion=0.3))])
def test_views_checkpoints_and_policy_are_inputs(setup, tmp_path, monkeypatch, changes):
    hook = build(setup, tmp_path / 'out')
    hook.before_train(setup.runner)
    same = build(setup, tmp_path / 'out', checkpoint=[setup.checkpoint], views=dict(scales=[1.0], flip=False))
    if changes.get('checkpoint') == 'other':
        changes = dict(checkpoint=[setup.checkpoint, setup.save('other', setup.model, 7)])
    with monkeypatch.context() as patch:
        patch.setattr(ImagePredictor, 'infer', lambda *a: 1 / 0)
        same.before_train(setup.runner)
        with pytest.raises(ZeroDivisionError):
            build(setup, tmp_path / 'out', **changes).before_train(setup.runner)


def test_labels_of_several_models_and_views(setup, tmp_path):
    """Portion 1 keeps every pixel: labels are the rule on the mean probability of two models and four views."""
    checkpoints = [setup.checkpoint, setup.save('other', setup.model, 7)]
    build(setup, tmp_path / 'out', checkpoint=checkpoints, views=dict(scales=[1.0, 1.5], flip=True),
          policy=dict(type='ClassBalancedPolicy', portion=1.0)).before_train(setup.runner)
    images = TargetImages(setup.dataset)
    predictor = ImagePredictor([build_predictor(setup.model, path) for path in checkpoints], images, scales=[1.0, 1.5], flip=True)
    final = json.loads((tmp_path / 'out' / 'thresholds.json').read_text())['final']
    theta = torch.tensor(list(final.values()), dtype=torch.float64)[:, None, None]
    for i, key in enumerate(setup.keys):
        label = cv2.imread(str(tmp_path / 'out' / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
        ratio, expected = (predictor.expand(predictor.infer(i)).half().double() / theta).max(0)
        assert np.array_equal(label, torch.where(ratio >= 1, expected, 255).numpy())


def test_unknown_views_are_refused(setup, tmp_path):
    with pytest.raises(ValueError, match=r"unknown keys \['scale'\]; expected scales and flip"):
        build(setup, tmp_path / 'out', views=dict(scale=0.9))


def test_global_random_state_is_untouched(setup, tmp_path):
    torch.manual_seed(3)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    build(setup, tmp_path / 'out').before_train(setup.runner)
    assert torch.equal(torch.get_rng_state(), state) and np.array_equal(np.random.get_state()[1], numpy_state)


def test_a_missing_checkpoint_is_named(setup, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no\.pth'):
        build(setup, tmp_path / 'out', checkpoint=str(tmp_path / 'no.pth')).before_train(setup.runner)


def build_uda_dataset(setup, label_dir):
    load, resize, pack = setup.dataset['pipeline']
    images = dict(setup.dataset, pipeline=[load, resize, dict(type='LoadDomainLabel'), pack])
    return DATASETS.build(dict(type='UDADataset', source=dict(images, label_dir=str(label_dir)), target=images))


def test_with_a_ranking_the_stage_trains_on_easy_and_hard_images(setup, tmp_path, monkeypatch, opened):
    ranking = dict(type='EntropyRanking', portion=0.3)
    dataset = build_uda_dataset(setup, tmp_path / 'out' / 'labels')
    setup.runner.train_dataloader = SimpleNamespace(dataset=dataset)
    build(setup, tmp_path / 'out', ranking=ranking, intra_domain=True).before_train(setup.runner)
    split = json.loads((tmp_path / 'out' / 'split.json').read_text())
    images, model = TargetImages(setup.dataset), build_predictor(setup.model, setup.checkpoint)
    order = sorted(setup.keys, key=lambda key: entropy(predict_prob(model, images, setup.keys.index(key))).mean())
    assert split['easy'] + split['hard'] == order and len(split['easy']) == 1
    assert dataset.source.keys == split['easy'] and dataset.target.keys == sorted(split['hard']) and len(dataset) == 3
    seen = {domain: {dataset[counter]['data_samples'][domain].key for counter in range(6)} for domain in ('source', 'target')}
    assert seen == dict(source=set(split['easy']), target=set(split['hard']))
    # What is complete is used again, by a resumed stage that has the whole set before it; another portion is another split.
    again = build_uda_dataset(setup, tmp_path / 'out' / 'labels')
    setup.runner.train_dataloader.dataset = again
    with monkeypatch.context() as patch:
        patch.setattr(ImagePredictor, 'infer', lambda *a: 1 / 0)
        build(setup, tmp_path / 'out', ranking=ranking, intra_domain=True).before_train(setup.runner)
        assert again.source.keys == split['easy']
        with pytest.raises(ZeroDivisionError):
            build(setup, tmp_path / 'out', ranking=dict(ranking, portion=0.7), intra_domain=True).before_train(setup.runner)
    assert opened == []


def test_a_ranking_alone_leaves_the_domains_as_they_are(setup, tmp_path):
    dataset = build_uda_dataset(setup, tmp_path / 'out' / 'labels')
    setup.runner.train_dataloader = SimpleNamespace(dataset=dataset)
    build(setup, tmp_path / 'out', ranking=dict(type='EntropyRanking', portion=0.3)).before_train(setup.runner)
    assert (tmp_path / 'out' / 'split.json').is_file()
    assert sorted(dataset.source.keys) == sorted(dataset.target.keys) == sorted(setup.keys)
    with pytest.raises(ValueError, match='intra_domain=True trains on easy and hard images; give ranking'):
        build(setup, tmp_path / 'out', intra_domain=True)


def test_a_ranking_needs_both_domains_of_the_target(setup, tmp_path):
    dataset = build_uda_dataset(setup, tmp_path / 'labels')
    split = dict(easy=setup.keys[:1], hard=setup.keys[1:])
    with pytest.raises(ValueError, match=r'hard images are to be the target of the stage, which has nothing there'):
        train_on_split(SimpleNamespace(source=dataset.source), split)
    with pytest.raises(ValueError, match=r'easy images are to be the source of the stage, which has dict .*with the label_dir'):
        train_on_split(SimpleNamespace(source={}, target=dataset.target), split)
    with pytest.raises(KeyError, match='has no image'):
        train_on_split(dataset, dict(split, easy=['elsewhere']))


def test_a_loader_that_loaded_ahead_starts_over():
    loader = DataLoader([1, 2, 3], batch_size=1)
    loop = SimpleNamespace(dataloader=loader, dataloader_iterator=_InfiniteDataloaderIterator(loader))
    next(loop.dataloader_iterator)
    restart_loader(SimpleNamespace(train_loop=loop))
    assert next(loop.dataloader_iterator) == 1
