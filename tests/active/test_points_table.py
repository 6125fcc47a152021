# SPDX-License-Identifier: Apache-2.0
"""points.csv of a request package: every point once, in the order of the mask, and no filled-in label is ever lost."""
import csv

import numpy as np

from udatools.active import Budget, EntropySelector, LabelLedger
from udatools.active.annotators import HumanAnnotator
from udatools.active.importing import import_answers
from udatools.active.package_files import find_package
from udatools.active.points_table import COLUMNS, point_rows, write_points


def rows_of(path):
    with open(path, encoding='utf-8', newline='') as stream:
        return list(csv.DictReader(stream))


def test_rows_by_hand():
    rows = point_rows('a/b.png', 4, 2, np.array([1, 7, 8]), np.array([0.5, 0.25, 2], np.float16))
    assert rows == [('a/b.png', '1', '0', '2', '', '', '0.5', '1', ''), ('a/b.png', '3', '1', '2', '', '', '0.25', '2', ''),
                    ('a/b.png', '0', '2', '2', '', '', '2', '3', '')]


def test_a_request_for_points_can_be_answered_in_a_spreadsheet(campaign, tmp_path):
    request = campaign.ask(tmp_path, 1, annotator=HumanAnnotator(), selector=EntropySelector(kind='points'),
                           budget=Budget(unit='points', amount=9), num_rounds=1).request
    rows = rows_of(request.root / 'points.csv')
    assert list(rows[0]) == list(COLUMNS) and [row['point_id'] for row in rows] == [str(i) for i in range(1, 10)]
    assert {row['pred'] + row['conf'] + row['label'] for row in rows} == {''}  # nothing to lean on
    by_path = {item.path: request.regions(item.key) for item in request.items}
    for row in rows:
        assert by_path[row['image']][int(row['y']), int(row['x'])] == int(row['region_id'])
    for row in rows:
        row['label'] = 'road'
    with open(request.root / 'points.csv', 'w', encoding='utf-8', newline='') as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    report = import_answers(find_package(request.root), [request.root / 'points.csv'], who='anna')
    assert report.progress.answered == 9 and not report.problems
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        assert ledger.class_histogram() == {0: 9}


def test_requests_for_segments_have_no_table(campaign, tmp_path):
    assert not (campaign.ask(tmp_path, 1, annotator=HumanAnnotator()).request.root / 'points.csv').exists()


def test_a_table_with_labels_is_kept_when_the_package_is_written_anew(tmp_path):
    row = ('a.png', '1', '0', '1', '', '', '0.5', '1', '')
    path = write_points(tmp_path, [row])
    write_points(tmp_path, [row])
    assert [file.name for file in tmp_path.iterdir()] == ['points.csv']  # nobody had filled it in
    for text in (path.read_text()[:-1] + 'road\n', 'saved \xff elsewhere'):
        path.write_bytes(text.encode('latin-1'))
        write_points(tmp_path, [row])
    assert sorted(file.name for file in tmp_path.iterdir()) == ['points.1.csv', 'points.2.csv', 'points.csv']
    assert 'road' in (tmp_path / 'points.1.csv').read_text() and 'road' not in path.read_text()
