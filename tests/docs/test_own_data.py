# SPDX-License-Identifier: Apache-2.0
"""The guide to own data and own classes does what it says: its blocks are taken out, and train."""
import re

import cv2
import numpy as np
import pytest
from shrink import REPO, shrink

from udatools.engine.flow import compute_flow
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.flow_plan import collect_pairs, tasks_of_config
from udatools.engine.runner.stages import expand_stages, merge_stage_config
from udatools.models.flow import DISFlow
from udatools.registry import DATASETS

BLOCK = re.compile(r'^```python\n(.*?)^```', flags=re.MULTILINE | re.DOTALL)
CLASSES = ['ground', 'building', 'vehicle', 'person', 'plant']
SIMULATOR = {1: 0, 2: 0, 5: 1, 8: 2, 9: 2, 10: 3, 21: 4}  # raw id -> train id, by hand from the page


@pytest.fixture(scope='module')
def blocks():
    return BLOCK.findall((REPO / 'docs' / 'own_data.md').read_text(encoding='utf-8'))


@pytest.fixture
def yard(tmp_path):
    """The folders that the page names, with random pictures; returns {key: raw label} of the source."""
    rng = np.random.default_rng(0)
    raw = {}

    def write(path, array):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), array)

    for index in range(3):
        key = f'cam{index % 2}/{index}'
        raw[key] = rng.choice(np.array([0, 255, *SIMULATOR], np.uint8), (32, 64))
        write(tmp_path / 'data/yard_sim/images' / f'{key}.jpg', rng.integers(0, 256, (32, 64, 3), np.uint8))
        write(tmp_path / 'data/yard_sim/labels' / f'{key}.png', raw[key])
        write(tmp_path / 'data/yard/train' / f'{key}.png', rng.integers(0, 256, (32, 64, 3), np.uint8))
        write(tmp_path / 'data/yard/train_labels' / f'{key}.png', rng.integers(0, 5, (32, 64), np.uint8))
    for index in range(2):
        write(tmp_path / 'data/yard/val' / f'{index}.png', rng.integers(0, 256, (32, 64, 3), np.uint8))
        write(tmp_path / 'data/yard/val_labels' / f'{index}.png', rng.integers(0, 5, (32, 64), np.uint8))
    return raw


def load(code, tmp_path, **kwargs):
    """A block as a config file outside of the clone, at a size that a test can run."""
    path = tmp_path / 'yard.py'
    path.write_text(code.replace("'configs/", f"'{REPO.as_posix()}/configs/").replace("'data/yard", f"'{tmp_path}/data/yard"))
    return shrink(path, work_dir=tmp_path / 'run', iterations=1, **kwargs)


def test_own_data_and_own_classes_in_20_lines(blocks, yard, tmp_path):
    assert len([line for line in blocks[0].splitlines() if line.strip()]) <= 20
    cfg = load(blocks[0], tmp_path, data={})
    source = DATASETS.build(dict(merge_stage_config(cfg, expand_stages([dict(name='train')])[0]).source_train, pipeline=[]))
    for key, raw in yard.items():
        expected = np.full(raw.shape, 255, np.uint8)
        for raw_id, train_id in SIMULATOR.items():
            expected[raw == raw_id] = train_id
        assert np.array_equal(source.load_label(key), expected)
    results = StagedRunner(cfg).train()
    assert results['classes'] == CLASSES and results['protocol'] == 'yard5'
    assert list(results['stages'][-1]['metrics']['IoU']) == CLASSES
    assert (tmp_path / 'run' / 'final' / 'model.pth').exists() and (tmp_path / 'run' / 'report' / 'index.html').exists()


def test_a_public_data_set_as_the_source(blocks, yard, minidrive_root, tmp_path):
    cfg = load(blocks[0] + blocks[1], tmp_path, data={'GTA5Domain': minidrive_root / 'gta5'})
    merged = merge_stage_config(cfg, expand_stages([dict(name='train')])[0])
    assert merged.train_dataloader.dataset.source.type == merged.source_train.type == 'GTA5Domain'
    source = DATASETS.build(dict(merged.train_dataloader.dataset.source, pipeline=[]))
    cityscapes = DATASETS.build(dict(type='GTA5Domain', data_root=str(minidrive_root / 'gta5'), max_items=3))
    # Of Cityscapes' 19: road, sidewalk / building, wall / car, truck, bus / person, rider / vegetation.
    merge = {0: 0, 1: 0, 2: 1, 3: 1, 13: 2, 14: 2, 15: 2, 11: 3, 12: 3, 8: 4}
    for key in source.keys:
        fine = cityscapes.load_label(key)
        expected = np.array([merge.get(train_id, 255) for train_id in range(256)], np.uint8)[fine]
        assert np.array_equal(source.load_label(key), expected) and (expected != 255).any()
    assert 'mIoU' in StagedRunner(cfg).train()['stages'][-1]['metrics']


def test_active_labelling_on_own_folders(blocks, yard, tmp_path):
    code = blocks[0].replace('methods/adaptsegnet.py', 'methods/labor_spl.py')
    code += f'folders.update(target_labels={str(tmp_path / "data/yard/train_labels")!r})\n'
    cfg = load(code, tmp_path, data={})
    results = StagedRunner(cfg).train()
    assert results['classes'] == CLASSES and len([stage for stage in results['stages'] if stage['round']]) == 3


def test_own_video_as_the_target(blocks, yard, tmp_path):
    for number in (0, 3, 6):
        image = np.random.default_rng(number).integers(0, 256, (32, 64, 3), np.uint8)
        (tmp_path / 'data/yard/train/drive').mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / f'data/yard/train/drive/{number:06d}.png'), image)
    code = blocks[0].replace('methods/adaptsegnet.py', 'methods/tps.py')
    code += next(block for block in blocks if 'VideoFramesDomain' in block)
    cfg = load(code, tmp_path, data={'CityscapesVPSDomain': tmp_path, 'flow of ImageFolderDomain': tmp_path / 'data/yard/flow'})
    with pytest.raises(FileNotFoundError, match=r'flow files of the target are missing[\s\S]*tools/compute_flow.py .*yard.py'):
        StagedRunner(cfg).train()
    for folder in collect_pairs(tasks_of_config(cfg, 'target')):
        assert folder.folder == tmp_path / 'data/yard/flow' and ('drive/000003', -3) in [pair[:2] for pair in folder.pairs]
        compute_flow(folder.pairs, DISFlow('ultrafast'), folder.folder)
    results = StagedRunner(cfg).train()
    assert results['classes'] == CLASSES and 'mIoU' in results['stages'][-1]['metrics']


def test_an_id_that_the_map_does_not_list_is_an_error(blocks, yard, tmp_path):
    cv2.imwrite(str(tmp_path / 'data/yard_sim/labels/cam0/0.png'), np.full((32, 64), 7, np.uint8))
    cfg = load(blocks[0], tmp_path, data={})
    with pytest.raises(ValueError, match=r'cam0/0.png holds label ids \[7\]'):
        StagedRunner(cfg).train()
