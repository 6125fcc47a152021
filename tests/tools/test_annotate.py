# SPDX-License-Identifier: Apache-2.0
"""The command that serves the annotator page."""
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import cv2
import numpy as np
import pytest

from udatools.active.request import RequestItem, class_table, region_digest, write_mask, write_request


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('annotate.py').main


def write_package(tmp_path, **header):
    root, mask = tmp_path / 'round_1', np.array([[1, 0, 2]], np.uint16)
    item = RequestItem('a', 'a.png', '', 1, 3, 2, 2, 2, write_mask(root, 'a', mask), region_digest(mask))
    classes = class_table(('x', ), [(1, 2, 3)])
    write_request(root, dict(run='r', round=1, kind='points', selector={}, classes=classes, **header), [item])
    (root / 'images').mkdir()
    cv2.imwrite(str(root / 'images' / 'a.png'), np.zeros((1, 3, 3), np.uint8))
    return root


@pytest.fixture
def package(tmp_path):
    return write_package(tmp_path)


@pytest.mark.parametrize('arguments, message', [
    (['--host', '0.0.0.0'], 'give a token as well'),
    (['--token', 'short'], 'at least 16'),
    (['--lease', '0'], 'the lease is 0 seconds'),
    (['--lease', 'inf'], 'the lease is inf seconds'),
    (['--lease', 'nan'], 'the lease is nan seconds'),
    (['--port', '99999'], '--port is 99999; expected 0 to 65535'),
    (['--who', ' '], "who is ' '; expected a name"),
    (['--images', 'nowhere'], 'nowhere does not exist'),
    (['--budget', '40'], 'expected an amount above 0 for a request with a budget in clicks or seconds'),
])
def test_what_is_wrong_is_told(main, package, capsys, arguments, message):
    pytest.importorskip('waitress', reason='the annotator page needs waitress; install requirements/test.txt')
    assert main([str(package), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_package_is_told(main, tmp_path, capsys):
    pytest.importorskip('waitress', reason='the annotator page needs waitress; install requirements/test.txt')
    assert main([str(tmp_path)]) == 2
    assert 'no complete request package' in capsys.readouterr().err


def test_without_the_web_framework_the_remedy_is_told(main, package, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'waitress', None)
    assert main([str(package)]) == 2
    assert "pip install 'udatools[annotator]'" in capsys.readouterr().err


@pytest.mark.parametrize('unit, per, arguments, expected', [
    ('clicks', 'set', ['--blind'], ['taken 7 clicks together', 'budget of the campaign ends']),
    ('seconds', 'image', ['--blind', '--budget', '90'], ['taken 90 seconds together', 'budget of each image ends']),
    ('clicks', 'set', [], []), ('points', 'set', ['--blind'], []),
])
def test_blind_with_a_budget_that_everybody_spends_is_warned_of(main, tmp_path, capsys, monkeypatch, unit, per, arguments,
                                                               expected):
    pytest.importorskip('waitress', reason='the annotator page needs waitress; install requirements/test.txt')
    monkeypatch.setattr('udatools.active.annotator.Server.run', lambda server: server.close())
    package = write_package(tmp_path, budget=dict(unit=unit, per=per, limit=30, asked=2, planned=7, spent=0, left=23))
    assert main([str(package), '--port', '0', *arguments]) == 0
    printed = capsys.readouterr().out
    assert ('warning: the budget is in' in printed) == bool(expected) and all(text in printed for text in expected)
    assert ('the import leaves out the answers that do not fit, whole images at a time' in printed) == bool(expected)


@pytest.mark.slow
def test_it_serves_until_it_is_stopped(repo_root, package):
    pytest.importorskip('flask', reason='the annotator page needs Flask; install requirements/test.txt')
    process = subprocess.Popen([sys.executable, str(repo_root / 'tools' / 'annotate.py'), str(package), '--port', '0'],
                               stdout=subprocess.PIPE, text=True,
                               env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    try:
        line = process.stdout.readline()
        assert line.startswith('1 images, 2 points asked, 0 answered. Open http://127.0.0.1:')
        with urllib.request.urlopen(re.search(r'http://\S+', line)[0] + 'api/package', timeout=20) as reply:
            assert json.load(reply)['kind'] == 'points'
        process.send_signal(signal.SIGTERM)
        assert 'stopped; everything answered so far is in' in process.stdout.read()
        assert process.wait(20) == 0
    finally:
        process.kill()
