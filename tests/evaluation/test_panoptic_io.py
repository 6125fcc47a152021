# SPDX-License-Identifier: Apache-2.0
"""Panoptic PNG and JSON, written and read, and as the release of Cityscapes-VPS names them."""
import json
import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.evaluation.panoptic_io import (
    Category,
    PanopticWriter,
    clip_of_name,
    read_panoptic_png,
    read_panoptic_set,
    semantic_categories,
    semantic_ids,
    write_panoptic_png,
)

CATEGORIES = [Category(0, 'road', False), Category(13, 'car', True)]


def test_ids_are_red_green_blue(tmp_path):
    bgr = np.array([[[3, 2, 1], [0, 0, 255], [255, 255, 255], [0, 0, 0]]], np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), bgr)
    ids = read_panoptic_png(tmp_path / 'a.png')
    assert ids.dtype == np.uint32 and ids.tolist() == [[1 + 2 * 256 + 3 * 65536, 255, 2**24 - 1, 0]]
    write_panoptic_png(tmp_path / 'b.png', ids)
    assert (cv2.imread(str(tmp_path / 'b.png'), cv2.IMREAD_UNCHANGED) == bgr).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=12))
def test_what_is_written_is_read(tmp_path_factory, ids):
    path = tmp_path_factory.getbasetemp() / 'ids.png'
    write_panoptic_png(path, np.array([ids]))
    assert read_panoptic_png(path).tolist() == [ids]


def test_png_errors(tmp_path):
    cv2.imwrite(str(tmp_path / 'grey.png'), np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=r'grey.png has shape \(2, 2\).*--semantic'):
        read_panoptic_png(tmp_path / 'grey.png')
    with pytest.raises(FileNotFoundError, match='none.png'):
        read_panoptic_png(tmp_path / 'none.png')
    for bad in (np.array([[2**24]]), np.array([[-1]])):
        with pytest.raises(ValueError, match='ids reach from'):
            write_panoptic_png(tmp_path / 'bad.png', bad)
    for bad in (np.zeros((1, 1, 3), int), np.zeros((1, 1))):
        with pytest.raises(ValueError, match='expected integers'):
            write_panoptic_png(tmp_path / 'bad.png', bad)
    assert not (tmp_path / 'bad.png').exists()


@pytest.mark.parametrize('name, expected', [
    ('0005_0025_frankfurt_000000_001736_newImg8bit.png', ('0005', 1736)),
    ('0005_0049_frankfurt_000000_001736_final_mask.png', ('0005', 1736)),
    ('frankfurt_000000_001736_leftImg8bit.png', ('frankfurt_000000', 1736)),
    ('val/lindau/lindau_000001_000019.png', ('val/lindau/lindau_000001', 19)),
    ('001_00010.jpg', ('001', 10)),
    ('drive/000012.png', ('drive', 12)),
    ('drive/shot-12', ('drive/shot', 12)),
    ('0016E5_07961', ('0016E5', 7961)),
    ('7.png', ('', 7)),
])
def test_names_tell_clip_and_frame(name, expected):
    assert clip_of_name(name) == expected


def test_a_pattern_of_ones_own():
    pattern = re.compile(r'cam_t(?P<frame>\d+)_of_(?P<clip>\w+)')
    assert clip_of_name('cam_t07_of_yard.png', pattern) == ('yard', 7)
    for name, one in (('yard_7', pattern), ('left.png', None)):
        with pytest.raises(ValueError, match='does not tell clip and frame.*--clip-pattern'):
            clip_of_name(name, one)


def write_set(folder, **kwargs):
    writer = PanopticWriter(folder / 'pred.json', CATEGORIES, **kwargs)
    writer.add('a_2', np.array([[7, 7, 0], [9, 7, 0]]), {7: 0, 9: 13, 11: 13}, crowd=[9])
    writer.add_semantic('a_1', np.array([[0, 0, 1], [255, 0, 1]], np.uint8))
    writer.finish()
    return folder / 'pred.json'


def test_a_set_is_written_and_read(tmp_path):
    path = write_set(tmp_path)
    content = read_panoptic_set(path)
    assert content.categories == tuple(CATEGORIES)
    first, second = content.frames  # by frame number
    assert (first.clip, first.frame, second.image_id) == ('a', 1, 'a_2')
    assert first.segments == ((1, 0, False), (2, 13, False)) and second.segments == ((7, 0, False), (9, 13, True))
    assert read_panoptic_png(first.path).tolist() == [[1, 1, 2], [0, 1, 2]]
    info = json.loads(path.read_text())['annotations'][0]['segments_info']
    assert [(one['area'], one['bbox']) for one in info] == [(3, [0, 0, 2, 2]), (1, [0, 1, 1, 1])]
    with pytest.raises(ValueError, match=r'a_3: segments \[5\] have no category'):
        PanopticWriter(path, CATEGORIES).add('a_3', np.array([[5]]), {})


def test_pictures_that_are_there_are_taken_into_a_set(tmp_path):
    write_panoptic_png(tmp_path / 'pred' / 'a_1.png', semantic_ids(np.array([[1, 255, 0]], np.uint8)))
    writer = PanopticWriter(tmp_path / 'pred.json', semantic_categories(['car', 'road']))
    writer.adopt_semantic('a_1')
    writer.finish()
    frame, = read_panoptic_set(tmp_path / 'pred.json').frames
    assert frame.segments == ((1, 13, False), (2, 0, False)) and read_panoptic_png(frame.path).tolist() == [[2, 0, 1]]


def test_categories_of_a_network_are_those_of_cityscapes_where_it_has_them():
    assert semantic_categories(['road', 'bicycle']) == (Category(0, 'road', False), Category(18, 'bicycle', False))
    assert [one.id for one in semantic_categories(['sky', 'pavement'])] == [0, 1]


@pytest.mark.parametrize('folder', ['pred', 'pan_pred', 'val/panoptic_video', '.'])
def test_pngs_are_found_beside_the_json(tmp_path, folder):
    path = write_set(tmp_path, png_dir=tmp_path / folder)
    assert read_panoptic_set(path).frames[0].path == str(tmp_path / folder / 'a_1.png')


def test_pngs_elsewhere(tmp_path):
    path = write_set(tmp_path, png_dir=tmp_path / 'far' / 'away')
    with pytest.raises(FileNotFoundError, match='no a_2.png, nor any other, in .*pan_pred.*--pred-png'):
        read_panoptic_set(path)
    with pytest.raises(FileNotFoundError, match='in .*near; say where'):
        read_panoptic_set(path, tmp_path / 'near')
    (tmp_path / 'far' / 'away' / 'a_2.png').unlink()  # one that is missing does not hide the others
    assert len(read_panoptic_set(path, tmp_path / 'far' / 'away').frames) == 2


def release(tmp_path, images, annotations):
    (tmp_path / 'pan_pred').mkdir(exist_ok=True)
    for name in ('x_newImg8bit.png', 'x_final_mask.png', '17.png'):
        cv2.imwrite(str(tmp_path / 'pan_pred' / name), np.zeros((1, 1, 3), np.uint8))
    content = dict(images=images, annotations=annotations, categories=[dict(id=0, name='road', isthing=0)])
    (tmp_path / 'x.json').write_text(json.dumps(content))
    return tmp_path / 'x.json'


def test_clip_and_frame_from_where_they_are_said(tmp_path):
    image = dict(id=17, file_name='x_newImg8bit.jpg')
    note = dict(image_id=17, segments_info=[])
    path = release(tmp_path, [dict(image, video_id=3, frame_id=40)], [note])
    one = read_panoptic_set(path).frames[0]
    assert (one.clip, one.frame) == ('3', 40) and one.path.endswith('x_newImg8bit.png')
    path = release(tmp_path, [dict(id=17, video_id=3)], [dict(note, file_name='17.png')])
    assert (read_panoptic_set(path).frames[0].clip, read_panoptic_set(path).frames[0].frame) == ('3', 17)
    path = release(tmp_path, [], [note])  # predictions may have nothing but annotations
    assert read_panoptic_set(path).frames[0].path.endswith('17.png')


def test_json_errors(tmp_path):
    note = dict(image_id=17, file_name='17.png', segments_info=[])
    with pytest.raises(ValueError, match='annotates frame 17 of clip .* twice'):
        read_panoptic_set(release(tmp_path, [], [note, note]))
    with pytest.raises(ValueError, match="an entry lacks 'category_id'"):
        read_panoptic_set(release(tmp_path, [], [dict(note, segments_info=[dict(id=1)])]))
    with pytest.raises(ValueError, match="an entry lacks 'image_id'"):
        read_panoptic_set(release(tmp_path, [], [dict(segments_info=[])]))
    (tmp_path / 'x.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match='no list "annotations"'):
        read_panoptic_set(tmp_path / 'x.json')
    (tmp_path / 'x.json').write_text('{')
    with pytest.raises(ValueError, match='x.json is no JSON'):
        read_panoptic_set(tmp_path / 'x.json')
    with pytest.raises(FileNotFoundError, match='y.json does not exist'):
        read_panoptic_set(tmp_path / 'y.json')
