# SPDX-License-Identifier: Apache-2.0
"""Atomic writes: old or new, never half, and errors that name file and remedy."""
import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from udatools.utils import atomic
from udatools.utils.png import read_png


def test_write_creates_folders_and_replaces(tmp_path):
    path = tmp_path / 'a' / 'b' / 'file.bin'
    atomic.write_bytes_atomic(path, b'one')
    atomic.write_bytes_atomic(str(path), b'two')
    assert path.read_bytes() == b'two'
    assert [p.name for p in path.parent.iterdir()] == ['file.bin']


def test_json_round_trip_and_nothing_written_for_no_json(tmp_path):
    path = tmp_path / 'x.json'
    atomic.write_json_atomic(path, {'a': [1, 2.5, None], 'é': 'ü'})
    assert json.loads(path.read_text(encoding='utf-8')) == {'a': [1, 2.5, None], 'é': 'ü'}
    with pytest.raises(TypeError):
        atomic.write_json_atomic(path, {'a': object()})
    assert json.loads(path.read_text(encoding='utf-8'))['a'] == [1, 2.5, None]


@pytest.mark.parametrize('array', [
    np.arange(12, dtype=np.uint8).reshape(3, 4),
    (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4),
    np.arange(36, dtype=np.uint8).reshape(3, 4, 3),
])
def test_png_round_trip(tmp_path, array):
    path = tmp_path / 'x.png'
    atomic.write_png_atomic(path, array)
    back = read_png(path)
    assert back.dtype == array.dtype and np.array_equal(back, array)


@pytest.mark.parametrize('array', [
    np.zeros((3, 4), np.int64),
    np.zeros((3, 4), np.float32),
    np.zeros((3, 4, 2), np.uint8),
    np.zeros((0, 4), np.uint8),
    np.zeros(5, np.uint8),
])
def test_png_refuses_what_it_would_have_to_convert(tmp_path, array):
    with pytest.raises(ValueError, match='got (dtype|shape)'):
        atomic.write_png_atomic(tmp_path / 'x.png', array)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('code, words', [(errno.ENOSPC, 'disk is full'), (errno.EROFS, 'read-only'),
                                         (errno.EACCES, 'permission denied')])
@pytest.mark.parametrize('function', ['fsync', 'replace'])
def test_failure_keeps_the_old_file_and_cleans_up(tmp_path, monkeypatch, function, code, words):
    path = tmp_path / 'labels' / 'x.png'
    atomic.write_bytes_atomic(path, b'old')

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.os, function, fail)
    with pytest.raises(OSError, match=words) as caught:
        atomic.write_bytes_atomic(path, b'new')
    monkeypatch.undo()
    assert str(path) in str(caught.value) and caught.value.errno == code
    assert path.read_bytes() == b'old'
    assert [p.name for p in path.parent.iterdir()] == ['x.png']


def test_interrupt_cleans_up(tmp_path, monkeypatch):

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, 'fsync', interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_bytes_atomic(tmp_path / 'x', b'new')
    assert list(tmp_path.iterdir()) == []


def test_parent_is_a_file(tmp_path):
    (tmp_path / 'labels').write_text('in the way')
    with pytest.raises(OSError, match='labels'):
        atomic.write_bytes_atomic(tmp_path / 'labels' / 'x.png', b'data')
    assert (tmp_path / 'labels').read_text() == 'in the way'


def test_real_write_limit(tmp_path):
    """A limit of the operating system, not a patch: the write stops midway as on a full disk."""
    pytest.importorskip('resource')
    code = ('import resource, sys\n'
            'from udatools.utils.atomic import write_bytes_atomic\n'
            'path = sys.argv[1]\n'
            'write_bytes_atomic(path, b"old")\n'
            'resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n'
            'try:\n'
            '    write_bytes_atomic(path, bytes(100000))\n'
            'except OSError as error:\n'
            '    print(error)\n')
    path = tmp_path / 'x.png'
    # The module alone, by path: the package would import mmseg, which is not what is tested.
    code = code.replace('from udatools.utils.atomic import write_bytes_atomic\n',
                        f'sys.path.insert(0, {os.path.dirname(atomic.__file__)!r})\n'
                        'from atomic import write_bytes_atomic\n')
    done = subprocess.run([sys.executable, '-c', code, str(path)], capture_output=True, text=True, timeout=60)
    assert str(path) in done.stdout and 'limit' in done.stdout, done.stdout + done.stderr
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['x.png']
