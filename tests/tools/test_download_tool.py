# SPDX-License-Identifier: Apache-2.0
"""``tools/download.py``: lists, fetches, says how what it fetched is used, and why it could not."""
import hashlib
import json

import cv2
import pytest
import torch
from broken_server import serve
from mmengine.config import Config
from tiny_network import drive, write_network

from udatools.engine.frame_predictor import load_frame_predictor
from udatools.zoo import catalogue


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('download.py')


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """Bytes of a published checkpoint: the config is inside."""
    return write_network(tmp_path_factory.mktemp('made'), stage=True).read_bytes()


@pytest.fixture
def server(monkeypatch, published, tmp_path):
    """A server of that checkpoint, which the catalogue calls `far`, at an address that has nothing."""
    monkeypatch.setenv('UDATOOLS_WEIGHTS', str(tmp_path / 'cache'))
    monkeypatch.delenv('UDATOOLS_WEIGHTS_MIRROR', raising=False)
    sha = hashlib.sha256(published).hexdigest()
    with serve(published) as served:
        served.file = f'far-{sha[:8]}.pth'
        entry = dict(name='far', file=served.file, sha256=sha, bytes=len(published), urls=[served.address('gone')],
                     config='configs/c.py', seed=0, data='B', miou=12.3)
        (tmp_path / 'index.json').write_text(json.dumps({'checkpoints': [entry]}))
        monkeypatch.setattr(catalogue, 'INDEX', tmp_path / 'index.json')
        yield served


def test_list(tool, server, capsys):
    assert tool.main(['--list']) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert '12.3  B' in rows['far'] and rows['far'].endswith('not on this machine') and 'torchvision://resnet101' in rows


def test_the_list_of_this_package(tool, capsys):
    assert tool.main(['--list']) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('spl_minidrive '))
    assert '53.4  MiniDrive real' in row and row.endswith('built in')


def test_fetched_over_a_bad_line_and_used(tool, server, tmp_path, capsys, published):
    assert tool.main(['far', '--out', str(tmp_path / 'out'), '--mirror', server.address('corrupt'), server.address('drop')]) == 0
    said = capsys.readouterr().out
    path = tmp_path / 'out' / server.file
    assert path.read_bytes() == published and f'python tools/infer.py {path} INPUT' in said
    assert {start % 30_000 for asked, start in server.asked if 'drop' in asked} == {0}
    config = Config.fromfile(tmp_path / 'out' / 'far.py')
    assert config.model.type == 'UDASegmentor'
    assert sorted(found.name for found in path.parent.iterdir()) == [server.file, 'far.py']
    assert tool.main(['--list']) == 0 and 'not on this machine' in capsys.readouterr().out.splitlines()[1]
    assert tool.main(['far', '--offline', str(tmp_path / 'out')]) == 0  # into the cache
    capsys.readouterr()
    assert tool.main(['--list']) == 0 and str(tmp_path / 'cache') in capsys.readouterr().out.splitlines()[1]
    assert torch.isfinite(load_frame_predictor('far', device='cpu').logits(drive(1))[0]).all()


def test_failures_say_why_and_leave_nothing_half_written(tool, server, tmp_path, capsys):
    out = tmp_path / 'out'
    assert tool.main(['far', '--out', str(out)]) == 1
    said = capsys.readouterr().err
    assert f'error: {server.file} could not be fetched' in said and 'HTTP 404' in said and 'Traceback' not in said
    assert list(out.iterdir()) == []
    assert tool.main(['fare']) == 1 and "published here as 'fare'; choose one of far" in capsys.readouterr().err
    for arguments in ([], ['far', '--offline', 'x', '--mirror', 'y']):
        with pytest.raises(SystemExit):
            tool.main(arguments)


def test_a_name_is_enough_for_inference(load_tool, tmp_path, capfd):
    image = tmp_path / 'street.png'
    cv2.imwrite(str(image), drive(1)[0])
    assert load_tool('infer.py').main(['spl_minidrive', str(image), '--out', str(tmp_path / 'look'), '--device', 'cpu']) == 0
    assert (tmp_path / 'look' / 'overlay' / 'street.png').is_file()
