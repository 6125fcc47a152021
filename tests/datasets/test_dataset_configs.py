# SPDX-License-Identifier: Apache-2.0
"""The base configs of data sets: same pieces everywhere, and they load what is on disk."""
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from udatools.datasets.taxonomies import get_class_set, get_label_lut
from udatools.engine.runner.stages import StageConfig, resolve_references
from udatools.evaluation import get_protocol
from udatools.registry import DATASETS, METRICS
from udatools.visualization.run_data import _configured_image_root

FOLDER = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
TAXONOMIES = Path(__file__).parents[2] / 'udatools' / 'datasets' / 'taxonomies'
NAMES = ['minidrive', 'gta2cs', 'syn2cs', 'carla2camvid', 'syn2camvid']


@pytest.fixture(params=NAMES)
def loaded(request, trees, monkeypatch):
    """The config of that name over tiny trees."""
    trees.gta5(3), trees.synthia(3), trees.carla(4), trees.cityscapes(2), trees.cityscapes(3, split='val')
    trees.camvid(2), trees.camvid(3, split='val')
    root = trees.root
    for variable, value in dict(MINIDRIVE=root, GTA5=root / 'gta5', SYNTHIA=root / 'synthia', REAL_DATA=root,
                                CITYSCAPES=root / 'cityscapes').items():
        monkeypatch.setenv(f'UDATOOLS_{variable}', str(value))
    return resolve_references(Config.fromfile(FOLDER / f'{request.param}.py'))


def shrunk(cfg):
    """The same config with tiny sizes."""
    text = cfg.pretty_text
    for size in ((1280, 720), (1280, 760), (1024, 512), (240, 180), (640, 380)):
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
                      'syn2cs': {'(1280, 760)', '(1024, 512)'}, 'carla2camvid': {'(240, 180)'},
                      'syn2camvid': {'(640, 380)'}}[name]
    assert "type='Resize'" not in str(loaded.target_train.pipeline)
    assert 'round_up=False' in text


def test_pairs_with_cityscapes_differ_in_source_and_classes_only():
    of_the_pair = {'source_root', 'classes', 'num_classes', 'source_pipeline', 'source_train', 'val_evaluator', 'test_evaluator'}
    rest = []
    for name, classes in (('gta2cs', 'cityscapes19'), ('syn2cs', 'synthia16')):
        cfg = resolve_references(Config.fromfile(FOLDER / f'{name}.py')).to_dict()
        cfg['train_dataloader']['dataset'].pop('source')
        for part in (cfg['target_train'], cfg['target_train_labelled'], cfg['target_images'], cfg['target_val'],
                     cfg['train_dataloader']['dataset']['target'], cfg['val_dataloader']['dataset'],
                     cfg['test_dataloader']['dataset'], cfg['source_train']):
            assert part.pop('classes') == classes
        rest.append({key: value for key, value in cfg.items() if key not in of_the_pair and not key.startswith('_')})
    assert rest[0] == rest[1] and 'target_train' in rest[0]


def test_every_class_of_camvid_occurs_in_synthia():
    cfg = resolve_references(Config.fromfile(FOLDER / 'syn2camvid.py'))
    assert cfg.source_train.classes == cfg.target_train.classes == 'camvid11'
    lut = get_label_lut('synthia', 'camvid11')
    assert set(lut[(lut >= 0) & (lut < 255)].tolist()) == set(range(11))
    # Where both simulators have a class of one name, it goes to the same class of CamVid.
    carla = {'2': 'fence', '4': 'pedestrian', '5': 'pole', '7': 'road', '9': 'vegetation', '11': 'wall', '13': 'sky',
             '18': 'traffic light', '12': 'traffic sign', '22': 'terrain', '6': 'lane marking', '8': 'sidewalk', '1': 'building'}
    raw_names = json.loads((TAXONOMIES / 'synthia.json').read_text())['raw_names']
    raw = {name: int(number) for number, name in raw_names.items()}
    of_carla = get_label_lut('carla', 'camvid11')
    assert {name: int(lut[raw[name]]) for name in carla.values()} == {
        name: int(of_carla[int(number)]) for number, name in carla.items()}


def test_the_report_finds_the_images_of_a_config_with_references(loaded, tmp_path):
    raw = StageConfig(Config.fromfile(loaded.filename).to_dict())
    (tmp_path / 'run').mkdir()
    raw.dump(str(tmp_path / 'run' / 'config.py'))
    root = _configured_image_root(tmp_path / 'run')
    assert root == Path(DATASETS.build(dict(loaded.target_images, pipeline=[], lazy_init=True)).image_root())


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
