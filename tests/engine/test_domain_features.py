# SPDX-License-Identifier: Apache-2.0
"""Features of both domains: which images, which pixels, and what is read at them."""
import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toy_run import toy_run

from udatools.engine.domain_features import (
    check_classes,
    choose_keys,
    domain_images,
    features_at,
    image_descriptors,
    pixel_features,
    sample_pixels,
    training_config,
)
from udatools.engine.embedding import EmbeddingSettings, embed
from udatools.engine.frame_predictor import load_frame_predictor


@pytest.fixture(scope='module')
def run(tiny_data, tmp_path_factory):
    return toy_run(tmp_path_factory.mktemp('features') / 'run', tiny_data)


@pytest.fixture(scope='module')
def cfg(run):
    return training_config(run / 'final' / 'model.pth')


@pytest.fixture(scope='module')
def predictor(run):
    return load_frame_predictor(run / 'final' / 'model.pth', device='cpu')


def test_the_config_of_a_run_is_found_from_its_checkpoints(run, cfg, tmp_path):
    assert training_config(run / 'stages' / '02_round2_main' / 'iter_100.pth').source_train == cfg.source_train
    with pytest.raises(FileNotFoundError, match='is in no work directory'):
        training_config(tmp_path / 'final' / 'model.pth')
    with pytest.raises(FileNotFoundError, match='nothing.py does not exist'):
        training_config(run / 'final' / 'model.pth', tmp_path / 'nothing.py')
    with pytest.raises(ValueError, match='names no source and target'):
        training_config(run / 'final' / 'model.pth', options={'train_dataloader.dataset.source': None})


def test_the_target_of_training_comes_without_labels(cfg):
    source, target, labelled = (domain_images(cfg, domain, labelled=seen)
                                for domain, seen in (('source', True), ('target', False), ('target', True)))
    assert (source.split, target.split, labelled.split) == ('train', 'train', 'val')
    assert not target.labelled and source.labelled and labelled.labelled
    with pytest.raises(PermissionError):
        target.load_label(target.keys[0])
    with pytest.raises(ValueError, match="domain is 'moon'"):
        domain_images(cfg, 'moon')


def test_chosen_images_are_a_function_of_the_seed(cfg):
    images = domain_images(cfg, 'source')
    picks = [choose_keys(images, 2, seed, 'source') for seed in range(8)]
    assert choose_keys(images, None, 0, 'source') == images.keys and picks[3] == choose_keys(images, 2, 3, 'source')
    assert len({tuple(pick) for pick in picks}) > 1 and all(pick == sorted(pick) and len(set(pick)) == 2 for pick in picks)
    with pytest.raises(ValueError, match='got 0 images'):
        choose_keys(images, 0, 0, 'source')


def test_features_at_pixels_are_those_of_the_upsampled_map():
    features = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    whole = F.interpolate(features[None], size=(16, 15), mode='bilinear', align_corners=False)[0]
    place = torch.tensor([[0, 0], [15, 14], [7, 3], [8, 11]])
    expected = whole[:, place[:, 0], place[:, 1]].T
    assert torch.allclose(features_at(features, place, (16, 15)), expected, atol=1e-5)


def test_sampled_pixels_have_their_class_and_are_spread():
    labels = {f'{i}': np.random.default_rng(i).integers(0, 3, (6, 8)).astype(np.uint8) for i in range(4)}
    labels['rare'] = np.full((6, 8), 255, np.uint8)
    labels['rare'][2, 5] = 7
    found = sample_pixels(list(labels), labels.__getitem__, 10, 0, 'source')
    again = sample_pixels(list(labels), labels.__getitem__, 10, 0, 'source')
    read = [int(labels[key][row, column]) for key, place in found.positions.items() for row, column in place.tolist()]
    assert read == found.label.tolist() == again.label.tolist()
    assert [read.count(i) for i in (0, 1, 2, 7, 255)] == [10, 10, 10, 1, 0]
    assert found.positions['rare'].tolist() == [[2, 5]] and len(found.positions) == 5
    assert all(len({tuple(one) for one in place.tolist()}) == len(place) for place in found.positions.values())
    other = sample_pixels(list(labels), labels.__getitem__, 10, 0, 'target')
    assert any(not torch.equal(other.positions[key], found.positions[key]) for key in other.positions)
    with pytest.raises(ValueError, match='no pixel of the 1 target images has a label'):
        sample_pixels(['x'], lambda key: np.full((2, 2), 255, np.uint8), 3, 0, 'target')


def test_descriptors_and_pixels_by_the_backbone(cfg, predictor):
    images = domain_images(cfg, 'source')
    keys = images.keys[:2]
    image = cv2.imread(images.image_path(keys[1]))
    packed = predictor.pipeline(dict(img=image))
    with torch.no_grad():
        batch = predictor.model.data_preprocessor(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]), False)
        levels = predictor.model.backbone(batch['inputs'])
    for level in (-1, 0):
        found = image_descriptors(predictor, images, keys, level=level)
        assert torch.allclose(found[1], levels[level][0].mean((1, 2)), atol=1e-5)
    pixels = sample_pixels(keys[1:], lambda key: np.zeros(image.shape[:2], np.uint8), 3, 0, 'source')
    expected = features_at(levels[-1][0], pixels.positions[keys[1]], image.shape[:2])
    assert torch.allclose(pixel_features(predictor, images, pixels), expected, atol=1e-5)
    with pytest.raises(ValueError, match='the network has 4 outputs of features, there is no level 4'):
        predictor.features(image, 4)


def test_a_network_of_other_classes_is_refused(cfg, predictor):
    images = domain_images(cfg, 'source')
    check_classes(predictor, images)
    images.metainfo['classes'][0], images._metainfo['classes'][0] = 'sea', 'sea'
    with pytest.raises(ValueError, match='19 classes road, .* the 19 classes sea'):
        check_classes(predictor, images)


def test_two_networks_see_the_same_points(cfg, run, tiny_data, tmp_path):
    other = toy_run(tmp_path / 'other', tiny_data, seed=1)
    paths = [other / 'final' / 'model.pth', run / 'final' / 'model.pth']
    found = embed(cfg, paths, EmbeddingSettings(per_class=5, classes=['road', 'sky'], device='cpu'))
    first, second = found.panels
    assert first.title.startswith('before\ndomains mixed ') and 'PCA' in second.title
    assert np.array_equal(first.label, second.label) and np.array_equal(first.domain, second.domain)
    assert first.points.shape == (len(first.label), 2) and not np.allclose(first.points, second.points)
    for domain in (0, 1):
        chosen = first.label[first.domain == domain].tolist()
        assert {value: chosen.count(value) for value in chosen} == {0: 5, 10: 5}
    predicted = embed(cfg, paths[:1], EmbeddingSettings(per_class=5, labels='prediction', device='cpu')).panels[0]
    assert 'final/model.pth' in predicted.title and set(np.unique(predicted.label)) <= set(range(19))
    whole = embed(cfg, paths[:1], EmbeddingSettings(points='images', device='cpu')).panels[0]
    assert whole.label is None and whole.domain.tolist() == [0] * 4 + [1] * 4
    with pytest.raises(ValueError, match='no class moon'):
        embed(cfg, paths[:1], EmbeddingSettings(classes=['moon'], device='cpu'))
    with pytest.raises(ValueError, match="method is 'umap'; expected one of pca, tsne"):
        EmbeddingSettings(method='umap')
