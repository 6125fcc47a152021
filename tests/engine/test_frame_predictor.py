# SPDX-License-Identifier: Apache-2.0
"""Frames through a checkpoint: the ids of mmseg and of labelling, and where the config comes from."""
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model, init_model
from tiny_network import CLASSES, PALETTE, drive, write_images, write_network

from udatools.engine.frame_predictor import FramePredictor, load_frame_predictor
from udatools.engine.inference import TargetImages, build_predictor, predict_prob
from udatools.engine.runner.checkpoints import CheckpointError


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    """An exported checkpoint whose network sees 56x40."""
    return write_network(tmp_path_factory.mktemp('final'), 3, resize=(56, 40))


@pytest.fixture(scope='module')
def stage(tmp_path_factory):
    """The checkpoint of a stage."""
    return write_network(tmp_path_factory.mktemp('stage'), stage=True)


def test_ids_are_those_of_mmseg(plain, tmp_path):
    images = drive(2, size=(70, 51))
    folder = write_images(tmp_path, images)
    model = init_model(str(plain.parent / 'config.py'), str(plain), device='cpu')
    predictor = load_frame_predictor(plain, device='cpu')
    assert predictor.classes == CLASSES and predictor.palette == [tuple(colour) for colour in PALETTE]
    for number, image in enumerate(images):
        expected = inference_model(model, str(folder / f'{number}.png'))
        label, confidence = predictor.predict([image])[0]
        assert label.dtype == np.uint8 and label.shape == (51, 70) and len(np.unique(label)) > 2
        assert np.array_equal(label, expected.pred_sem_seg.data[0].numpy())
        probable = expected.seg_logits.data.softmax(0).amax(0).numpy()
        assert confidence.dtype == np.float16 and np.abs(confidence - probable).max() < 1e-3


def test_ids_are_those_of_labelling(stage, tmp_path):
    images = drive(3)
    folder = write_images(tmp_path, images)
    pipeline = [dict(type='LoadDomainImage'), dict(type='PackSegInputs')]
    target = TargetImages(dict(type='ImageFolderDomain', data_root=str(folder), pipeline=pipeline))
    predictor = load_frame_predictor(stage, device='cpu')
    model = build_predictor(Config.fromstring(torch.load(stage, weights_only=False)['meta']['cfg'], '.py').model, stage).cpu()
    for number, image in enumerate(images):
        expected = predict_prob(model, target, number)
        label, confidence = predictor.predict([image])[0]
        assert (label == expected.argmax(0).numpy()).mean() > 0.999  # the last bits of two ways to upsample
        assert np.abs(confidence - expected.amax(0).numpy()).max() < 1e-3


def test_a_batch_is_its_images(plain):
    predictor, images = load_frame_predictor(plain, device='cpu'), drive(3)
    for one, together in zip(images, predictor.logits(images)):
        torch.testing.assert_close(predictor.logits([one])[0], together, rtol=1e-4, atol=1e-4)
        assert together.shape == (len(CLASSES), 48, 64)


def test_where_the_config_comes_from(plain, stage, tmp_path):
    image = drive(1)
    alone = tmp_path / 'model.pth'
    shutil.copy(plain, alone)
    with pytest.raises(CheckpointError, match='nothing says which network .*model.pth is of.*--config'):
        load_frame_predictor(alone)
    named = load_frame_predictor(alone, plain.parent / 'config.py', device='cpu')
    beside = load_frame_predictor(plain, device='cpu')
    assert torch.equal(named.logits(image)[0], beside.logits(image)[0]) and named.fingerprint() == beside.fingerprint()
    inside = load_frame_predictor(stage, device='cpu')
    assert inside.model.teacher is None and not inside.model.objectives and not inside.model.training
    with pytest.raises(FileNotFoundError, match='nowhere.py does not exist'):
        load_frame_predictor(plain, 'nowhere.py')
    with pytest.raises(CheckpointError, match='do not belong together'):
        load_frame_predictor(stage, plain.parent / 'config.py')
    with pytest.raises(CheckpointError, match='nowhere.pth is not a readable checkpoint'):
        load_frame_predictor('nowhere.pth')
    other = write_network(tmp_path / 'other', classes=CLASSES[:3], palette=PALETTE[:3])
    with pytest.raises(CheckpointError, match='does not fit the network of .*config.py'):
        load_frame_predictor(plain, other.parent / 'config.py')
    (tmp_path / 'empty.py').write_text('x = 1')
    with pytest.raises(CheckpointError, match='has no `model`'):
        load_frame_predictor(plain, tmp_path / 'empty.py')


def test_references_and_the_pipeline_of_a_training_config(plain, tmp_path):
    cfg = Config.fromfile(str(plain.parent / 'config.py'))
    resize = dict(type='Resize', scale=(56, 40))
    dataset = dict(type='ImageFolderDomain', data_root='x', pipeline=[
        dict(type='LoadDomainImage'), resize, dict(type='LoadDomainLabel'), dict(type='PackSegInputs')])
    own = dict(default_scope='mmseg', custom_imports=cfg.custom_imports, network=cfg.model, model='{cfg:network}',
               test_dataloader=dict(dataset=dataset))
    Config(own).dump(str(tmp_path / 'training.py'))
    predictor, image = load_frame_predictor(plain, tmp_path / 'training.py', device='cpu'), drive(1)
    assert torch.equal(predictor.logits(image)[0], load_frame_predictor(plain, device='cpu').logits(image)[0])
    own['test_dataloader']['dataset']['pipeline'] = []
    Config(own).dump(str(tmp_path / 'without.py'))
    with pytest.raises(ValueError, match='add test_pipeline'):
        load_frame_predictor(plain, tmp_path / 'without.py')


def test_classes(plain, tmp_path):
    nameless = write_network(tmp_path, classes=CLASSES, palette=None)
    with pytest.raises(ValueError, match='name their set with --classes'):
        load_frame_predictor(nameless)
    (tmp_path / 'own.json').write_text('{"classes": ["a", "b", "c", "d"]}')
    assert load_frame_predictor(nameless, classes=str(tmp_path / 'own.json')).classes == ['a', 'b', 'c', 'd']
    with pytest.raises(ValueError, match='predicts 4 classes, the names are of 19'):
        load_frame_predictor(nameless, classes='cityscapes19', device='cpu').predict(drive(1))


def test_what_else_is_refused(plain, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match='torch sees no GPU'):
        load_frame_predictor(plain, device='cuda:1')
    model = torch.nn.Identity()
    with pytest.raises(ValueError, match='starts with Resize'):
        FramePredictor(model, [dict(type='Resize', scale=(4, 4))], ['a'], [[0, 0, 0]])
    with pytest.raises(ValueError, match='2 classes and 1 colours'):
        FramePredictor(model, [dict(type='LoadImageFromFile')], ['a', 'b'], [[0, 0, 0]])


def test_a_config_inside_a_checkpoint_is_data(tmp_path):
    path = write_network(tmp_path, stage=True)
    content = torch.load(path, weights_only=False)
    content['meta']['cfg'] += f'spoilt = open({str(tmp_path / "sprung")!r}, "w")\n'
    torch.save(content, path)
    with pytest.raises(CheckpointError, match='config inside is code, `open.*, which is not run; name its config with --config'):
        load_frame_predictor(path, device='cpu')
    assert not (tmp_path / 'sprung').exists()
