# SPDX-License-Identifier: Apache-2.0
"""The command-line tools between a run and people: export, import_answers, status, ledger."""
import csv
import json

import cv2
import numpy as np
import pytest

from udatools.active import LabelLedger, Limits
from udatools.active.codecs import CODECS
from udatools.active.request import Answer, RequestItem, class_table, number_regions, region_digest, write_mask, write_request
from udatools.engine.runner.journal import WorkDirLock

KEYS = ['ulm/frame_1', 'ulm/frame_2']


@pytest.fixture(scope='module')
def tool(load_tool):
    """Function: ``main`` of a script in tools/active."""
    return lambda name: lambda *argv: load_tool(f'active/{name}.py').main([str(word) for word in argv])


@pytest.fixture
def run(tmp_path):
    """A work directory whose first round waits, its images inside the package, and the answers that will be given."""
    root, items, answers = tmp_path / 'run' / 'requests' / 'round_1', [], []
    rng = np.random.default_rng(3)
    for key in KEYS:
        asked = rng.random((9, 14)) < 0.15
        region = number_regions(asked, points=True)
        path = root / 'images' / f'{key}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((9, 14, 3), 90, np.uint8))
        items.append(RequestItem(key, f'{key}.png', '', 9, 14, int(asked.sum()), int(asked.sum()), int(region.max()),
                                 write_mask(root, key, region), region_digest(region)))
        answers.append(Answer(key, np.where(asked, rng.choice([0, 1, 254], asked.shape), 255).astype(np.uint8), 'anna', 'x',
                              clicks=int(asked.sum()), seconds=30.0))
    header = dict(input_hash='h', run='street', round=1, num_rounds=2, kind='points', selector={}, ignore_index=255,
                  classes=class_table(['road', 'traffic sign'], [(1, 2, 3), (4, 5, 6)]), images=2, dataset_fingerprint='f',
                  total_pixels=2 * 9 * 14, budget=dict(unit='points', limit=None, asked=0, spent=0, left=None))
    request = write_request(root, header, items)
    with LabelLedger(tmp_path / 'run' / 'ledger.sqlite') as ledger:
        ledger.open_campaign(dict(run='street', classes=header['classes'], total_pixels=header['total_pixels']),
                             unit='points', limits=Limits(100))
        ledger.add_request(request)
    return tmp_path / 'run', request, answers


def labels(work_dir):
    with LabelLedger(work_dir / 'ledger.sqlite', read_only=True) as ledger:
        return [ledger.label(key) for key in KEYS]


@pytest.mark.parametrize('name', [name for name, codec in CODECS.items() if name != 'page' and not codec.about_images])
def test_out_to_a_tool_and_back(name, tool, run, tmp_path, capsys):
    work_dir, request, answers = run
    assert tool('export')(request.root, '--format', name, '--out', tmp_path / 'out') == 0
    assert 'open ' in capsys.readouterr().out and any((tmp_path / 'out').rglob('*'))
    CODECS[name].write(request, answers, tmp_path / 'done')
    assert tool('import_answers')(work_dir, tmp_path / 'done', '--who', 'anna', '--format', name) == 0
    for found, answer in zip(labels(work_dir), answers):
        assert np.array_equal(found, answer.answer)
    out = capsys.readouterr().out
    total = sum(item.asked for item in request.items)
    assert f'{total} of {total} points' in out and 'anna' in out
    assert json.loads((work_dir / 'imports' / '001.json').read_text())['exit_code'] == 0


def test_a_format_is_recognised_and_a_second_import_is_known(tool, run, tmp_path, capsys):
    work_dir, request, answers = run
    CODECS['csv'].write(request, answers[:1], tmp_path / 'done')
    for _ in range(2):
        assert tool('import_answers')(request.root, tmp_path / 'done', '--who', 'anna') == 0
    with LabelLedger(work_dir / 'ledger.sqlite') as ledger:
        assert len(list(ledger.rows())) == 1
    assert sorted(path.name for path in (work_dir / 'imports').iterdir()) == ['001.json', '002.json']


def test_without_files_it_takes_what_the_page_stored(tool, run, capsys):
    work_dir, request, answers = run
    CODECS['page'].write(request, answers, request.root)
    assert (request.root / 'answers.sqlite').is_file()
    assert tool('import_answers')(work_dir) == 0
    for found, answer in zip(labels(work_dir), answers):
        assert np.array_equal(found, answer.answer)
    assert 'anna' in capsys.readouterr().out


def test_a_refused_import_exits_with_2_and_a_dry_run_stores_nothing(tool, run, tmp_path, capsys):
    work_dir, request, answers = run
    (tmp_path / 'notes.txt').write_text('hello')
    assert tool('import_answers')(work_dir, tmp_path / 'notes.txt') == 2
    CODECS['csv'].write(request, answers, tmp_path / 'done')
    assert tool('import_answers')(work_dir, tmp_path / 'done', '--who', 'anna', '--dry-run', '--close') == 0
    assert labels(work_dir) == [None, None] and 'Dry run' in capsys.readouterr().out
    assert tool('import_answers')(work_dir) == 2
    assert 'nobody answered on the page yet' in capsys.readouterr().err
    assert tool('import_answers')(tmp_path / 'nothing') == 2
    with WorkDirLock(work_dir):
        assert tool('import_answers')(work_dir, tmp_path / 'done', '--who', 'anna') == 2
    assert 'in use by another run' in capsys.readouterr().err and labels(work_dir) == [None, None]


def test_closing(tool, run, tmp_path, capsys):
    work_dir, request, answers = run
    assert tool('import_answers')(work_dir, '--close', '--who', 'zoe') == 0
    assert 'The round is closed' in capsys.readouterr().out
    CODECS['csv'].write(request, answers, tmp_path / 'done')
    assert tool('import_answers')(work_dir, tmp_path / 'done', '--who', 'anna') == 2
    assert 'closed by zoe' in capsys.readouterr().out


def test_status_and_ledger(tool, run, tmp_path, capsys):
    work_dir, request, answers = run
    CODECS['csv'].write(request, answers[:1], tmp_path / 'done')
    tool('import_answers')(work_dir, tmp_path / 'done', '--who', 'anna')
    capsys.readouterr()
    count = request.items[0].asked
    assert tool('status')(work_dir) == 0
    text = capsys.readouterr().out
    assert f'Budget: 100 points; {count} spent, {100 - count} left.' in text and 'waiting' in text and 'traffic sign' in text
    assert tool('status')(work_dir, '--json') == 0
    status = json.loads(capsys.readouterr().out)
    assert status['spent']['points'] == count and status['rounds'][0]['state'] == 'waiting'
    assert tool('ledger')(work_dir, '--csv', tmp_path / 'rows.csv') == 0
    with open(tmp_path / 'rows.csv', newline='', encoding='utf-8') as stream:
        row, = csv.DictReader(stream)
    assert (row['who'], row['image'], row['points'], row['request']) == ('anna', KEYS[0], str(count), request.request_id)
    for name in ('status', 'ledger'):
        assert tool(name)(tmp_path, *(['--csv', tmp_path / 'x'] if name == 'ledger' else [])) == 2
        assert 'no round of labelling was asked there' in capsys.readouterr().err


def test_export_without_images_says_what_to_give(tool, run, tmp_path, capsys):
    import shutil
    work_dir, request, _ = run
    shutil.rmtree(request.root / 'images')
    assert tool('export')(request.root, '--format', 'csv', '--out', tmp_path / 'out') == 2
    assert '--images' in capsys.readouterr().err
    assert tool('export')(tmp_path / 'none', '--format', 'csv', '--out', tmp_path / 'out') == 2
