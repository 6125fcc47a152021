# SPDX-License-Identifier: Apache-2.0
"""The programs of docs/export.md and docs/logging.md run, on files that the tools and runs of this repository write."""
import json
import re

import cv2
import numpy as np
import pytest
from shrink import REPO
from tiny_network import CLASSES, PALETTE, drive, write_network

from udatools.engine.frame_predictor import load_frame_predictor
from udatools.engine.onnx_export import export_onnx


def programs(page):
    text = (REPO / 'docs' / page).read_text(encoding='utf-8')
    return re.findall(r'^```python\n(.*?)^```', text, flags=re.MULTILINE | re.DOTALL)


def test_an_exported_file_in_a_program(tmp_path, monkeypatch):
    for package in ('onnx', 'onnxruntime', 'onnxscript'):
        pytest.importorskip(package)
    predictor = load_frame_predictor(write_network(tmp_path / 'net', resize=(64, 48)), device='cpu')
    export_onnx(predictor, tmp_path / 'street.onnx')
    image = drive(1, size=(96, 72))[0]
    cv2.imwrite(str(tmp_path / 'street.png'), image)
    monkeypatch.chdir(tmp_path)
    code, = programs('export.md')
    found: dict = {}
    exec(code, found)
    expected = predictor.predict([cv2.resize(image, (64, 48))])[0].label
    assert (found['ids'][0] == expected).mean() > 0.999
    assert found['names'] == [CLASSES[i] for i in np.unique(expected)]
    assert np.array_equal(found['colours'], np.asarray(PALETTE, np.uint8)[found['ids'][0]])


def test_points_of_curves_in_a_program(tmp_path, monkeypatch):
    code = programs('logging.md')[0]
    file = tmp_path / re.search(r"open\('(.*)'\)", code).group(1)
    file.parent.mkdir(parents=True)
    points = [{'train/loss': 2.5, 'step': 1}, {'train/loss': 1.5, 'step': 2}, {'val/mIoU': 30.0, 'step': 2}]
    file.write_text(''.join(json.dumps(point) + '\n' for point in points))
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(code, found)
    assert found['losses'] == [(1, 2.5), (2, 1.5)]


def test_trackers_of_the_page_are_those_of_the_configs():
    from mmengine.config import Config
    known = Config.fromfile(REPO / 'configs' / '_base_' / 'default_runtime.py').trackers
    page = (REPO / 'docs' / 'logging.md').read_text(encoding='utf-8')
    rows = dict(re.findall(r'^\| `(\w+)` \| `pip install "udatools\[\w+\]"` \| `(\w+)` \|', page, flags=re.MULTILINE))
    assert rows == {name: tracker.type for name, tracker in known.items()}
