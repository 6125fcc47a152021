# SPDX-License-Identifier: Apache-2.0
"""The data sets in their native layouts: keys, labels, and errors that say what is wrong."""
import pickle
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from udatools.datasets import (
    CamVidDomain,
    CARLADomain,
    CityscapesDomain,
    DatasetLayoutError,
    GTA5Domain,
    ImageFolderDomain,
    SYNTHIADomain,
)
from udatools.datasets.transforms import load_label
from udatools.registry import DATASETS

LOAD = [dict(type='LoadDomainImage'), dict(type='LoadDomainLabel')]


def expected(raw, mapping):
    out = np.full(raw.shape, 255, np.uint8)
    for source, train in mapping.items():
        out[raw == source] = train
    return out


def test_gta5(trees):
    data = GTA5Domain(trees.gta5(), pipeline=LOAD)
    assert data.keys == ['00001', '00002', '00003', '00004', '00005'] and len(data) == 5
    item = data[2]
    assert item['key'] == '00003' and np.array_equal(item['img'], trees.picture(2))
    assert np.array_equal(item['gt_seg_map'], expected(trees.labels(2, (0, 7, 8, 33, 34)), {7: 0, 8: 1, 33: 18}))
    assert item['gt_seg_map'].dtype == np.uint8 and item['seg_fields'] == ['gt_seg_map']
    assert data.image_path('00003') == item['img_path'] and data.label_path('00003').endswith('labels/00003.png')
    assert np.array_equal(data.load_label('00003'), item['gt_seg_map'])
    assert data.metainfo['classes'][18] == 'bicycle' and data.metainfo['palette'][0] == [128, 64, 128]


def test_gta5_palette_labels_are_indices(trees):
    root = trees.gta5(n=1)
    index = trees.labels(0, (0, 7, 8, 33, 34))
    image = Image.fromarray(index).convert('P')
    image.putpalette([i * 7 % 256 for i in range(768)])
    image.save(root / 'labels' / '00001.png')
    label = GTA5Domain(root).load_label('00001')
    assert np.array_equal(label, expected(index, {7: 0, 8: 1, 33: 18}))


def test_gta5_split_files(trees):
    root = trees.gta5()
    (root / 'val.txt').write_text('00004\n00002.png\n\n')
    assert GTA5Domain(root, split='val').keys == ['00002', '00004']
    (root / 'train.txt').write_text('00001\n')
    assert GTA5Domain(root).keys == ['00001'] and len(GTA5Domain(root, split='all')) == 5
    (root / 'train.txt').write_text('00001\n77777\n88888\n')
    with pytest.raises(DatasetLayoutError, match='names 2 images that are not in .*77777, 88888'):
        GTA5Domain(root)
    with pytest.raises(DatasetLayoutError, match='split file .*test.txt does not exist'):
        GTA5Domain(root, split='test')


def test_cityscapes(trees):
    root = trees.cityscapes()
    data = CityscapesDomain(root, pipeline=LOAD)
    assert data.keys[0] == 'city0/city0_000000_000000_leftImg8bit' and len(data.keys) == 4
    key = 'city1/city1_000000_000003_leftImg8bit'
    raw = trees.labels(53, (0, 7, 8, 26, 31))
    item = data[data.index(key)]
    assert np.array_equal(item['img'], trees.picture(53))
    assert np.array_equal(item['gt_seg_map'], expected(raw, {7: 0, 8: 1, 26: 13, 31: 16}))
    sixteen = CityscapesDomain(root, classes='synthia16').load_label(key)
    assert np.array_equal(sixteen, expected(raw, {7: 0, 8: 1, 26: 12}))


def test_cityscapes_falls_back_to_train_ids(trees):
    root = trees.cityscapes(kind='labelTrainIds', raw=(0, 1, 18, 9, 255))
    key = 'city0/city0_000000_000002_leftImg8bit'
    raw = trees.labels(52, (0, 1, 18, 9, 255))
    assert np.array_equal(CityscapesDomain(root).load_label(key), raw)
    assert np.array_equal(
        CityscapesDomain(root, classes='synthia16').load_label(key), expected(raw, {0: 0, 1: 1, 18: 15}))
    trees.cityscapes()  # raw ids appear next to them and are preferred
    assert CityscapesDomain(root).label_path(key).endswith('_labelIds.png')


def test_synthia_reads_the_last_channel(trees):
    root = trees.synthia()
    label = SYNTHIADomain(root).load_label('0000001')
    assert np.array_equal(label, expected(trees.labels(1, (0, 1, 3, 16, 22)), {1: 10, 3: 0, 16: 9}))
    label = SYNTHIADomain(root, classes='synthia13').load_label('0000001')
    assert np.array_equal(label, expected(trees.labels(1, (0, 1, 3, 16, 22)), {1: 6, 3: 0}))


def test_camvid(trees):
    root = trees.camvid()
    data = CamVidDomain(root, classes='camvid11', pipeline=LOAD)
    raw = trees.labels(1, (0, 3, 10, 11))
    assert data.keys == ['f0', 'f1', 'f2']
    assert np.array_equal(data[1]['gt_seg_map'], expected(raw, {0: 0, 3: 3, 10: 10}))
    assert np.array_equal(CamVidDomain(root).load_label('f1'), expected(raw, {0: 10, 3: 0, 10: 18}))


def test_carla(trees):
    root = trees.carla()
    data = CARLADomain(root, classes='camvid11')
    assert data.keys == ['000000', '000001', '000002'] and len(CARLADomain(root, split='val')) == 1
    assert np.array_equal(
        data.load_label('000001'), expected(trees.labels(1, (0, 1, 7, 22)), {1: 1, 7: 3, 22: 5}))
    (root / 'train.txt').unlink()
    with pytest.raises(DatasetLayoutError, match='train.txt does not exist'):
        CARLADomain(root)


def test_image_folder(trees, tmp_path):
    trees.write(tmp_path / 'shots' / 'a' / 'one.two.jpg', trees.picture(1))
    trees.write(tmp_path / 'shots' / 'b.png', trees.picture(2))
    (tmp_path / 'shots' / 'notes.txt').write_text('no image')
    (tmp_path / 'shots' / '.hidden.png').write_text('no image')
    data = ImageFolderDomain(tmp_path / 'shots', pipeline=LOAD)
    assert data.keys == ['a/one.two', 'b'] and not data.labelled
    assert (data[1]['gt_seg_map'] == 255).all() and data[1]['gt_seg_map'].shape == (24, 32)
    with pytest.raises(PermissionError, match='out of reach'):
        data.label_path('b')
    for key in data.keys:
        trees.write(tmp_path / 'truth' / f'{key}.png', trees.labels(1, (0, 18, 255)))
    labelled = ImageFolderDomain(tmp_path / 'shots', label_root=tmp_path / 'truth')
    assert np.array_equal(labelled.load_label('a/one.two'), trees.labels(1, (0, 18, 255)))
    with pytest.raises(ValueError, match='lies inside data_root'):
        ImageFolderDomain(tmp_path, label_root=tmp_path / 'truth')
    with pytest.raises(ValueError, match='without label_root'):
        ImageFolderDomain(tmp_path / 'shots', labelled=True)
    trees.write(tmp_path / 'shots' / 'b.jpg', trees.picture(2))
    with pytest.raises(ValueError, match="b.* and .*b.* would share the key 'b'"):
        ImageFolderDomain(tmp_path / 'shots')


def test_label_dir_is_looked_up_at_the_time_of_the_item(trees, tmp_path):
    data = CityscapesDomain(trees.cityscapes(), labelled=False, label_dir=tmp_path / 'labels', pipeline=LOAD)
    key = data.keys[1]
    assert (data[1]['gt_seg_map'] == 255).all()
    answer = trees.labels(9, (0, 5, 255))
    trees.write(tmp_path / 'labels' / f'{key}.png', answer)
    assert np.array_equal(data[1]['gt_seg_map'], answer) and (data[0]['gt_seg_map'] == 255).all()
    trees.write(tmp_path / 'labels' / f'{key}.png', np.full((24, 32), 19, np.uint8))
    with pytest.raises(ValueError, match=r'holds label ids \[19\]'):
        data[1]


def test_arguments_that_contradict(trees, tmp_path):
    root = trees.gta5()
    with pytest.raises(ValueError, match='labelled=True and label_dir'):
        GTA5Domain(root, label_dir=tmp_path)
    with pytest.raises(ValueError, match='max_items=0'):
        GTA5Domain(root, max_items=0)
    with pytest.raises(KeyError, match='no label map from gta5 to camvid11'):
        GTA5Domain(root, classes='camvid11')
    with pytest.raises(KeyError, match="has no image '99'"):
        GTA5Domain(root).image_path('99')
    with pytest.raises(ValueError, match='data_root'):
        GTA5Domain('')


@pytest.mark.parametrize('kind, make', [(GTA5Domain, 'gta5'), (CityscapesDomain, 'cityscapes'),
                                        (SYNTHIADomain, 'synthia'), (CamVidDomain, 'camvid'), (CARLADomain, 'carla')])
def test_wrong_layouts_print_the_tree(kind, make, trees, tmp_path):
    classes = 'camvid11' if make in ('camvid', 'carla') else 'cityscapes19'
    with pytest.raises(DatasetLayoutError, match=r'nowhere does not exist[\s\S]*Expected layout:[\s\S]*<data'):
        kind(tmp_path / 'nowhere', classes=classes)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DatasetLayoutError, match=r'does not exist[\s\S]*Expected layout:'):
        kind(tmp_path / 'empty', classes=classes)
    root = getattr(trees, make)()
    with pytest.raises(DatasetLayoutError, match=r'does not exist[\s\S]*Expected layout:'):
        kind(root, split='nosplit', classes=classes)
    first = kind(root, classes=classes)
    gone = first.label_path(first.keys[1])
    shutil.move(gone, tmp_path / 'away.png')
    with pytest.raises(DatasetLayoutError, match='1 of . images have no label file') as caught:
        kind(root, classes=classes)
    assert gone in str(caught.value) and 'labelled=False' in str(caught.value)
    assert len(kind(root, classes=classes, labelled=False)) == len(first)


def test_empty_folder(tmp_path):
    (tmp_path / 'shots' / 'sub').mkdir(parents=True)
    with pytest.raises(ValueError, match='found no image in .*shots'):
        ImageFolderDomain(tmp_path / 'shots')
    (tmp_path / 'images').mkdir()
    with pytest.raises(ValueError, match=r'found no image in .*images[\s\S]*Expected layout'):
        GTA5Domain(tmp_path)


def test_ids_outside_the_map_name_file_and_ids(trees):
    data = GTA5Domain(trees.gta5(raw=(7, 60, 200)), pipeline=LOAD)
    with pytest.raises(ValueError, match=r'00001.png holds label ids \[60, 200\]'):
        data[0]
    root = trees.cityscapes()
    path = CityscapesDomain(root).label_path('city0/city0_000000_000000_leftImg8bit')
    cv2.imwrite(path, np.full((24, 32), 26001, np.uint16))
    with pytest.raises(ValueError, match='holds label id 26001.*instance'):
        CityscapesDomain(root, pipeline=LOAD)[0]


def test_colour_label_is_refused(trees):
    root = trees.gta5(n=1)
    trees.write(root / 'labels' / '00001.png', trees.picture(3))
    with pytest.raises(ValueError, match='00001.png has 3 channels.*colour'):
        GTA5Domain(root, pipeline=LOAD)[0]


def test_size_mismatch_names_both(trees, monkeypatch):
    root = trees.gta5(n=1)
    trees.write(root / 'labels' / '00001.png', trees.labels(0, (7, 8), (12, 16)))
    with pytest.raises(ValueError) as caught:
        GTA5Domain(root, pipeline=LOAD)[0]
    for text in ('images/00001.png is 32x24', 'labels/00001.png is 16x12', 'size_mismatch="resize"'):
        assert text in str(caught.value)
    lenient = [LOAD[0], dict(type='LoadDomainLabel', size_mismatch='resize')]
    said = []
    monkeypatch.setattr(load_label, 'print_log', lambda message, **kwargs: said.append(message))
    label = GTA5Domain(root, pipeline=lenient)[0]['gt_seg_map']
    assert len(said) == 1 and 'labels/00001.png is 16x12' in said[0]
    assert np.array_equal(label, (trees.labels(0, (7, 8), (12, 16)) - 7).repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize('folder', ['images', 'labels'])
def test_truncated_files_are_named(trees, folder):
    root = trees.gta5(n=2)
    path = root / folder / '00002.png'
    path.write_bytes(path.read_bytes()[:-100])
    data = GTA5Domain(root, pipeline=LOAD)
    data[0]
    with pytest.raises(ValueError, match=f'{folder}/00002.png is a truncated PNG.*again'):
        data[1]


def test_label_after_flip_is_refused(trees):
    pipeline = [LOAD[0], dict(type='RandomFlip', prob=1.0), LOAD[1]]
    with pytest.raises(ValueError, match='move it before RandomFlip'):
        GTA5Domain(trees.gta5(n=1), pipeline=pipeline)[0]


def test_fingerprint_describe_max_items_pickle(trees):
    root = trees.gta5()
    data = GTA5Domain(root, pipeline=LOAD)
    assert data.fingerprint() == GTA5Domain(root, labelled=False).fingerprint()
    assert len(data.fingerprint()) == 64
    assert data.fingerprint() != GTA5Domain(root, max_items=4).fingerprint()
    assert GTA5Domain(root, max_items=2).keys == ['00001', '00002'] and len(GTA5Domain(root, max_items=9)) == 5
    about = data.describe()
    assert (about['images'], about['classes'], about['labels']) == (5, 'cityscapes19', 'ground truth')
    before = data.fingerprint()
    (root / 'images' / '00002.png').write_bytes((root / 'images' / '00002.png').read_bytes() + b'x')
    assert data.fingerprint() != before
    copy = pickle.loads(pickle.dumps(data))
    assert copy.keys == data.keys and np.array_equal(copy[0]['gt_seg_map'], data[0]['gt_seg_map'])


def test_stock_pipeline(trees):
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadDomainLabel'),
        dict(type='RandomCrop', crop_size=(16, 16)),
        dict(type='RandomFlip', prob=1.0),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs', meta_keys=('img_path', 'key', 'ori_shape', 'flip')),
    ]
    data = DATASETS.build(dict(type='GTA5Domain', data_root=str(trees.gta5()), pipeline=pipeline))
    item = data[0]
    assert item['inputs'].shape == (3, 16, 16)
    sample = item['data_samples']
    assert sample.gt_sem_seg.data.shape == (1, 16, 16) and sample.metainfo['key'] == '00001' and sample.metainfo['flip']


def test_restricted_to_some_images(trees):
    data = GTA5Domain(trees.gta5(), pipeline=LOAD)
    whole, item, path = data.fingerprint(), data[3], data.label_path('00004')
    data.restrict_to(['00004', '00002', '00004'])
    assert data.keys == ['00002', '00004'] and len(data) == 2 and data.index('00004') == 1
    assert data[1]['key'] == '00004' and np.array_equal(data[1]['gt_seg_map'], item['gt_seg_map'])
    assert data.label_path('00004') == path and data.fingerprint() != whole and data.describe()['images'] == 2
    with pytest.raises(KeyError, match="no image '00003' among its 2"):
        data.restrict_to(['00003'])
    with pytest.raises(ValueError, match='would be left without an image'):
        data.restrict_to([])
    assert data.keys == ['00002', '00004']
