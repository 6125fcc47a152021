# SPDX-License-Identifier: Apache-2.0
"""Data sets of videos in the layouts of their releases: keys, clips, which frames have labels, and how labels are read."""
import json
import pickle
import shutil
from collections import deque

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from udatools.datasets import (
    CamVidDomain,
    CARLADomain,
    CityscapesSequenceDomain,
    CityscapesVPSDomain,
    DatasetLayoutError,
    GTA5Domain,
    SYNTHIASeqDomain,
    VideoFramesDomain,
    VIPERDomain,
)
from udatools.datasets.cityscapes_vps import parse_frame_name
from udatools.datasets.preparation import ClassStatistics, DomainPairs, prepare_source
from udatools.datasets.preparation.vps_sequences import link_sequences
from udatools.datasets.viper import find_ego_vehicle

LOAD = [dict(type='LoadDomainImage'), dict(type='LoadDomainLabel')]


def clips(data):
    """{clip: frame numbers in dataset order}"""
    found = {}
    for key in data.keys:
        clip, frame = data.clip_of(key)
        found.setdefault(clip, []).append(frame)
    return found


# ---- VIPER ----------------------------------------------------------------------------------------------------------


def test_viper(trees):
    data = VIPERDomain(trees.viper(), classes='viper15', pipeline=LOAD)
    assert data.keys[:2] == ['001/001_00001', '001/001_00002'] and clips(data) == {'001': [1, 2, 3], '002': [1, 2, 3]}
    info = data.get_data_info(4)
    assert (info['clip'], info['frame'], 'label_reader' in info) == ('002', 2, False)
    raw = trees.labels(22, (0, 2, 3, 10, 25, 31))
    expected = np.select([raw == 2, raw == 3, raw == 10, raw == 25], [9, 0, 4, 11], 255)  # sky, road, pole, car
    assert np.array_equal(data[4]['gt_seg_map'], expected) and np.array_equal(data.load_label(data.keys[4]), expected)
    with pytest.raises(ValueError, match='001_00012'):
        data.clip_of('001/first')


def test_viper_conditions(trees):
    root = trees.viper(clips=3)
    (root / 'train_day.txt').write_text('# clear sky\n001\n\n003\n')
    day = VIPERDomain(root, classes='viper15', conditions='day', labelled=False)
    assert list(clips(day)) == ['001', '003'] and len(VIPERDomain(root, classes='viper15', labelled=False)) == 9
    with pytest.raises(DatasetLayoutError, match=r'train_rain.txt, which does not exist[\s\S]*conditions=None'):
        VIPERDomain(root, classes='viper15', conditions='rain')
    (root / 'train_day.txt').write_text('001\n044\n')
    with pytest.raises(DatasetLayoutError, match='names 2 sequences, 1 of them not in .*: 044'):
        VIPERDomain(root, classes='viper15', conditions='day')


def test_viper_sparse_labels(trees):
    root = trees.viper(frames=4, labelled=lambda frame: frame % 2 == 0)
    with pytest.raises(DatasetLayoutError, match='4 of 8 images have no label file'):
        VIPERDomain(root, classes='viper15')
    sparse = VIPERDomain(root, classes='viper15', sparse_labels=True)
    assert clips(sparse) == {'001': [2, 4], '002': [2, 4]}
    assert len(VIPERDomain(root, classes='viper15', sparse_labels=True, labelled=False)) == 8
    shutil.rmtree(root / 'train' / 'cls')
    with pytest.raises(DatasetLayoutError, match='none of the 8 images has a label'):
        VIPERDomain(root, classes='viper15', sparse_labels=True)


def test_colour_version_of_viper_is_refused(trees):
    root = trees.viper(clips=1, frames=1)
    trees.write(root / 'train' / 'cls' / '001' / '001_00001.png', trees.picture(3))
    with pytest.raises(ValueError, match='001_00001.png has 3 channels.*colour'):
        VIPERDomain(root, classes='viper15', pipeline=LOAD)[0]


def flood(car):
    """Literal: breadth-first search over 8 neighbours from the middle third of the last row."""
    height, width = car.shape
    ego = np.zeros_like(car)
    queue = deque((height - 1, x) for x in range(width // 3, max(width // 3 + 1, 2 * width // 3)) if car[height - 1, x])
    while queue:
        y, x = queue.popleft()
        if ego[y, x]:
            continue
        ego[y, x] = True
        queue.extend((v, u) for v in range(max(0, y - 1), min(height, y + 2)) for u in range(max(0, x - 1), min(width, x + 2))
                     if car[v, u] and not ego[v, u])
    return ego


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.integers(1, 9), st.integers(1, 12)).flatmap(lambda shape: arrays(bool, shape)))
def test_ego_vehicle_is_what_a_flood_finds(car):
    assert np.array_equal(find_ego_vehicle(car), flood(car))


def test_viper_without_the_own_vehicle(trees):
    raw = np.full((24, 32), 3, np.uint8)
    raw[20:, 8:24] = 24  # the bonnet
    raw[2:6, 2:6] = 24  # another car
    raw[22:, :4] = 24  # one that is cut off at the corner
    raw[10:12, 10:12] = 25
    root = trees.viper(clips=1, frames=1)
    trees.write(root / 'train' / 'cls' / '001' / '001_00001.png', raw)
    kept = VIPERDomain(root, classes='viper15', pipeline=LOAD)
    without = VIPERDomain(root, classes='viper15', ego_vehicle='ignore', pipeline=LOAD)
    expected = np.isin(raw, (24, 25)) * np.uint8(11)
    assert np.array_equal(kept[0]['gt_seg_map'], expected)
    expected[20:, 8:24] = 255
    assert np.array_equal(without[0]['gt_seg_map'], expected) and np.array_equal(without.load_label(without.keys[0]), expected)
    info = without.get_data_info(0)
    assert len(pickle.dumps(info)) < 3000  # goes with every item, so the data set must not be inside
    counts = [DomainPairs(VIPERDomain, root, classes='viper15', ego_vehicle=ego) for ego in ('keep', 'ignore')]
    assert counts[0].settings() != counts[1].settings()  # a journal of one is none of the other
    with pytest.raises(ValueError, match='ego_vehicle'):
        VIPERDomain(root, ego_vehicle='drop')


# ---- Cityscapes-VPS -------------------------------------------------------------------------------------------------


def test_vps_names():
    assert parse_frame_name('0005_0025_frankfurt_000000_001736_newImg8bit') == ('0005', 'frankfurt_000000_001736', 1736)
    assert parse_frame_name('0005_0025_frankfurt_000000_001736') == ('0005', 'frankfurt_000000_001736', 1736)
    assert parse_frame_name('0029_0174_frankfurt_000000_012131_original_image') == ('0029', 'frankfurt_000000_012131', 12131)
    with pytest.raises(ValueError, match='frankfurt_000000_001736 is no name of Cityscapes-VPS'):
        parse_frame_name('frankfurt_000000_001736')


@pytest.mark.parametrize('kind', ['labelmap', 'panoptic', 'cls'])
def test_vps_labels(trees, kind):
    root = trees.cityscapes_vps(kinds=(kind, ))
    data = CityscapesVPSDomain(root, classes='viper15', pipeline=LOAD)
    assert data.label_source == kind and data.describe()['images'] == 12
    assert clips(data) == {clip: [104, 109, 114, 119, 124, 129] for clip in ('0001', '0002')}
    label = trees.labels(14, (0, 8, 11, 13, 255))  # frame 114
    expected = np.select([label == 0, label == 8, label == 11, label == 13], [0, 7, 10, 11], 255)
    item = data[2]
    assert np.array_equal(item['gt_seg_map'], expected) and item['frame'] == 114
    assert np.array_equal(item['img'], trees.picture(14))  # the right frame, though numbers differ between folders
    assert len(pickle.dumps(data.get_data_info(2))) < 4000
    target = CityscapesVPSDomain(root, classes='viper15', labelled=False)
    assert clips(target) == {clip: list(range(100, 130)) for clip in ('0001', '0002')}
    assert set(data.keys) <= set(target.keys)


def test_vps_first_source_and_folder(trees):
    root = trees.cityscapes_vps(kinds=('labelmap', 'panoptic', 'cls'))
    assert CityscapesVPSDomain(root).label_source == 'labelmap'
    found = [CityscapesVPSDomain(root, classes='davsn15', label_source=kind, pipeline=LOAD)[3]['gt_seg_map']
             for kind in ('labelmap', 'panoptic', 'cls')]
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    few = CityscapesVPSDomain(root, image_dir='img', labelled=False)
    assert few.image_root().name == 'img' and len(few) == 12
    shutil.rmtree(root / 'train' / 'img_all')
    assert CityscapesVPSDomain(root, labelled=False).keys == few.keys  # img where there is nothing else
    with pytest.raises(ValueError, match='label_source'):
        CityscapesVPSDomain(root, label_source='inst')


def test_vps_categories_count_by_name(trees):
    """Category ids are train ids in the release and label ids in other tools; both give the same labels."""
    root = trees.cityscapes_vps(clips=1, kinds=('panoptic', ))
    first = CityscapesVPSDomain(root, classes='viper15', pipeline=LOAD)[0]['gt_seg_map']
    path = root / 'panoptic_gt_train_city_vps.json'
    content = json.loads(path.read_text())
    for entry in content['categories']:
        entry['id'] += 70
    for annotation in content['annotations']:
        del annotation['file_name']  # then the image says it
        for segment in annotation['segments_info']:
            segment['category_id'] += 70
    path.write_text(json.dumps(content))
    assert np.array_equal(CityscapesVPSDomain(root, classes='viper15', pipeline=LOAD)[0]['gt_seg_map'], first)


def test_vps_own_label_map(trees):
    root = trees.cityscapes_vps(clips=1, kinds=('labelmap', 'panoptic'))
    for kind in ('labelmap', 'panoptic'):
        data = CityscapesVPSDomain(root, classes=dict(name='two', classes=['street', 'moving']), label_source=kind,
                                   label_map={'road': 'street', 'person': 'moving', 'car': 'moving'}, pipeline=LOAD)
        label = trees.labels(4, (0, 8, 11, 13, 255))
        assert np.array_equal(data[0]['gt_seg_map'], np.select([label == 0, label == 11, label == 13], [0, 1, 1], 255))


def broken(root, change):
    path = root / 'panoptic_gt_train_city_vps.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return CityscapesVPSDomain(root, classes='viper15', pipeline=LOAD)


def test_vps_pngs_and_json_that_do_not_fit(trees):
    root = trees.cityscapes_vps(clips=1, kinds=('panoptic', ))
    original = (root / 'panoptic_gt_train_city_vps.json').read_text()

    def fails(change, match):
        (root / 'panoptic_gt_train_city_vps.json').write_text(original)
        with pytest.raises(ValueError, match=match):
            broken(root, change)[0]

    fails(lambda c: c['annotations'][0]['segments_info'].pop(), r'final_mask.png holds segment ids \[\d+\].*same release')
    fails(lambda c: c['annotations'].pop(0), 'has no annotation of .*final_mask.png')
    fails(lambda c: c['categories'][0].update(name='street'), r'does not know: \["street"\]')
    fails(lambda c: c.pop('categories'), "no panoptic JSON.*KeyError: 'categories'")
    (root / 'panoptic_gt_train_city_vps.json').unlink()
    with pytest.raises(DatasetLayoutError, match='panoptic_gt_train_city_vps.json do not exist'):
        CityscapesVPSDomain(root, classes='viper15', pipeline=LOAD)[0]
    (root / 'panoptic_gt_train_city_vps.json').write_text(original)
    path = next((root / 'train' / 'panoptic_video').iterdir())
    cv2.imwrite(str(path), np.zeros((24, 32), np.uint8))
    with pytest.raises(ValueError, match="no RGB PNG.*label_source='labelmap'"):
        CityscapesVPSDomain(root, classes='viper15').read_label(str(path))


def test_vps_without_labels(trees):
    root = trees.cityscapes_vps(kinds=())
    assert len(CityscapesVPSDomain(root, labelled=False)) == 60
    with pytest.raises(DatasetLayoutError, match='no folder of labels.*labelmap, panoptic_video, cls'):
        CityscapesVPSDomain(root)
    trees.write(root / 'train' / 'labelmap' / '0009_0001_ulm_000009_000004_final_mask.png', np.zeros((24, 32), np.uint8))
    with pytest.raises(DatasetLayoutError, match='none of the 60 images'):
        CityscapesVPSDomain(root)


def test_linking_the_frames_between(trees, tmp_path):
    root = trees.cityscapes_vps(dense=False)
    sequences = tmp_path / 'leftImg8bit_sequence' / 'val'
    for clip in (1, 2):
        for frame in range(95, 140):
            trees.write(sequences / 'ulm' / f'ulm_{clip:06d}_{frame:06d}_leftImg8bit.png', trees.picture(frame - 100 & 255))
    assert link_sequences(root, 'train', sequences) == 60 and link_sequences(root, 'train', sequences) == 0
    data = CityscapesVPSDomain(root, labelled=False, pipeline=LOAD[:1])
    assert clips(data) == {clip: list(range(100, 130)) for clip in ('0001', '0002')}  # and in the order of time
    assert np.array_equal(data[34]['img'], trees.picture(4)) and data.keys[34] == '0002_0005_ulm_000002_000104_leftImg8bit'
    assert clips(CityscapesVPSDomain(root)) == {clip: [104, 109, 114, 119, 124, 129] for clip in ('0001', '0002')}
    link = root / 'train' / 'img_all' / f'{data.keys[0]}.png'
    link.unlink()
    assert link_sequences(root, 'train', sequences) == 1 and link.is_symlink() and not link.readlink().is_absolute()


def test_linking_is_all_or_nothing(trees, tmp_path):
    root = trees.cityscapes_vps(clips=1, dense=False)
    with pytest.raises(DatasetLayoutError, match='30 of 30 frames are not in .*leftImg8bit_sequence/val'):
        link_sequences(root, 'train', tmp_path)
    assert not (root / 'train' / 'img_all').exists()
    next((root / 'train' / 'img').iterdir()).unlink()
    with pytest.raises(ValueError, match='six frames 5 apart'):
        link_sequences(root, 'train', tmp_path)


@pytest.mark.parametrize('kind', ['labelmap', 'panoptic'])
def test_vps_label_without_its_image(trees, kind):
    """A frame that is lost shortens the set and widens the windows of VPQ: an error where labels count, stated elsewhere."""
    root = trees.cityscapes_vps(kinds=(kind, ))
    assert CityscapesVPSDomain(root).describe()['gaps'] is None
    for position in (14, 29):  # in the middle and at the end of the first clip
        next((root / 'train' / 'img_all').glob(f'0001_*_{100 + position:06d}_*')).unlink()
    with pytest.raises(DatasetLayoutError, match=r'2 labels have no image in .*img_all: \S*ulm_000001_000114_final_mask.png, '
                                                 r'\S*000129_final_mask.png; bring the images back'):
        CityscapesVPSDomain(root, classes='viper15')
    target = CityscapesVPSDomain(root, labelled=False)
    assert target.describe()['gaps'] == '1 gap in clips whose frames are mostly 1 apart: 113 to 115 of 0001'
    assert len(CityscapesVPSDomain(root, image_dir='img')) == 12  # nothing is missing there


def test_sparse_labels_without_their_image(trees):
    root = trees.viper(frames=6, labelled=lambda frame: frame % 2 == 0)
    (root / 'train' / 'img' / '001' / '001_00004.jpg').unlink()
    with pytest.raises(DatasetLayoutError, match='1 labels have no image in .*001_00004.png'):
        VIPERDomain(root, classes='viper15', sparse_labels=True)
    frames = VIPERDomain(root, classes='viper15', labelled=False)
    assert frames.describe()['gaps'] == '1 gap in clips whose frames are mostly 1 apart: 3 to 5 of 001'
    (root / 'train_day.txt').write_text('002\n')
    assert len(VIPERDomain(root, classes='viper15', sparse_labels=True, conditions='day')) == 3  # other sequences do not matter


def test_gaps_that_are_no_gaps(trees):
    """Images that are no video, random portions, and clips of one frame have none."""
    assert GTA5Domain(trees.gta5()).describe()['gaps'] is None and CamVidDomain(trees.camvid()).describe()['gaps'] is None
    root = trees.viper(frames=10)
    assert VIPERDomain(root, classes='viper15', portion=0.3).describe()['gaps'] is None
    assert VIPERDomain(root, classes='viper15', max_items=1).describe()['gaps'] is None


@pytest.mark.parametrize(('layout', 'kind', 'classes', 'image', 'label'), [
    ('viper', VIPERDomain, 'viper15', 'train/img/001/001_00002.jpg', 'train/cls/001/001_00002.png'),
    ('synthia_seq', SYNTHIASeqDomain, 'synthiaseq12', 'SYNTHIA-SEQS-04-DAWN/RGB/Stereo_Left/Omni_F/000001.png',
     'SYNTHIA-SEQS-04-DAWN/GT/LABELS/Stereo_Left/Omni_F/000001.png'),
    ('cityscapes_sequence', CityscapesSequenceDomain, 'davsn15',
     'leftImg8bit_sequence/train/bonn/bonn_000000_000300_leftImg8bit.png',
     'gtFine/train/bonn/bonn_000000_000300_gtFine_labelIds.png'),
    ('camvid', CamVidDomain, 'camvid11', 'train/f1.jpg', 'trainannot/f1.png'),
    ('cityscapes_vps', CityscapesVPSDomain, 'viper15', 'train/img_all/0002_0010_ulm_000002_000109_leftImg8bit.png',
     'train/labelmap/0002_0013_ulm_000002_000109_final_mask.png'),
])
def test_a_check_finds_labels_without_an_image(trees, layout, kind, classes, image, label):
    root = getattr(trees, layout)()
    assert DomainPairs(kind, root, classes=classes).labels_without_image() == []
    (root / image).unlink()
    pairs = DomainPairs(kind, root, classes=classes)
    assert [path.relative_to(root).as_posix() for path in pairs.labels_without_image()] == [label]
    assert DomainPairs(kind, root, classes=classes, images_only=True).labels_without_image() == []
    assert (pairs.gaps() is None) == (layout == 'camvid')  # of names that say no clip


def test_labels_of_own_frames_without_an_image(trees, tmp_path):
    for i in range(3):
        trees.write(tmp_path / 'frames' / 'a' / f'{i}.png', trees.picture(i))
    for i in range(4):
        trees.write(tmp_path / 'labels' / 'a' / f'{i}.png', np.zeros((24, 32), np.uint8))
    data = VideoFramesDomain(tmp_path / 'frames', label_root=tmp_path / 'labels')
    assert data.labels_without_image(data.keys) == [tmp_path / 'labels' / 'a' / '3.png']


# ---- Cityscapes sequences, SYNTHIA-Seq, CamVid, any video -----------------------------------------------------------


def test_cityscapes_sequences(trees):
    root = trees.cityscapes_sequence()
    frames = CityscapesSequenceDomain(root, classes='davsn15', labelled=False)
    assert clips(frames) == {'bonn_000000_000281': list(range(281, 311)), 'bonn_000000_000576': list(range(576, 606)),
                             'ulm_000003_000000': list(range(30))}
    labelled = CityscapesSequenceDomain(root, classes='davsn15', pipeline=LOAD)
    assert clips(labelled) == {'bonn_000000_000281': [300], 'bonn_000000_000576': [595], 'ulm_000003_000000': [19]}
    raw = trees.labels(19, (0, 7, 25, 33))
    assert np.array_equal(labelled[2]['gt_seg_map'], np.select([raw == 7, raw == 25, raw == 33], [0, 9, 14], 255))
    (root / 'leftImg8bit_sequence' / 'train' / 'bonn' / 'bonn_000000_000290_leftImg8bit.png').unlink()
    holed = CityscapesSequenceDomain(root, classes='davsn15', labelled=False)
    assert clips(holed)['bonn_000000_000281'] == [*range(281, 290), *range(291, 311)]  # no snippet of its own begins there
    assert holed.describe()['gaps'] == '1 gap in clips whose frames are mostly 1 apart: 289 to 291 of bonn_000000_000281'
    lazy = CityscapesSequenceDomain(root, classes='davsn15', labelled=False, lazy_init=True)
    assert lazy.clip_of('bonn/bonn_000000_000580_leftImg8bit') == ('bonn_000000_000576', 580)  # without a list
    shutil.rmtree(root / 'gtFine')
    with pytest.raises(DatasetLayoutError, match='none of the 89 frames has a label file'):
        CityscapesSequenceDomain(root, classes='davsn15')


def test_synthia_seq(trees):
    root = trees.synthia_seq()
    data = SYNTHIASeqDomain(root, classes='synthiaseq12', pipeline=LOAD)
    assert clips(data) == {f'{drive}/Stereo_Left/Omni_F': [0, 1, 2] for drive in ('SYNTHIA-SEQS-02-FALL', 'SYNTHIA-SEQS-04-DAWN')}
    raw = trees.labels(1, (0, 3, 11, 12, 15))
    assert np.array_equal(data[4]['gt_seg_map'], np.select([raw == 3, raw == 11, raw == 15], [0, 10, 5], 255))
    both = SYNTHIASeqDomain(root, classes='synthiaseq11', cameras=['Stereo_Left/Omni_F', 'Stereo_Right/Omni_B'], split='all')
    assert len(both) == 12 and len(clips(both)) == 4
    (root / 'train.txt').write_text('SYNTHIA-SEQS-04-DAWN\n')
    assert list(clips(SYNTHIASeqDomain(root, classes='synthiaseq12'))) == ['SYNTHIA-SEQS-04-DAWN/Stereo_Left/Omni_F']
    with pytest.raises(DatasetLayoutError, match='val.txt does not exist'):
        SYNTHIASeqDomain(root, classes='synthiaseq12', split='val')
    with pytest.raises(DatasetLayoutError, match='Omni_X does not exist'):
        SYNTHIASeqDomain(root, classes='synthiaseq12', cameras=['Stereo_Left/Omni_X'])
    with pytest.raises(DatasetLayoutError, match='looks like one drive: give the folder above'):
        SYNTHIASeqDomain(root / 'SYNTHIA-SEQS-04-DAWN', classes='synthiaseq12')
    with pytest.raises(ValueError, match='cameras'):
        SYNTHIASeqDomain(root, cameras='Stereo_Left/Omni_F')


def test_camvid_names_say_the_clip(trees):
    data = CamVidDomain(trees.camvid(), classes='camvid11', labelled=False)
    for name, expected in {'0016E5_07959': ('0016E5', 7959), '0006R0_f00930': ('0006R0', 930),
                           'Seq05VD_f05100': ('Seq05VD', 5100)}.items():
        assert data.clip_of(name) == expected
    assert data.keys == ['f0', 'f1', 'f2'] and 'clip' not in data.get_data_info(0)  # any other names are stills
    with pytest.raises(NotImplementedError, match='f0 is no name of CamVid'):
        data.clip_of('f0')
    with pytest.raises(NotImplementedError, match='GTA5Domain'):
        GTA5Domain(trees.gta5(), labelled=False).clip_of('00001')


def test_carla_is_cut_into_drives_where_numbers_are_missing(trees):
    root = trees.carla(n=17)
    (root / 'train.txt').write_text('\n'.join(f'{number:06d}' for number in (3, 4, 9, 15, 16)))  # steps of 1, 5, 6 and 1
    data = CARLADomain(root, classes='camvid11')
    assert clips(data) == {'000003': [3, 4, 9], '000015': [15, 16]}
    assert data.get_data_info(2)['clip'] == '000003' and data.get_data_info(2)['frame'] == 9
    (root / 'images' / 'town.jpg').write_bytes((root / 'images' / '000003.jpg').read_bytes())
    (root / 'train.txt').write_text('000003\ntown\n')
    stills = CARLADomain(root, classes='camvid11', labelled=False)
    with pytest.raises(NotImplementedError, match='town is no number'):
        stills.clip_of('town')


def test_real_carla_has_neighbours(real_data_root):
    data = CARLADomain(real_data_root / 'carla', split='all', classes='camvid11', labelled=False)
    listed = [line.split() for line in (real_data_root / 'carla' / 'video_pairs.txt').read_text().splitlines()]
    assert listed and all(data.clip_of(first)[0] == data.clip_of(second)[0] for first, second in listed)


def test_real_camvid_is_what_the_documentation_says(real_data_root):
    val = CamVidDomain(real_data_root / 'camvid', split='val', classes='camvid11', labelled=False)
    assert clips(val) == {'0016E5': list(range(7959, 8160, 2))}
    train = clips(CamVidDomain(real_data_root / 'camvid', split='train', classes='camvid11', labelled=False))
    steps = np.concatenate([np.diff(frames) for frames in train.values()])
    assert len(train) > 1 and (steps > 0).all() and np.median(steps) == 30


def test_video_frames(trees, tmp_path):
    for i, name in enumerate(('drive/shot_000012.jpg', 'drive/shot_000015.jpg', 'b/7.png', '3.png')):
        trees.write(tmp_path / 'frames' / name, trees.picture(i))
    data = VideoFramesDomain(tmp_path / 'frames', classes='viper15')
    assert clips(data) == {'.': [3], 'b': [7], 'drive': [12, 15]} and not data.labelled
    assert data.get_data_info(3)['frame'] == 15
    trees.write(tmp_path / 'truth' / 'b' / '7.png', np.zeros((24, 32), np.uint8))
    own = VideoFramesDomain(tmp_path / 'frames' / 'b', label_root=tmp_path / 'truth' / 'b', classes='viper15', pipeline=LOAD)
    assert (own[0]['gt_seg_map'] == 0).all()
    trees.write(tmp_path / 'frames' / 'b' / 'again_07.png', trees.picture(9))
    with pytest.raises(ValueError, match='b/7 and b/again_07 are the same frame|b/again_07 and b/7 are the same frame'):
        VideoFramesDomain(tmp_path / 'frames')
    trees.write(tmp_path / 'stills' / 'holiday.png', trees.picture(1))
    with pytest.raises(ValueError, match='holiday does not end with a frame number.*ImageFolderDomain'):
        VideoFramesDomain(tmp_path / 'stills')
    with pytest.raises(ValueError, match=r'video file .*drive.MP4; unpack it[\s\S]*tools/dataset_converters/video.py'):
        VideoFramesDomain(tmp_path / 'drive.MP4')


# ---- verification ---------------------------------------------------------------------------------------------------


def test_frames_without_a_label_are_no_bad_pairs_but_none_at_all_is(trees, tmp_path):
    root = trees.cityscapes_vps(clips=1, kinds=('panoptic', ))
    source = DomainPairs(CityscapesVPSDomain, root, classes='viper15')
    records = prepare_source(source, tmp_path / 'out')
    assert len(records) == 30 and all(record.good for record in records) and sum(bool(r.counts) for r in records) == 6
    statistics = ClassStatistics.load(tmp_path / 'out' / 'class_statistics.json')
    assert int(statistics.pixels.sum()) + statistics.ignored == 6 * 24 * 32
    before = source.settings()
    path = root / 'panoptic_gt_train_city_vps.json'
    path.write_text(path.read_text() + ' ')
    assert DomainPairs(CityscapesVPSDomain, root, classes='viper15').settings() != before
    viper = trees.viper(labelled=lambda frame: False)
    with pytest.raises(DatasetLayoutError, match='none of 6 images has a label file'):
        DomainPairs(VIPERDomain, viper, classes='viper15', sparse_labels=True).pairs()
    dense = prepare_source(DomainPairs(VIPERDomain, viper, classes='viper15'), tmp_path / 'viper')
    assert [record.problems[0][0] for record in dense] == ['label missing'] * 6
