# SPDX-License-Identifier: Apache-2.0
"""The base configs of video pairs: the pieces that methods rely on, and they load what is on disk."""
import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from udatools.datasets import DatasetLayoutError
from udatools.datasets.taxonomies import get_class_set
from udatools.engine.runner.stages import StageConfig, resolve_references
from udatools.evaluation import get_protocol
from udatools.registry import DATASETS, METRICS
from udatools.visualization.run_data import _configured_image_root

FOLDER = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'
NATIVE = (24, 32)
CLIPS = ('001', '002', '0001', '0002', 'SYNTHIA-SEQS-02-FALL/Stereo_Left/Omni_F', 'SYNTHIA-SEQS-04-DAWN/Stereo_Left/Omni_F')


@pytest.fixture(params=['viper2csvps', 'synthiaseq2csvps', 'minidrive_video'])
def loaded(request, trees, monkeypatch):
    """The config of that name over tiny trees: 2 source sequences of 3 frames; 2 target clips of 30, and 1 to validate."""
    (trees.viper() / 'train_day.txt').write_text('001\n002\n')
    trees.synthia_seq(cameras=('Stereo_Left/Omni_F', ))
    trees.cityscapes_vps()
    trees.cityscapes_vps(clips=1, split='val', kinds=('panoptic', ))
    for variable, value in dict(MINIDRIVE=trees.root, VIPER=trees.root / 'viper', SYNTHIA_SEQ=trees.root / 'synthia_seq',
                                CITYSCAPES_VPS=trees.root / 'cityscapes_vps').items():
        monkeypatch.setenv(f'UDATOOLS_{variable}', str(value))
    return resolve_references(Config.fromfile(FOLDER / f'{request.param}.py'))


def shrink_scales(node):
    """Makes every ``scale`` tiny, in place."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key == 'scale':
            node[key] = (16, 8)
        elif isinstance(value, (dict, list)):
            shrink_scales(value)


def shrunk(cfg):
    """The same config with tiny sizes and no worker processes."""
    cfg = Config(copy.deepcopy(cfg.to_dict()))
    shrink_scales(cfg._cfg_dict)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.num_workers = 0
        loader.pop('persistent_workers', None)
    return cfg


def test_pieces(loaded):
    assert loaded.num_classes == len(get_class_set(loaded.classes)) == len(get_class_set(loaded.source_train.dataset.classes))
    assert loaded.frame_offsets == (0, -1) and len(loaded.crop_size) == 2
    for piece in ('source_train', 'target_train', 'target_train_labelled'):
        assert loaded[piece].type == 'ClipDataset'
    assert loaded.target_train.dataset.labelled is False and loaded.target_images.labelled is False
    assert loaded.target_train_labelled.dataset.labelled is True
    assert loaded.train_dataloader.dataset.source == loaded.source_train
    assert loaded.train_dataloader.dataset.target == loaded.target_train
    evaluators = [METRICS.build(evaluator) for evaluator in loaded.val_evaluator]
    assert loaded.test_evaluator == loaded.val_evaluator and type(evaluators[-1]).__name__ == 'VPQMetric'
    assert get_protocol(loaded.classes).classes == evaluators[0].protocol.classes == get_class_set(loaded.classes).classes
    assert all(evaluator.protocol.fits(get_class_set(loaded.classes).classes) for evaluator in evaluators)
    assert [step.type for step in loaded.test_pipeline if 'Domain' in step.type or 'Clip' in step.type] == []


def test_training_batch_and_validation(loaded):
    cfg = shrunk(loaded)
    cfg.train_dataloader.batch_size = 2
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    for name in ('source', 'target'):
        for image, sample in zip(batch['inputs'][name], batch['data_samples'][name]):
            assert image.shape[:2] == (2, 3) and image.dtype == torch.uint8 and max(image.shape[2:]) <= 32
            assert sample.gt_sem_seg.data.shape == (2, *image.shape[2:])
            assert sample.clip in CLIPS and len(sample.frame_keys) == 2
            assert (sample.gt_sem_seg.data == 255).all() == (name == 'target')
    validation = Runner.build_dataloader(cfg.val_dataloader)
    samples = [batch['data_samples'][0] for batch in validation]
    assert [(sample.clip, sample.frame) for sample in samples] == [('0001', frame) for frame in range(104, 130, 5)]
    assert all(sample.gt_sem_seg.data.shape[1:] == sample.ori_shape == NATIVE for sample in samples)


def test_target_sets(loaded):
    cfg = shrunk(loaded)
    images = DATASETS.build(cfg.target_images)
    assert len(images) == 60 and 'gt_sem_seg' not in images[0]['data_samples']
    times = [images.clip_of(key) for key in images.keys]
    assert times == sorted(times)  # in the order of time: methods that look at neighbours pass over it once
    target = DATASETS.build(cfg.target_train)
    first = [min(times), max(time for time in times if time[1] == min(times)[1])]  # of two clips of 30
    assert target.keys == [key for key, time in zip(images.keys, times) if time not in first] and len(target) == 58
    labelled = DATASETS.build(cfg.target_train_labelled)
    assert len(labelled) == 12 and labelled[0]['inputs'].shape[0] == 1
    assert (labelled[0]['data_samples'].gt_sem_seg.data != 255).any()


def test_methods_set_labels_and_flow_on_a_domain(loaded, tmp_path):
    """As self-training does: ``train_dataloader.dataset.target.label_dir``, and ``flow='{cfg:target_flow}'``."""
    cfg = shrunk(loaded)
    target = DATASETS.build(dict(cfg.target_train, label_dir=str(tmp_path / 'labels')))
    assert target.label_dir == str(tmp_path / 'labels') and not target.labelled
    with pytest.raises(FileNotFoundError, match='compute_flow.py'):
        DATASETS.build(dict(cfg.target_train, flow=dict(cfg.target_flow)))


def test_sizes(loaded):
    scales = {str(tuple(step.scale)) for name in loaded if name.endswith('pipeline') for step in loaded[name] if 'scale' in step}
    assert scales == {'viper2csvps': {'(1280, 720)', '(1024, 512)'}, 'synthiaseq2csvps': {'(1280, 760)', '(1024, 512)'},
                      'minidrive_video': set()}[Path(loaded.filename).stem]


def test_the_day_list_is_asked_for(trees, monkeypatch):
    trees.viper()
    monkeypatch.setenv('UDATOOLS_VIPER', str(trees.root / 'viper'))
    cfg = Config.fromfile(FOLDER / 'viper2csvps.py')
    with pytest.raises(DatasetLayoutError, match=r'train_day.txt, which does not exist[\s\S]*42,455'):
        DATASETS.build(resolve_references(cfg).source_train)
    cfg.merge_from_dict(dict(viper_conditions=None))
    assert len(DATASETS.build(resolve_references(cfg).source_train)) == 4  # two clips of three


def test_the_report_finds_the_images(loaded, tmp_path):
    (tmp_path / 'run').mkdir()
    StageConfig(Config.fromfile(loaded.filename).to_dict()).dump(str(tmp_path / 'run' / 'config.py'))
    assert _configured_image_root(tmp_path / 'run').parts[-3:] == ('cityscapes_vps', 'train', 'img_all')
