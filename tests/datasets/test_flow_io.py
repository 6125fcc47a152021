# SPDX-License-Identifier: Apache-2.0
"""Flow files: values by hand from the formats' rules, round trips, and damaged files."""
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.datasets.flow_io import SUFFIXES, flow_path, quick_checksum, read_flow, write_flow

KNOWN = np.array([[True, False, True], [True, True, True]])
FLOW = np.array([[[1.0, 9.0, -2.5], [0.015625, 511.984375, -512.0]], [[0.0, 9.0, 3.25], [-0.25, 0.0, 100.0]]], np.float32)


def test_kitti_by_hand(tmp_path):
    stored = np.zeros((1, 3, 3), np.uint16)  # OpenCV's order: blue = known, green = v, red = u
    stored[0, :, 2] = 2**15 + 64, 2**15 - 96, 0
    stored[0, :, 1] = 2**15, 2**15 + 1, 0
    stored[0, :, 0] = 1, 1, 0
    path = tmp_path / 'a.png'
    cv2.imwrite(str(path), stored)
    flow, valid = read_flow(path)
    assert flow.dtype == np.float32 and valid.dtype == bool
    assert flow.tolist() == [[[1.0, -1.5, 0.0]], [[0.0, 1 / 64, 0.0]]] and valid.tolist() == [[True, True, False]]
    write_flow(tmp_path / 'b.png', flow, valid)
    assert np.array_equal(cv2.imread(str(tmp_path / 'b.png'), cv2.IMREAD_UNCHANGED), stored)


def test_middlebury_by_hand(tmp_path):
    body = struct.pack('<8f', 1.5, -2.0, 0.25, 4.0, 1e10, 1e10, -1e9, 7.0)  # u, v of (0, 0), (1, 0), (2, 0), (3, 0)
    path = tmp_path / 'a.flo'
    path.write_bytes(struct.pack('<fii', 202021.25, 4, 1) + body)  # the number whose bytes read PIEH
    flow, valid = read_flow(path)
    assert flow.tolist() == [[[1.5, 0.25, 0.0, -1e9]], [[-2.0, 4.0, 0.0, 7.0]]] and valid.tolist() == [[True, True, False, True]]
    write_flow(tmp_path / 'b.flo', flow, valid)
    assert (tmp_path / 'b.flo').read_bytes() == path.read_bytes()


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_round_trip(tmp_path, suffix):
    path = tmp_path / 'deep' / f'a{suffix}'
    write_flow(path, FLOW, KNOWN)
    flow, valid = read_flow(path)
    assert np.array_equal(valid, KNOWN) and np.array_equal(flow, np.where(KNOWN, FLOW, 0))
    before = path.read_bytes()
    write_flow(path, FLOW, KNOWN)
    assert path.read_bytes() == before
    write_flow(path, FLOW)
    assert read_flow(path)[1].all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-511.5, 511.5, width=32), min_size=4, max_size=4))
def test_kitti_precision(tmp_path_factory, values):
    path = tmp_path_factory.mktemp('flow') / 'a.png'
    flow = np.array(values, np.float32).reshape(2, 1, 2)
    write_flow(path, flow)
    read, valid = read_flow(path)
    assert valid.all() and np.abs(read - flow).max() <= 1 / 128


def test_half_precision_stays_small(tmp_path):
    flow = np.random.default_rng(0).normal(size=(2, 32, 32)).astype(np.float16)
    write_flow(tmp_path / 'half.npz', flow)
    write_flow(tmp_path / 'full.npz', flow.astype(np.float32) + np.float32(1e-4))
    assert np.array_equal(read_flow(tmp_path / 'half.npz')[0], flow.astype(np.float32))
    assert (tmp_path / 'half.npz').stat().st_size < 0.7 * (tmp_path / 'full.npz').stat().st_size


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_what_cannot_be_held_is_unknown(tmp_path, suffix):
    flow = np.zeros((2, 1, 4), np.float32)
    flow[:, 0] = [[np.nan, 600, np.inf, -513], [0, 0, 0, 0]]
    write_flow(tmp_path / f'a{suffix}', flow)
    read, valid = read_flow(tmp_path / f'a{suffix}')
    assert valid.tolist() == [[False, suffix != '.png', False, suffix != '.png']]
    assert (read[:, ~valid] == 0).all()


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('part', [0.0, 0.5, 0.95])
def test_truncated_files_are_named(tmp_path, suffix, part):
    path = tmp_path / f'a{suffix}'
    write_flow(path, np.random.default_rng(0).normal(size=(2, 16, 16)).astype(np.float32))
    data = path.read_bytes()
    path.write_bytes(data[:int(part * len(data))])
    with pytest.raises(ValueError, match=rf'a\{suffix}.*compute_flow.py'):
        read_flow(path)


def test_other_files_are_no_flow(tmp_path):
    cv2.imwrite(str(tmp_path / 'grey.png'), np.zeros((4, 4), np.uint8))
    cv2.imwrite(str(tmp_path / 'colour.png'), np.zeros((4, 4, 3), np.uint8))
    (tmp_path / 'text.flo').write_bytes(b'hello, this is no flow')
    np.savez(tmp_path / 'other.npz', flow=np.zeros((4, 4, 2)))
    np.savez(tmp_path / 'empty.npz', motion=np.zeros((2, 4, 4)))
    for name in ('grey.png', 'colour.png', 'text.flo', 'other.npz', 'empty.npz'):
        with pytest.raises(ValueError, match=name):
            read_flow(tmp_path / name)
    with pytest.raises(FileNotFoundError, match='tools/compute_flow.py'):
        read_flow(tmp_path / 'none.png')
    for function, arguments in ((read_flow, ()), (write_flow, (FLOW, ))):
        with pytest.raises(ValueError, match='expected one of .png, .flo, .npz'):
            function(tmp_path / 'a.tif', *arguments)
    for flow, valid in ((FLOW[0], None), (FLOW, KNOWN[:1]), (np.zeros((2, 0, 3)), None)):
        with pytest.raises(ValueError, match=r'expected \(2, H, W\)'):
            write_flow(tmp_path / 'a.npz', flow, valid)


def test_layout():
    assert flow_path('root', 'city/a.b_0019', -1).as_posix() == 'root/-1/city/a.b_0019.png'
    assert flow_path('root', 'a', 2, '.flo').as_posix() == 'root/+2/a.flo'
    with pytest.raises(ValueError, match='offset 0'):
        flow_path('root', 'a', 0)
    with pytest.raises(ValueError, match='.jpg'):
        flow_path('root', 'a', 1, '.jpg')


@pytest.mark.parametrize('suffix', ['.png', '.npz', '.flo'])
def test_quick_checksum_is_of_the_content(tmp_path, suffix):
    """Files of one size, one of them copied; in the formats with checksums a single pixel counts."""
    flow = np.ones((2, 40, 50), np.float32)
    contents = [flow, -flow, flow.copy()]
    if suffix != '.flo':
        contents[2][0, 20, 25] = -1
    sums = set()
    for i, content in enumerate(contents):
        write_flow(tmp_path / f'{i}{suffix}', content)
        (tmp_path / f'copy{suffix}').write_bytes((tmp_path / f'{i}{suffix}').read_bytes())
        sums.add(quick_checksum(tmp_path / f'{i}{suffix}'))
        assert quick_checksum(tmp_path / f'copy{suffix}') in sums
    assert len(sums) == (2 if suffix == '.flo' else 3)
