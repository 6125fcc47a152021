# SPDX-License-Identifier: Apache-2.0
"""MiniDrive video on disk: the layouts of VIPER and Cityscapes-VPS, exact flow, and writing that is resumable and repeatable."""
from __future__ import annotations

import json
import os
import runpy
import sys

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from udatools.datasets import CityscapesVPSDomain, VIPERDomain
from udatools.datasets.flow_io import read_flow
from udatools.datasets.minidrive import Clip, generate_minidrive, generate_minidrive_video
from udatools.datasets.minidrive.taxonomy import CLASSES, THINGS
from udatools.utils.png import read_png

SMALL = dict(size=(96, 48), source_clips=2, source_frames=3, target_clips=1, target_frames=11, val_clips=2, val_frames=11,
             progress=False)
TINY = dict(size=(48, 32), source_clips=2, source_frames=2, target_clips=1, target_frames=5, val_clips=1, val_frames=5,
            progress=False)
STEM = '0002_0021_foxhollow_000001_000009'  # the tenth frame of the second validation clip


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return generate_minidrive_video(tmp_path_factory.mktemp('video'), **SMALL)


@pytest.fixture(scope='module')
def target(root):
    """The frame that ``STEM`` names."""
    return Clip('real', 1, 'val', 0, SMALL['size'], 11)


def snapshot(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The files of an uninterrupted generation in one process, with what is in them."""
    return snapshot(generate_minidrive_video(tmp_path_factory.mktemp('whole'), **TINY))


@pytest.fixture
def written(whole, tmp_path):
    """A folder with those files."""
    for path, data in whole.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


# ------------------------------------------------------------------------------------------------------------- layouts


def test_layout(root):
    files = {p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file()}
    for path in ('viper/train/img/001/001_00001.png', 'viper/train/cls/002/002_00003.png', 'viper/train/inst/002/002_00001.png',
                 'cityscapes_vps/train/img/0001_0001_ashford_000000_000000_newImg8bit.png',
                 f'cityscapes_vps/val/img/{STEM}_newImg8bit.png', f'cityscapes_vps/val/labelmap/{STEM}_final_mask.png',
                 f'cityscapes_vps/val/panoptic_video/{STEM}_final_mask.png', 'cityscapes_vps/panoptic_gt_train_city_vps.json',
                 'flow/viper/train/-1/001/001_00002.png', f'flow/cityscapes_vps/val/+1/{STEM}_newImg8bit.png'):
        assert path in files, path
    images, labels, flows = 6 + 33, 6 * 2 + 6 * 2, 2 * (2 * 2 + 3 * 10)
    assert len(files) == images + labels + flows + 2 + 1  # two annotation files and the record
    for path in ('flow/viper/train/-1/001/001_00001.png', 'flow/viper/train/+1/001/001_00003.png'):
        assert path not in files  # nothing before the first and behind the last frame


def test_viper_labels_are_its_class_ids(root):
    item = Clip('sim', 1, 'train', 0, SMALL['size'], 3).item(2)
    names = {'road': 3, 'sidewalk': 4, 'building': 9, 'wall': 0, 'fence': 11, 'pole': 10, 'traffic light': 13,
             'traffic sign': 14, 'vegetation': 8, 'terrain': 6, 'sky': 2, 'person': 20, 'rider': 20, 'car': 24, 'truck': 27,
             'bus': 26, 'train': 29, 'motorcycle': 23, 'bicycle': 22}
    expected = np.vectorize(lambda k: 0 if k == 255 else names[CLASSES[k]])(item['label'])
    assert (read_png(root / 'viper/train/img/002/002_00003.png')[:, :, ::-1] == item['image']).all()
    raw = read_png(root / 'viper/train/cls/002/002_00003.png')
    assert raw.dtype == np.uint8 and raw.ndim == 2 and (raw == expected).all()
    blue, green, red = read_png(root / 'viper/train/inst/002/002_00003.png').astype(int).transpose(2, 0, 1)
    assert (red == expected).all() and (256 * green + blue == item['instance']).all()
    assert item['instance'].any()


def test_the_data_set_classes_read_it(root, target):
    init_default_scope('mmseg')
    pipeline = [dict(type='LoadDomainImage'), dict(type='LoadDomainLabel')]
    source = VIPERDomain(root / 'viper', classes='viper15', pipeline=pipeline)
    assert [source.clip_of(source.get_data_info(i)['key']) for i in (0, 5)] == [('001', 1), ('002', 3)]
    by_source = []
    for label_source in ('labelmap', 'panoptic'):
        val = CityscapesVPSDomain(root / 'cityscapes_vps', split='val', classes='viper15', label_source=label_source,
                                  pipeline=pipeline)
        infos = [val.get_data_info(i) for i in range(len(val))]
        assert [(info['clip'], info['frame']) for info in infos] == [(c, f) for c in ('0001', '0002') for f in (4, 9)]
        by_source.append(np.stack([val[i]['gt_seg_map'] for i in range(4)]))
    order = ('road', 'sidewalk', 'building', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain', 'sky',
             'person', 'car', 'truck', 'bus', 'motorcycle')
    train_id = {CLASSES.index(name): position for position, name in enumerate(order)}
    expected = np.vectorize(lambda k: train_id.get(k, 255))(target.item(9)['label'])
    assert (by_source[0] == by_source[1]).all() and (by_source[0][3] == expected).all()
    train = CityscapesVPSDomain(root / 'cityscapes_vps', split='train', classes='viper15', labelled=False, pipeline=[])
    assert len(train) == 11


def test_panoptic_files(root, target):
    item = target.item(9)
    blue, green, red = read_png(root / f'cityscapes_vps/val/panoptic_video/{STEM}_final_mask.png').astype(int).transpose(2, 0, 1)
    ids = red + 256 * green + 65536 * blue
    content = json.loads((root / 'cityscapes_vps/panoptic_gt_val_city_vps.json').read_text())
    assert [c['name'] for c in content['categories']] == list(CLASSES) and len(content['images']) == 4
    assert {c['id'] for c in content['categories'] if c['isthing']} == THINGS
    entry, = (a for a in content['annotations'] if a['image_id'] == STEM)
    image, = (i for i in content['images'] if i['id'] == STEM)
    assert (image['width'], image['height'], image['file_name']) == (96, 48, f'{STEM}_newImg8bit.png')
    assert entry['file_name'] == f'{STEM}_final_mask.png'
    assert {s['id'] for s in entry['segments_info']} == set(np.unique(ids).tolist()) - {0}
    for segment in entry['segments_info']:
        mask = ids == segment['id']
        assert segment['area'] == mask.sum() and segment['iscrowd'] == 0
        assert set(item['label'][mask].tolist()) == {segment['category_id']}
        assert len(np.unique(item['instance'][mask])) == 1
    assert ((ids == 0) == (item['label'] == 255)).all()
    things = np.unique(item['instance'])[1:]
    assert len(things) > 1
    assert len(entry['segments_info']) == len(things) + len(set(np.unique(item['label']).tolist()) - THINGS - {255})


def test_a_thing_keeps_its_segment_id(root):
    content = json.loads((root / 'cityscapes_vps/panoptic_gt_val_city_vps.json').read_text())
    first, second = ({(s['id'], s['category_id']) for s in a['segments_info']} for a in content['annotations'][2:])
    assert content['annotations'][3]['image_id'] == STEM
    assert sum(category in THINGS for _, category in first & second) >= 2


@pytest.mark.parametrize('offset', [-1, 1])
def test_flow_files(root, target, offset):
    flow, valid = read_flow(root / f'flow/cityscapes_vps/val/{offset:+d}/{STEM}_newImg8bit.png')
    exact, visible = target.flow(9, offset)
    assert (valid == visible).all() and 0.3 < valid.mean() < 1
    assert np.abs(flow - exact)[:, valid].max() <= 1 / 128 + 1e-5


# ---------------------------------------------------------------------------------------------------------- generation


def test_complete_data_is_left_alone_and_broken_data_is_completed(written, whole, monkeypatch):
    for path in ('viper/train/cls/002/002_00002.png', 'cityscapes_vps/panoptic_gt_val_city_vps.json',
                 'cityscapes_vps/val/panoptic_video/0001_0005_elmstead_000000_000004_final_mask.png',
                 'flow/cityscapes_vps/train/+1/0001_0002_ashford_000000_000001_newImg8bit.png'):
        (written / path).unlink()
    generate_minidrive_video(written, **TINY)
    assert snapshot(written) == whole
    monkeypatch.setattr('udatools.datasets.minidrive.video.Clip', lambda *a: pytest.fail('rendered again'))
    generate_minidrive_video(written, **TINY)


@pytest.mark.parametrize('stop', [9, 30])
def test_interrupted_generation_is_resumed(tmp_path, whole, monkeypatch, stop):
    replace, calls = os.replace, []

    def failing(source, target):
        calls.append(target)
        if len(calls) == stop:
            raise OSError(28, 'No space left on device')
        replace(source, target)

    monkeypatch.setattr(os, 'replace', failing)
    with pytest.raises(OSError, match='No space'):
        generate_minidrive_video(tmp_path, **TINY)
    monkeypatch.setattr(os, 'replace', replace)
    assert not list(tmp_path.rglob('*.tmp')) and len(snapshot(tmp_path)) == stop - 1
    generate_minidrive_video(tmp_path, **TINY)
    assert snapshot(tmp_path) == whole


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(tmp_path, whole):
    generate_minidrive_video(tmp_path, nproc=3, **TINY)
    assert snapshot(tmp_path) == whole


def test_other_parameters_are_refused_or_replaced(written, whole):
    with pytest.raises(ValueError, match='seed: 0 on disk, 1 asked.*--overwrite'):
        generate_minidrive_video(written, seed=1, **TINY)
    assert snapshot(written) == whole
    generate_minidrive_video(written, seed=1, overwrite=True, **TINY)
    after = snapshot(written)
    assert set(after) == set(whole)
    changed = {path for path in whole if after[path] != whole[path]}
    assert 'viper/train/img/001/001_00001.png' in changed and 'cityscapes_vps/panoptic_gt_val_city_vps.json' in changed


def test_clips_to_train_and_to_validate_have_lengths_of_their_own(tmp_path):
    generate_minidrive_video(tmp_path, **{**TINY, 'target_frames': 5, 'val_frames': 6})
    counts = [len(list((tmp_path / 'cityscapes_vps' / split / 'img').iterdir())) for split in ('train', 'val')]
    assert counts == [5, 6]


def test_stills_and_video_share_a_folder(written, whole):
    stills = dict(size=(48, 32), num_source=1, num_target_train=0, num_target_val=0, progress=False)
    generate_minidrive(written, **stills)
    generate_minidrive(written, seed=1, overwrite=True, **stills)
    both = snapshot(written)
    assert {path: both[path] for path in whole} == whole and 'gta5/images/00001.png' in both
    less = {**TINY, 'source_clips': 1, 'target_clips': 0, 'val_clips': 0}
    generate_minidrive_video(written, overwrite=True, **less)
    assert snapshot(written)['gta5/images/00001.png'] == both['gta5/images/00001.png']
    assert not (written / 'cityscapes_vps').exists()


def test_foreign_data_is_never_touched(tmp_path):
    (tmp_path / 'flow').mkdir()
    (tmp_path / 'flow/mine.flo').write_text('mine')
    with pytest.raises(FileExistsError, match='was not made by MiniDrive'):
        generate_minidrive_video(tmp_path, overwrite=True, **TINY)
    assert snapshot(tmp_path) == {'flow/mine.flo': b'mine'}


@pytest.mark.parametrize('arguments', [dict(target_frames=4), dict(val_frames=4), dict(source_frames=1), dict(val_clips=-1),
                                       dict(nproc=0)])
def test_bad_numbers_are_named(tmp_path, arguments):
    with pytest.raises(ValueError, match='target_frames and val_frames >= 5 and nproc >= 1, got'):
        generate_minidrive_video(tmp_path, **{**TINY, **arguments})
    assert not list(tmp_path.iterdir())


def test_the_command_line(tmp_path, whole, monkeypatch, capsys, repo_root):
    arguments = ['--video', '--root', str(tmp_path / 'data'), '--sheet', str(tmp_path / 'sheet'), '--size', '48x32',
                 '--source-clips', '2', '--source-frames', '2', '--target-clips', '1', '--target-frames', '5',
                 '--val-clips', '1', '--val-frames', '5']
    monkeypatch.setattr(sys, 'argv', ['make_minidrive.py', *arguments])
    runpy.run_path(str(repo_root / 'tools/dataset_converters/make_minidrive.py'), run_name='__main__')
    printed = capsys.readouterr().out
    assert snapshot(tmp_path / 'data') == whole
    assert read_png(tmp_path / 'sheet/minidrive_video.png').shape == (4 * 32, 4 * 48, 3)
    row, = (line for line in printed.splitlines() if line.startswith('road'))
    share = np.mean([(read_png(path) == 3).mean() for path in (tmp_path / 'data/viper/train/cls').rglob('*.png')])
    assert float(row.split()[1]) == pytest.approx(100 * share, abs=0.01)
    assert [line for line in printed.splitlines() if line.startswith('rider')][0].split()[1] == '0.00'
