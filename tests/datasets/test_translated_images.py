# SPDX-License-Identifier: Apache-2.0
"""Translated images in place of a data set's own: pairs by key, labels of the originals, and what is refused."""
from collections import Counter

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from udatools.datasets import CityscapesDomain, GTA5Domain, SYNTHIADomain, UDADataset

LOAD = [dict(type='LoadDomainImage'), dict(type='LoadDomainLabel')]
KEYS = ['00001', '00002', '00003', '00004', '00005']


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def translate(trees, folder, keys=KEYS, suffix='png', shade=0, shape=(24, 32)):
    """Pictures of one grey each: ``shade`` plus the number of the key."""
    for key in keys:
        trees.write(folder / f'{key}.{suffix}', np.full((*shape, 3), shade + int(key.rpartition('_')[2]), np.uint8))
    return folder


def test_images_change_and_nothing_else_does(trees, tmp_path):
    root, folder = trees.gta5(), translate(trees, tmp_path / 'out', [*KEYS, '00077'], shade=100)
    trees.write(folder / '.00001.png.tmp.png', np.zeros((4, 4, 3), np.uint8))
    plain, data = GTA5Domain(root, pipeline=LOAD), GTA5Domain(root, image_dir=str(folder), pipeline=LOAD)
    assert data.keys == plain.keys == KEYS
    for i, key in enumerate(KEYS):
        assert (data[i]['img'] == 101 + i).all() and np.array_equal(data[i]['gt_seg_map'], plain[i]['gt_seg_map'])
        assert data[i]['img_path'] == data.image_path(key) == str(folder / f'{key}.png')
        assert data[i]['original_path'] == plain[i]['img_path'] and data.label_path(key) == plain.label_path(key)
    assert data.fingerprint() != plain.fingerprint()  # a run with other images is another run
    assert data.describe()['translated'] == f'images from {folder}' and plain.describe()['translated'] is None
    for nothing in (None, [], ()):
        assert GTA5Domain(root, image_dir=nothing).fingerprint() == plain.fingerprint()


def test_layouts_suffixes_and_subsets(trees, tmp_path):
    folder = translate(trees, tmp_path / 'syn', ['0000000', '0000001'], suffix='JPG', shade=50)
    data = SYNTHIADomain(trees.synthia(), classes='synthia16', image_dir=folder, max_items=2, pipeline=LOAD)
    assert [int(data[i]['img'].mean()) for i in range(2)] == [50, 51]
    folder = translate(trees, tmp_path / 'real', ['city1/city1_000000_000001_leftImg8bit'.replace('_leftImg8bit', '')])
    (folder / 'city1/city1_000000_000001.png').rename(folder / 'city1/city1_000000_000001_leftImg8bit.png')
    root = trees.cityscapes()
    with pytest.raises(FileNotFoundError, match='3 of 4 images have no translation'):
        CityscapesDomain(root, image_dir=folder).full_init()


def test_what_is_missing_or_doubled_is_named(trees, tmp_path):
    root = trees.gta5()
    with pytest.raises(FileNotFoundError, match=r'nowhere does not exist; download it, or write one with\n  python tools/trans'):
        GTA5Domain(root, image_dir=tmp_path / 'nowhere')
    folder = translate(trees, tmp_path / 'out', KEYS[:3])
    with pytest.raises(FileNotFoundError, match=r"2 of 5 images have no translation in .*the first is '00004'"):
        GTA5Domain(root, image_dir=folder)
    assert len(GTA5Domain(root, image_dir=folder, max_items=3)) == 3  # of those that are asked for
    translate(trees, folder, ['00002'], suffix='jpg')
    with pytest.raises(ValueError, match="both stand for the image '00002'"):
        GTA5Domain(root, image_dir=folder, max_items=3)


def test_another_size_is_an_error_or_resized(trees, tmp_path):
    root, folder = trees.gta5(n=1), translate(trees, tmp_path / 'out', KEYS[:1], shade=9, shape=(12, 16))
    message = r'00001.png is 16x12, its original .*images/00001.png 32x24 \(width x height\); translate at the size'
    with pytest.raises(ValueError, match=message):
        GTA5Domain(root, image_dir=folder, pipeline=LOAD)[0]
    resize = [dict(type='LoadDomainImage', size_mismatch='resize'), LOAD[1]]
    item = GTA5Domain(root, image_dir=folder, pipeline=resize)[0]
    assert item['img'].shape == (24, 32, 3) and (item['img'] == 10).all()
    assert item['ori_shape'] == item['gt_seg_map'].shape == (24, 32)
    with pytest.raises(ValueError, match="LoadDomainImage got size_mismatch='crop'"):
        GTA5Domain(root, pipeline=[dict(type='LoadDomainImage', size_mismatch='crop')])


def test_one_of_several_folders_is_drawn_for_each_item(trees, tmp_path):
    root = trees.gta5()
    folders = [translate(trees, tmp_path / name, shade=shade) for name, shade in (('translated', 100), ('stylised', 200))]
    pack = dict(type='PackSegInputs', meta_keys=('img_path', 'key'))

    def make():
        source = GTA5Domain(root, image_dir=folders, pipeline=[*LOAD, pack])
        return UDADataset(source=source, target=None, seed=3)

    first, again = make(), make()
    drawn = Counter()
    for counter in range(200):
        item = first[counter]
        sample = item['data_samples']['source']
        shade = int(item['inputs']['source'][0, 0, 0])
        assert shade == (100 if 'translated' in sample.img_path else 200) + int(sample.key)
        drawn[sample.key, shade >= 200] += 1
        if counter % 20 == 0:  # whatever was drawn before it
            assert int(again[counter]['inputs']['source'][0, 0, 0]) == shade
    assert len(drawn) == 10 and 75 < sum(n for (_, stylised), n in drawn.items() if stylised) < 125
    both = GTA5Domain(root, image_dir=folders)
    digest = both.fingerprint()
    assert digest not in {GTA5Domain(root, image_dir=folder).fingerprint() for folder in folders}
    trees.write(folders[1] / '00003.png', np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8))
    assert GTA5Domain(root, image_dir=folders).fingerprint() != digest
