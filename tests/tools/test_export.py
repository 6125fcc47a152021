# SPDX-License-Identifier: Apache-2.0
"""``tools/export.py``: what it says, writes and refuses (that the answers are right is tests/engine/test_onnx_export.py)."""

import cv2
import numpy as np
import pytest
from tiny_network import drive, write_images, write_network

from udatools.engine import onnx_export
from udatools.engine.onnx_export import Agreement, OnnxFile


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('export.py')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp('network'), resize=(56, 40))


def test_a_stage_checkpoint_and_pictures_of_ones_own(tool, tmp_path, capsys):
    for package in ('onnx', 'onnxruntime', 'onnxscript'):
        pytest.importorskip(package)
    stage = write_network(tmp_path / 'run', stage=True)
    folder = write_images(tmp_path / 'in', drive(3))
    out = tmp_path / 'model.onnx'
    assert tool.main([str(stage), '--out', str(out), '--size', '48', '64', '--images', str(folder), '--max-images', '2']) == 0
    said = capsys.readouterr()
    assert f'{out}: pictures of 48x64, 0.' in said.out and '100.0000% of the pixels (2 pictures)' in said.out
    assert not said.err
    assert tool.main([str(stage), '--out', str(out), '--size', '48', '64']) == 1
    assert 'exists already' in capsys.readouterr().err


def test_options_reach_the_export(tool, checkpoint, tmp_path, monkeypatch, capsys):
    seen = {}

    def export(predictor, out, **options):
        seen.update(options)
        out.write_bytes(bytes(3 << 20))
        return OnnxFile(out, (40, 56), Agreement(2, 1e-6, 8.0, 1.0), smallest=64)

    monkeypatch.setattr(onnx_export, 'export_onnx', export)
    images = write_images(tmp_path / 'in', drive(1))
    status = tool.main([str(checkpoint), '--out', str(tmp_path / 'a.onnx'), '--dynamic', '--normalised', '--outputs', 'logits',
                        'ids', '--tolerance', '0.01', '--images', str(images), '--overwrite'])
    pictures = seen.pop('images')
    assert status == 0
    assert seen == dict(size=None, dynamic=True, raw=False, outputs=['logits', 'ids'], tolerance=0.01, overwrite=True)
    assert np.array_equal(pictures[0][..., ::-1], cv2.imread(str(images / '0.png')))  # RGB
    assert 'pictures of any size from 64 pixels on, 3.0 MiB' in capsys.readouterr().out


def test_what_is_refused(tool, checkpoint, tmp_path, capsys):
    for arguments, message in (
        ([tmp_path / 'nowhere.pth', '--out', tmp_path / 'a.onnx'], 'nowhere.pth is not a readable checkpoint'),
        ([checkpoint, '--out', tmp_path / 'a.onnx', '--images', tmp_path / 'nowhere.png'], 'nowhere.png does not exist'),
        ([checkpoint, '--out', tmp_path / 'a.pb'], 'a name that ends with .onnx'),
    ):
        assert tool.main([str(argument) for argument in arguments]) == 1
        error = capsys.readouterr().err
        assert message in error and 'Traceback' not in error
    with pytest.raises(SystemExit):
        tool.main([str(checkpoint), '--out', 'a.onnx', '--max-images', '0'])
    assert not list(tmp_path.iterdir())


def test_outputs_are_those_of_the_graph(tool):
    assert tool.OUTPUTS == onnx_export.OUTPUTS
