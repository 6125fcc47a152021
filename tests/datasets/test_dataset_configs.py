# SPDX-License-Identifier: Apache-2.0
"""The base configs of data sets: same pieces everywhere, and they load what is on disk."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from udatools.datasets.taxonomies import get_class_set
from udatools.evaluation import get_protocol
from udatools.registry import DATASETS, METRICS

FOLDER = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
NAMES = ['minidrive', 'gta2cs', 'syn2cs', 'carla2camvid']


@pytest.fixture(params=NAMES)
def loaded(request, trees, monkeypatch):
    """The config of that name over tiny trees."""
    trees.gta5(3), trees.synthia(3), trees.carla(4), trees.cityscapes(2), trees.cityscapes(3, split='val')
    trees.camvid(2), trees.camvid(3, split='val')
    root = trees.root
    for variable, value in dict(MINIDRIVE=root, GTA5=root / 'gta5', SYNTHIA=root / 'synthia', REAL_DATA=root,
                                CITYSCAPES=root / 'cityscapes').items():
        monkeypatch.setenv(f'UDATOOLS_{variable}', str(value))
    return Config.fromfile(FOLDER / f'{request.param}.py')


def shrunk(cfg):
    """The same config with tiny sizes."""
    text = cfg.pretty_text
    for size in ((1280, 720), (1280, 760), (1024, 512), (240, 180)):
        width, height = size
        text = text.replace(f'{width},\n            {height},', '16,\n 8,').replace(f'({width}, {height})', '(16, 8)')
    return Config.fromstring(text, '.py')


def test_pieces(loaded):
    assert loaded.num_classes == len(get_class_set(loaded.classes)) and len(loaded.crop_size) == 2
    for piece in ('source_train', 'target_train', 'target_train_labelled', 'target_images', 'target_val',
                  'test_pipeline', 'val_dataloader', 'test_dataloader', 'val_evaluator', 'test_evaluator'):
        assert piece in loaded
    assert loaded.target_train.labelled is False and loaded.target_images.labelled is False
    assert loaded.train_dataloader.dataset.source == loaded.source_train
    assert loaded.train_dataloader.dataset.target == loaded.target_train
    evaluators = loaded.val_evaluator if isinstance(loaded.val_evaluator, list) else [loaded.val_evaluator]
    for evaluator in evaluators:
        metric = METRICS.build(evaluator)
        assert metric.protocol.fits(get_class_set(loaded.classes).classes)
    assert len(get_protocol(evaluators[0].protocol).classes) == loaded.num_classes
    own = [step.type for step in loaded.test_pipeline if 'Domain' in step.type or 'Sparse' in step.type]
    assert own == []  # an exported config must work without udatools


def test_training_batch_and_validation(loaded):
    cfg = shrunk(loaded)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.num_workers = 0
        loader.pop('persistent_workers', None)
    cfg.train_dataloader.batch_size = 2
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    for name in ('source', 'target'):
        images, labels = batch['inputs'][name], batch['data_samples'][name]
        assert len(images) == 2 and all(image.dtype == torch.uint8 for image in images)
        assert all(sample.gt_sem_seg.data.shape[1:] == image.shape[1:] for image, sample in zip(images, labels))
        assert all('key' in sample.metainfo for sample in labels)
    assert all((sample.gt_sem_seg.data == 255).all() for sample in batch['data_samples']['target'])
    assert any((sample.gt_sem_seg.data != 255).any() for sample in batch['data_samples']['source'])
    validation = Runner.build_dataloader(cfg.val_dataloader)
    assert len(validation.dataset) == 3
    sample = next(iter(validation))['data_samples'][0]
    assert sample.gt_sem_seg.data.shape[1:] == sample.ori_shape == (24, 32)  # native, whatever the input size
    unlabelled = DATASETS.build(cfg.target_images)
    assert len(unlabelled) == 2 and 'gt_sem_seg' not in unlabelled[0]['data_samples']
    assert len(DATASETS.build(cfg.target_train_labelled)) == 2


def test_sizes_are_those_of_the_papers(loaded):
    text = loaded.pretty_text
    name = Path(loaded.filename).stem
    scales = {str(tuple(step.scale)) for pipeline in (k for k in loaded if k.endswith('pipeline'))
              for step in loaded[pipeline] if 'scale' in step}
    assert scales == {'minidrive': set(), 'gta2cs': {'(1280, 720)', '(1024, 512)'},
                      'syn2cs': {'(1280, 760)', '(1024, 512)'}, 'carla2camvid': {'(240, 180)'}}[name]
    assert "type='Resize'" not in str(loaded.target_train.pipeline)
    assert 'round_up=False' in text


def test_real_pair(real_data_root, monkeypatch):
    monkeypatch.setenv('UDATOOLS_REAL_DATA', str(real_data_root))
    cfg = Config.fromfile(FOLDER / 'carla2camvid.py')
    loader = dict(cfg.train_dataloader, num_workers=0, persistent_workers=False)
    data = Runner.build_dataloader(loader, seed=0).dataset
    assert (len(data.source), len(data.target)) == (711, 367)
    for counter in range(0, 700, 50):
        item = data[counter]
        assert item['inputs']['source'].shape == item['inputs']['target'].shape == (3, 180, 240)
        assert (item['data_samples']['target'].gt_sem_seg.data == 255).all()
    validation = DATASETS.build(cfg.target_val)
    assert len(validation) == 101
    seen = torch.stack([torch.bincount(validation[i]['data_samples'].gt_sem_seg.data.flatten(), minlength=256)
                        for i in range(0, 101, 10)]).sum(0)
    assert (seen[:11] > 0).all() and int(seen[11:255].sum()) == 0
