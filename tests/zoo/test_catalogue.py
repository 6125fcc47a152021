# SPDX-License-Identifier: Apache-2.0
"""Published files by name: from the package, a folder, or servers in their order."""
import hashlib
import json

import pytest
from broken_server import serve

from udatools.models.backbones import weights
from udatools.utils.download import DownloadError
from udatools.zoo import catalogue
from udatools.zoo.catalogue import checkpoint_file, find_checkpoint, obtain, read_backbones, read_checkpoints

CONTENT = b'far' * 20_000
SHA = hashlib.sha256(CONTENT).hexdigest()
FILE = f'far-{SHA[:8]}.pth'


@pytest.fixture
def server():
    with serve(CONTENT) as served:
        yield served


@pytest.fixture
def places(tmp_path, monkeypatch, server):
    """A catalogue of `near`, which is built in, and `far`, which is on the server; an empty cache; returns the cache."""
    near = b'near' * 10
    sha = hashlib.sha256(near).hexdigest()
    package = tmp_path / 'package'
    package.mkdir()
    (package / f'near-{sha[:8]}.pth').write_bytes(near)
    entries = [dict(name='near', file=f'near-{sha[:8]}.pth', sha256=sha, bytes=len(near), urls=[], config='c.py', seed=0),
               dict(name='far', file=FILE, sha256=SHA, bytes=len(CONTENT), urls=[server.address('home')], config='c.py', seed=0)]
    (tmp_path / 'index.json').write_text(json.dumps({'checkpoints': entries}))
    monkeypatch.setattr(catalogue, 'INDEX', tmp_path / 'index.json')
    monkeypatch.setattr(catalogue, 'BUILT_IN', package)
    monkeypatch.setenv('UDATOOLS_WEIGHTS', str(tmp_path / 'cache'))
    monkeypatch.delenv('UDATOOLS_WEIGHTS_MIRROR', raising=False)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    return tmp_path / 'cache'


def test_built_in_files_are_copied_and_fetched_ones_checked(places, server, tmp_path):
    near = obtain(find_checkpoint('near'), tmp_path / 'out')
    assert near.read_bytes() == b'near' * 10 and near.parent == tmp_path / 'out' and server.asked == []
    far = obtain(find_checkpoint('far'), tmp_path / 'out')
    assert far == tmp_path / 'out' / FILE and far.read_bytes() == CONTENT and server.asked == [('/home', 0)]
    near.write_bytes(b'old')
    assert obtain(find_checkpoint('near'), tmp_path / 'out').read_bytes() == b'near' * 10


def test_mirrors_come_first_in_their_order(places, server, tmp_path):
    mirrors = [server.address('gone'), server.address('corrupt') + '/', server.address('drop-once')]
    assert obtain(find_checkpoint('far'), tmp_path / 'out', mirrors=mirrors).read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == [f'/gone/{FILE}', f'/corrupt/{FILE}', f'/drop-once/{FILE}']
    server.asked.clear()
    assert obtain(find_checkpoint('far'), tmp_path / 'b', mirrors=[server.address('gone')]).read_bytes() == CONTENT
    assert server.asked[-1] == ('/home', 0)


def test_offline_asks_nobody(places, server, tmp_path):
    folder = tmp_path / 'stick'
    folder.mkdir()
    with pytest.raises(DownloadError, match=f'stick has no {FILE}; put that file there.*It is published at http://127'):
        obtain(find_checkpoint('far'), tmp_path / 'out', offline=folder)
    (folder / FILE).write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match=f'{FILE} is damaged or another file: its sha256 is [0-9a-f]{{64}}, expected {SHA}'):
        obtain(find_checkpoint('far'), tmp_path / 'out', offline=folder)
    assert not (tmp_path / 'out').exists()
    (folder / FILE).write_bytes(CONTENT)
    assert obtain(find_checkpoint('far'), tmp_path / 'out', offline=folder).read_bytes() == CONTENT
    assert server.asked == [] and [path.name for path in (tmp_path / 'out').iterdir()] == [FILE]


def test_a_name_stands_for_its_file_and_a_path_for_itself(places, server, tmp_path, monkeypatch):
    assert checkpoint_file('near') == catalogue.BUILT_IN / find_checkpoint('near').file
    assert checkpoint_file('far') == places / FILE and len(server.asked) == 1
    assert checkpoint_file('far') == places / FILE and len(server.asked) == 1  # found
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'far').write_text('a file of that name comes first')
    assert str(checkpoint_file('far')) == 'far'
    assert str(checkpoint_file('some/model.pth')) == 'some/model.pth'
    (tmp_path / 'far').unlink()
    (tmp_path / 'far').mkdir()  # a folder is no checkpoint
    assert checkpoint_file('far') == places / FILE and len(server.asked) == 1
    (places / FILE).write_bytes(b'damaged')
    assert checkpoint_file('far').read_bytes() == CONTENT and len(server.asked) == 2
    (places / FILE).unlink()
    monkeypatch.setenv('UDATOOLS_WEIGHTS_MIRROR', server.address('mirror'))
    assert checkpoint_file('far') == places / FILE and server.asked[-1] == (f'/mirror/{FILE}', 0)


def test_backbones_are_fetched_from_their_publisher(places, server, tmp_path, monkeypatch):
    monkeypatch.setitem(weights.TORCHVISION_FILES, 'resnet18', f'resnet18-{SHA[:8]}.pth')
    monkeypatch.setattr(catalogue, 'published_base', lambda publisher: server.address(publisher))
    entry = find_checkpoint('torchvision://resnet18')
    assert entry.sha256 == SHA[:8] and entry.bytes is None and entry.built_in is None
    assert obtain(entry, tmp_path / 'out').name == f'resnet18-{SHA[:8]}.pth'
    assert server.asked == [(f'/torchvision/resnet18-{SHA[:8]}.pth', 0)]


def test_unknown_names_list_the_known(places):
    with pytest.raises(DownloadError, match="nothing is published here as 'fare'; choose one of near, far, torchvision://resnet18"):
        find_checkpoint('fare')


def test_the_catalogue_of_this_package():
    known = read_checkpoints()
    assert known['spl_minidrive'].built_in is not None and known['spl_minidrive'].config == 'configs/labor/spl_minidrive.py'
    assert sum(entry.bytes for entry in known.values() if entry.built_in) < 3_000_000
    assert 'mmseg://mit_b5' in read_backbones()
