# SPDX-License-Identifier: Apache-2.0
"""The request package: region ids, identity by content, damage noticed."""
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import ndimage

from udatools.active import Request
from udatools.active.request import number_regions, write_request


def test_regions_are_numbered_by_their_first_pixel():
    asked = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0]], bool)
    region = number_regions(asked)
    assert region.dtype == np.uint16
    assert region.tolist() == [[0, 0, 1], [2, 0, 0], [0, 2, 0], [0, 0, 0], [3, 3, 0]]
    assert number_regions(asked, points=True).max() == 5
    units = np.array([40, 7, 7, 9, 40])
    assert number_regions(asked, units=units).tolist() == [[0, 0, 1], [2, 0, 0], [0, 2, 0], [0, 0, 0], [3, 1, 0]]
    assert not number_regions(np.zeros((2, 2), bool)).any()


def test_regions_equal_those_of_an_independent_labeller():
    asked = np.random.default_rng(0).random((60, 80)) < 0.3
    region = number_regions(asked)
    expected, count = ndimage.label(asked, np.ones((3, 3)))
    assert region.max() == count and np.array_equal(region > 0, asked)
    assert len(np.unique(np.stack([region[asked], expected[asked]]), axis=1).T) == count


def test_more_regions_than_ids_share_the_last():
    asked = np.zeros((600, 600), bool)
    asked[::2, ::2] = True  # 90000 isolated pixels
    region = number_regions(asked)
    assert np.array_equal(region > 0, asked) and region.max() == 65535 and (region == 65535).sum() == 90000 - 65534


def test_written_and_read_back(make_request):
    masks = {'a/1': np.eye(4, dtype=bool), 'a/2': np.zeros((3, 5), bool)}
    written = make_request(masks)
    request = Request.load(written.root)
    assert request.header == written.header and request.items == written.items
    assert request.asked_keys() == ['a/1'] and 'a/2' in request and 'a/3' not in request
    assert np.array_equal(request.regions('a/1') > 0, masks['a/1'])
    assert request.header['classes'][1] == dict(id=1, name='car', colour=[0, 0, 142], key='2')
    for name in ('schema_version', 'request_id', 'run', 'round', 'selector', 'dataset_fingerprint', 'ignore_index',
                 'coordinates', 'budget'):
        assert name in request.header


def test_names_may_hold_what_ends_a_line_elsewhere(make_request):
    keys = ['a\u2028b', 'c\x85d', 'e\u2029', 'f g']
    assert Request.load(make_request({key: np.eye(2, dtype=bool) for key in keys}).root).asked_keys() == keys


def test_identity_is_the_content(make_request):
    eye = np.eye(4, dtype=bool)
    first = make_request({'a': eye}, name='x')
    assert make_request({'a': eye}, name='y').request_id == first.request_id
    assert make_request({'a': eye[::-1]}, name='z').request_id != first.request_id
    assert make_request({'a': eye}, kind='points', name='w').request_id != first.request_id


def test_without_request_json_it_is_not_complete(make_request, tmp_path):
    root = make_request({'a': np.eye(4, dtype=bool)}).root
    (root / 'request.json').unlink()
    assert Request.load(root) is None and Request.load(tmp_path / 'nowhere') is None


@pytest.mark.parametrize('damage', ['header', 'items', 'no items', 'truncated', 'type'])
def test_damage_is_noticed(make_request, damage):
    root = make_request({'a': np.eye(4, dtype=bool)}).root
    path = root / 'request.json'
    if damage == 'header':
        path.write_text(json.dumps({**json.loads(path.read_text()), 'ignore_index': 0}))
    elif damage == 'items':
        text = (root / 'items.jsonl').read_text()
        (root / 'items.jsonl').write_text(text.replace('"asked": 4', '"asked": 3'))
    elif damage == 'no items':
        (root / 'items.jsonl').unlink()
    elif damage == 'truncated':
        path.write_text(path.read_text()[:50])
    else:
        path.write_text('[]')
    with pytest.raises(ValueError, match=r'request\.json'):
        Request.load(root)


@pytest.mark.parametrize('field', ['key', 'path', 'mask'])
@pytest.mark.parametrize('name', ['../evil.png', '/tmp/evil.png', 'masks/../../evil.png', '..\\evil.png', 'C:\\evil.png', ''])
def test_paths_cannot_leave_the_package(make_request, tmp_path, field, name):
    """Also where somebody computed the right request_id for them."""
    request = make_request({'a': np.eye(4, dtype=bool)})
    header = {key: value for key, value in request.header.items() if key not in ('request_id', 'schema_version', 'coordinates')}
    write_request(tmp_path / 'other', header, [replace(request.items[0], **{field: name})])
    with pytest.raises(ValueError, match='leads out of the package'):
        Request.load(tmp_path / 'other')


def test_a_changed_mask_is_noticed(make_request):
    request = make_request({'a': np.eye(4, dtype=bool)})
    cv2.imwrite(str(request.root / 'masks' / 'a.png'), np.ones((4, 4), np.uint16))
    with pytest.raises(ValueError, match=r'a\.png is missing or damaged'):
        request.regions('a')


def test_request_json_is_written_last(make_request, tmp_path, monkeypatch):
    request = make_request({'a': np.eye(4, dtype=bool)})
    order = []
    monkeypatch.setattr('udatools.active.request.write_bytes_atomic', lambda path, data: order.append(path.name))
    monkeypatch.setattr('udatools.active.request.write_json_atomic', lambda path, data: order.append(path.name))
    write_request(tmp_path, {}, request.items)
    assert order == ['items.jsonl', 'request.json']
