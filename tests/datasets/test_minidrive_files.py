# SPDX-License-Identifier: Apache-2.0
"""MiniDrive on disk: the native formats, and writing that is resumable, idempotent and never over foreign data."""
from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from udatools.datasets.minidrive import generate, generate_minidrive, render_clip, render_still
from udatools.datasets.minidrive.taxonomy import CAMVID_IDS, CAMVID_VOID, THINGS, train_to_raw
from udatools.datasets.minidrive.writers import FORMATS, instance_ids, write_atomic, write_clip

SMALL = (96, 48)


# -------------------------------------------------------------------------------------------------------------- formats


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp('minidrive')
    generate_minidrive(root, size=SMALL, num_source=3, num_target_train=3, num_target_val=2, formats=tuple(FORMATS),
                       progress=False)
    return root


def test_layout_is_the_native_one(written):
    files = sorted(p.relative_to(written).as_posix() for p in written.rglob('*.png'))
    for path in ('gta5/images/00001.png', 'gta5/labels/00003.png', 'synthia/RGB/0000000.png',
                 'synthia/GT/LABELS/0000002.png', 'camvid/train/MiniDrive_000000.png',
                 'camvid/valannot/MiniDrive_000001.png',
                 'cityscapes/leftImg8bit/train/ashford/ashford_000000_000019_leftImg8bit.png',
                 'cityscapes/gtFine/val/foxhollow/foxhollow_000001_000019_gtFine_instanceIds.png'):
        assert path in files
    assert len(files) == 2 * 3 + 2 * 3 + 4 * 5 + 2 * 5


def _read(path):
    data = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert data is not None, path
    return data


def test_gta5_labels_are_palette_pngs_of_raw_ids(written):
    item = render_still('sim', 0, 'train', 0, SMALL)
    assert (_read(written / 'gta5/images/00001.png')[:, :, ::-1] == item['image']).all()
    picture = Image.open(written / 'gta5/labels/00001.png')
    assert picture.mode == 'P'
    raw = np.array(picture)
    table = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14,
             28: 15, 31: 16, 32: 17, 33: 18}
    assert (np.vectorize(lambda k: table.get(k, 255))(raw) == item['label']).all()
    assert np.array(picture.convert('RGB'))[raw == 7][0].tolist() == [128, 64, 128]


def test_synthia_labels_are_16_bit_with_the_class_in_the_last_channel(written):
    item = render_still('sim', 1, 'train', 0, SMALL)
    raw = _read(written / 'synthia/GT/LABELS/0000001.png')
    assert raw.dtype == np.uint16 and raw.shape == (*SMALL[::-1], 3)
    table = {3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13, 18: 14,
             19: 15, 20: 16, 12: 17, 11: 18}
    assert (np.vectorize(lambda k: table.get(k, 255))(raw[:, :, -1]) == item['label']).all()
    assert (raw[:, :, 1] == item['instance']).all()


def test_cityscapes_files_agree(written):
    item = render_still('real', 1, 'val', 0, SMALL)
    stem = written / 'cityscapes/gtFine/val/foxhollow/foxhollow_000001_000019_gtFine_'
    raw, train, instance = (_read(f'{stem}{kind}.png') for kind in ('labelIds', 'labelTrainIds', 'instanceIds'))
    assert (train == item['label']).all()
    assert raw.max() <= 33 and (raw[train == 13] == 26).all() and (raw[train == 0] == 7).all()
    assert (raw[train == 255] == 4).all()
    assert instance.dtype == np.uint16
    things = np.isin(train, sorted(THINGS))
    assert (instance[~things] == raw[~things]).all() and (instance[things] // 1000 == raw[things]).all()
    assert len(np.unique(instance[things])) == len(np.unique(item['instance'][things]))


def test_instance_ids_by_hand():
    label = np.array([[0, 13, 13, 13, 11, 255]], np.uint8)
    instance = np.array([[0, 9, 4, 9, 30, 0]], np.int32)
    assert instance_ids(label, instance).tolist() == [[7, 26001, 26000, 26001, 24000, 4]]


def test_camvid_labels_hold_eleven_classes_and_unlabelled(written):
    item = render_still('real', 0, 'train', 0, SMALL)
    raw = _read(written / 'camvid/trainannot/MiniDrive_000000.png')
    assert raw.max() <= 11
    names = {0: 3, 1: 4, 2: 1, 3: 1, 4: 7, 5: 2, 6: 6, 7: 6, 8: 5, 9: 5, 10: 0, 11: 9, 12: 10, 13: 8, 14: 8, 15: 8,
             16: 8, 17: 10, 18: 10, 255: 11}
    assert (np.vectorize(names.get)(item['label']) == raw).all()


def test_camvid_table():
    """sky building pole road pavement tree sign fence car pedestrian bicyclist."""
    expected = [3, 4, 1, 1, 7, 2, 6, 6, 5, 5, 0, 9, 10, 8, 8, 8, 8, 10, 10]
    table = train_to_raw(CAMVID_IDS, CAMVID_VOID)
    assert table[:19].tolist() == expected and set(table[19:]) == {11}


def test_clip_round_trip(tmp_path):
    clip = render_clip('real', 0, size=SMALL, num_frames=2)
    folder = write_clip(tmp_path, 'one', clip)
    assert (_read(folder / 'frames/000001.png')[:, :, ::-1] == clip['image'][1]).all()
    assert (_read(folder / 'labels/000000.png') == clip['label'][0]).all()
    assert (_read(folder / 'instances/000001.png') == clip['instance'][1]).all()
    with np.load(folder / 'flow/000000.npz') as stored:
        assert (stored['flow'] == clip['flow'][0]).all() and (stored['visible'] == clip['visible'][0]).all()
    assert not (folder / 'flow/000001.npz').exists()


# ----------------------------------------------------------------------------------------------------------- generation


def _snapshot(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


ARGUMENTS = {'size': (64, 32), 'num_source': 2, 'num_target_train': 1, 'num_target_val': 1, 'progress': False}


def test_complete_data_is_left_alone_and_broken_data_is_completed(tmp_path, monkeypatch):
    generate_minidrive(tmp_path, **ARGUMENTS)
    before = _snapshot(tmp_path)
    (tmp_path / 'gta5/labels/00002.png').unlink()
    (tmp_path / 'cityscapes/leftImg8bit/val/elmstead/elmstead_000000_000019_leftImg8bit.png').unlink()
    generate_minidrive(tmp_path, **ARGUMENTS)
    assert _snapshot(tmp_path) == before
    monkeypatch.setattr(generate, 'render_still', lambda *a: pytest.fail('rendered again'))
    generate_minidrive(tmp_path, **ARGUMENTS)


def test_interrupted_generation_is_resumed(tmp_path, monkeypatch):
    whole, part = tmp_path / 'whole', tmp_path / 'part'
    generate_minidrive(whole, **ARGUMENTS)
    replace, calls = os.replace, []

    def failing(source, target):
        calls.append(target)
        if len(calls) == 5:
            raise OSError(28, 'No space left on device')
        replace(source, target)

    monkeypatch.setattr(os, 'replace', failing)
    with pytest.raises(OSError, match='No space'):
        generate_minidrive(part, **ARGUMENTS)
    monkeypatch.setattr(os, 'replace', replace)
    assert not list(part.rglob('*.tmp')) and len(_snapshot(part)) == 4
    generate_minidrive(part, **ARGUMENTS)
    assert _snapshot(part) == _snapshot(whole)


def test_formats_can_be_added(tmp_path):
    generate_minidrive(tmp_path, formats=('gta5',), **ARGUMENTS)
    generate_minidrive(tmp_path, formats=('camvid',), **ARGUMENTS)
    assert json.loads((tmp_path / 'minidrive.json').read_text())['formats'] == ['camvid', 'gta5']
    assert (tmp_path / 'gta5').is_dir() and (tmp_path / 'camvid').is_dir() and not (tmp_path / 'cityscapes').exists()


def test_other_parameters_are_refused_or_replaced(tmp_path):
    generate_minidrive(tmp_path, formats=('gta5',), **ARGUMENTS)
    before = _snapshot(tmp_path)
    with pytest.raises(ValueError, match='seed: 0 on disk, 1 asked.*--overwrite'):
        generate_minidrive(tmp_path, formats=('gta5',), seed=1, **ARGUMENTS)
    assert _snapshot(tmp_path) == before
    generate_minidrive(tmp_path, formats=('gta5',), seed=1, overwrite=True, **ARGUMENTS)
    fresh = tmp_path / 'fresh'
    generate_minidrive(fresh, formats=('gta5',), seed=1, **ARGUMENTS)
    assert (tmp_path / 'gta5/images/00001.png').read_bytes() == (fresh / 'gta5/images/00001.png').read_bytes()
    assert (tmp_path / 'gta5/images/00001.png').read_bytes() != before['gta5/images/00001.png']


@pytest.mark.parametrize('overwrite', [False, True])
def test_foreign_data_is_never_touched(tmp_path, overwrite):
    (tmp_path / 'cityscapes').mkdir()
    (tmp_path / 'cityscapes/precious.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='was not made by MiniDrive'):
        generate_minidrive(tmp_path, overwrite=overwrite, **ARGUMENTS)
    assert _snapshot(tmp_path) == {'cityscapes/precious.txt': b'mine'}


def test_bad_record_and_bad_arguments(tmp_path):
    (tmp_path / 'minidrive.json').write_text('{"seed": ')
    with pytest.raises(ValueError, match='minidrive.json is not readable'):
        generate_minidrive(tmp_path, **ARGUMENTS)
    with pytest.raises(ValueError, match='gta6.*choose one or more of gta5'):
        generate_minidrive(tmp_path, formats=('gta6',), **ARGUMENTS)


def test_write_atomic_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / 'a' / 'b.png'
    write_atomic(path, b'old')

    def failing(*_):
        raise OSError('disk')

    monkeypatch.setattr(os, 'replace', failing)
    with pytest.raises(OSError, match='disk'):
        write_atomic(path, b'new')
    assert path.read_bytes() == b'old' and list(path.parent.iterdir()) == [path]
