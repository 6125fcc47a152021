# SPDX-License-Identifier: Apache-2.0
"""points.csv as people and spreadsheets fill it, answer PNGs, answers.json, and what may be wrong with them."""
import csv
import json

import cv2
import numpy as np
import pytest

from udatools.active.codecs import CODECS, detect

CANONICAL = CODECS['csv']
N = 255
HEADER = 'point_id,image,x,y,round,pred,conf,score,region_id,label'


@pytest.fixture
def read(small, tmp_path, texts):
    """Function: (answer as nested list or None, problems, Answer) of rows of a table and other files."""

    def read(*rows, kind='points', header=HEADER, encoding='utf-8', png=None, answers=None):
        if header:
            (tmp_path / 'points.csv').write_text('\n'.join([header, *rows]) + '\n', encoding=encoding)
        if png is not None:
            (tmp_path / 'answers' / 'city').mkdir(parents=True)
            assert cv2.imwrite(str(tmp_path / 'answers' / 'city' / 'a.png'), png)
        if answers is not None:
            (tmp_path / 'answers.json').write_text(json.dumps(answers))
        submission = CANONICAL.read(tmp_path, small(kind))
        answer = submission.answers[0] if submission.answers else None
        return None if answer is None else answer.answer.tolist(), texts(submission), answer

    return read


def test_a_person_fills_the_column_label(read):
    grid, problems, answer = read(
        '1,city/a.png,0,0,2,,,,1,road', '2,city/a.png,1,0,2,,,,2,', '3,city/a.png,5,0,2,,,,3,?', '4,city/a.png,0,1,2,,,,4,void',
        '5,city/a.png,1,1,2,,,,5, TRAFFIC light ', '6,city/a.png,5,1,2,,,,6,2', '7,city/a.png,0,3,2,,,,7,254',
        '8,city/a.png,1,3,2,,,,8,255', '9,city/a.png,2,3,2,,,,9,Unsure')
    assert grid == [[0, N, N, N, N, N], [254, 1, N, N, N, 2], [N] * 6, [254, N, 254, N, N, N]] and problems == ''
    assert (answer.annotator, answer.tool, answer.points, answer.clicks) == ('', 'csv', 6, 6)


@pytest.mark.parametrize('kind', ['segments', 'regions'])
def test_a_row_of_a_region_answers_all_of_it(read, kind):
    grid, problems, answer = read('1,city/a.png,1,1,2,,,,1,road', '2,city/a.png,2,3,2,,,,3,void', kind=kind)
    assert grid == [[0, 0, N, N, N, N], [0, 0, N, N, N, N], [N] * 6, [254] * 4 + [N, N]] and problems == ''
    assert (answer.components, answer.clicks) == (2, 2)


@pytest.mark.parametrize('options', [
    dict(header=HEADER.replace(',', ';'), encoding='utf-8-sig'), dict(header=HEADER.replace(',', '\t')),
    dict(header='label;y;x;image;comment')])
def test_what_spreadsheets_make_of_it(read, options):
    mark = next(mark for mark in ';\t' if mark in options['header'])
    values = dict(zip(HEADER.split(','), ['1', '"city/a.png"', '1.0', '0', '2', '', '', '', '2', 'tree & bush']), comment='hm')
    row = mark.join(values[name] for name in options['header'].split(mark))
    grid, problems, _ = read(row, **options)
    assert grid[0] == [N, 2, N, N, N, N] and problems == ''


@pytest.mark.parametrize('row, message', [
    ('1,city/a.png,2,0,2,,,,1,road', 'pixel (2, 0)'), ('1,city/a.png,-1,1,2,,,,1,road', 'pixel (-1, 1)'),
    ('1,city/a.png,6,0,2,,,,1,road', 'pixel (6, 0)'), ('1,city/a.png,0.5,0,2,,,,1,road', "'0.5' is no whole number"),
    ('1,city/a.png,,0,2,,,,1,road', 'x or y is missing'), ('1,city/a.png,x,0,2,,,,1,road', "'x' is no whole"),
    ('1,city/a.png,nan,0,2,,,,1,road', "'nan' is no"), ('1,city/a.png,1e99,0,2,,,,1,road', "'1e99' is no"),
    ('1,city/b.png,0,0,2,,,,1,road', "'city/b.png' is not"), ('1,,0,0,2,,,,1,road', "'' is not"),
    ('1,city/a.png,0,0,2,,,,1,raod', "unknown class 'raod'"), ('1,city/a.png,0,0,2,,,,1,3', "unknown class '3'"),
    ('1,city/a.png,0,0,2,,,,1,0000', "unknown class '0000'"), ('1,city/a.png,0,0,2,,,,x,road', "'x' is no whole")])
def test_a_bad_row_is_left_out_and_named(read, row, message):
    grid, problems, _ = read(row, '2,city/a.png,5,1,2,,,,6,road')
    assert grid[1] == [N] * 5 + [0] and grid[0] == [N] * 6
    assert message in problems and problems.startswith('points.csv, row 2: ') and len(problems.splitlines()) == 1


def test_two_rows_for_one_point(read):
    grid, problems, answer = read('1,city/a.png,0,0,2,,,,1,road', '1,city/a.png,0,0,2,,,,1,void', '2,city/a.png,1,0,2,,,,2,road',
                                  '2,city/a.png,1,0,2,,,,2,road')
    assert grid[0] == [N, 0, N, N, N, N] and '1 asked pixels carry different labels' in problems


def test_a_row_that_slipped_to_another_region_is_noticed(read):
    grid, problems, _ = read('1,city/a.png,5,0,2,,,,1,road', kind='segments')
    assert grid is None and 'is in region 2, not 1' in problems


def test_a_short_row_is_not_answered(read):
    assert read('1,city/a.png,0')[0] is None


def test_classes_by_name_before_number(make_codec_request, tmp_path):
    (tmp_path / 'points.csv').write_text('image,x,y,label\na.png,0,0,1\na.png,1,0,0\n')
    request = make_codec_request({'a': [[1, 1]]}, 'points', classes=('1', 'b'))
    assert CANONICAL.read(tmp_path / 'points.csv', request).answers[0].answer.tolist() == [[0, 0]]


@pytest.mark.parametrize('data, message', [
    (b'', 'has the columns'), (b'image,x,y\n', 'has the columns'), (b'image,x,y,l\xe4bel\n', 'CSV UTF-8'),
    (b'image,x,y,label\n' + b'a' * 200000, 'no table')])
def test_a_table_that_is_damaged_as_a_whole_is_refused(small, tmp_path, data, message):
    (tmp_path / 'points.csv').write_bytes(data)
    with pytest.raises(ValueError, match=message):
        CANONICAL.read(tmp_path / 'points.csv', small())


PNG = np.full((4, 6), N, np.uint8)
PNG[0, :3], PNG[1, 0], PNG[3, 0], PNG[3, 1] = 2, 254, 3, 200


def test_a_png_is_clipped_and_unknown_ids_are_left_out(read):
    answers = dict(request_id=None, who='anna', tool='gimp', images={'city/a': dict(seconds=9.5, clicks=4)})
    grid, problems, answer = read(kind='segments', header='', png=PNG, answers=answers)
    assert grid == [[2, 2, N, N, N, N], [254, N, N, N, N, N], [N] * 6, [N] * 6]
    assert '2 pixels hold a class id beyond 2' in problems and '1 pixels outside the request' in problems
    assert (answer.annotator, answer.tool, answer.seconds, answer.clicks) == ('anna', 'gimp', 9.5, 4)


def test_without_answers_json_a_click_is_a_label_in_a_region(read):
    answer = read(kind='segments', header='', png=PNG)[2]
    assert (answer.clicks, answer.components, answer.annotator, answer.seconds) == (2, 1, '', 0)


def test_a_png_belongs_to_its_key_not_to_a_path_that_reads_the_same(make_codec_request, tmp_path, answer_of):
    request = make_codec_request({'a': [[1]], 'a.png': [[1, 1]]})
    CANONICAL.write(request, [answer_of('a.png', [[0, 1]])], tmp_path)
    submission = CANONICAL.read(tmp_path, request)
    assert [(answer.key, answer.answer.tolist()) for answer in submission.answers] == [('a.png', [[0, 1]])]
    assert submission.problems == []


def test_png_and_table_that_disagree(read):
    grid, problems, _ = read('1,city/a.png,0,0,2,,,,1,road', kind='segments', png=np.where(PNG == 2, PNG, N).astype(np.uint8))
    assert grid[:2] == [[N] * 6, [0, 0, N, N, N, N]] and '2 asked pixels carry different labels' in problems


@pytest.mark.parametrize('png, message', [
    (np.zeros((6, 4), np.uint8), 'it is 4x6; expected 6x4'), (np.zeros((4, 6), np.uint16), 'it is uint16'),
    (np.zeros((4, 6, 3), np.uint8), 'one channel')])
def test_a_png_of_another_kind_answers_nothing(read, png, message):
    grid, problems, _ = read(kind='segments', header='', png=png)
    assert grid is None and message in problems and 'answers/city/a.png' in problems


def test_a_png_of_no_image_or_no_png(small, tmp_path, texts):
    (tmp_path / 'answers').mkdir()
    (tmp_path / 'answers' / 'x.png').write_bytes(b'x')
    (tmp_path / 'answers' / 'a.png').write_bytes(b'not a picture')
    problems = texts(CANONICAL.read(tmp_path, small()))
    assert "'x' is not" in problems and 'answers/a.png: it is no PNG' in problems


@pytest.mark.parametrize('images, message', [
    (['x'], 'images is a list'), ({'b': {}}, "'b' is not"), ({'city/a': 3}, 'it is a int'),
    ({'city/a': dict(seconds='long')}, 'no number'), ({'city/a': dict(clicks=True)}, 'no number')])
def test_strange_costs_are_not_counted(read, images, message):
    grid, problems, answer = read('1,city/a.png,0,0,2,,,,1,road', answers=dict(images=images))
    assert grid[0][0] == 0 and message in problems and (answer.seconds, answer.clicks) == (0, 1)


def test_answers_of_another_request_are_not_read(read):
    grid, problems, _ = read('1,city/a.png,0,0,2,,,,1,road', answers=dict(request_id='0' * 64))
    assert grid is None and 'answers request 0000' in problems


@pytest.mark.parametrize('name, text', [('answers.json', '{'), ('answers.json', '[]'), ('other.txt', '')])
def test_a_folder_that_is_damaged_as_a_whole_is_refused(small, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match='is no JSON|is no object|has none of'):
        CANONICAL.read(tmp_path, small())


def test_what_is_exported_is_a_row_a_region_without_a_prediction(small, tmp_path):
    files = CANONICAL.export(small(), tmp_path, lambda item: None)
    assert sorted(file.name for file in files) == ['answers.json', 'classes.csv', 'points.csv']
    with open(tmp_path / 'points.csv', encoding='utf-8', newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert ','.join(rows[0]) == HEADER
    assert [(row['point_id'], row['region_id'], row['round'], row['pred'], row['label']) for row in rows] == [
        (str(i), str(i), '2', '', '') for i in (1, 2, 3)]
    assert (tmp_path / 'classes.csv').read_text().splitlines()[1:] == [
        '0,road,#0080ff,1', '1,traffic light,#0a80fe,2', '2,tree & bush,#1480fd,3', '254,void,#000000,']
    assert detect(tmp_path / 'points.csv') is CANONICAL
    points = CANONICAL.export(small('points'), tmp_path / 'p', lambda item: None)[0]
    assert len(points.read_text().splitlines()) == 11


def test_a_folder_holds_one_person(make_codec_request, tmp_path, answer_of):
    with pytest.raises(ValueError, match='one person'):
        CANONICAL.write(make_codec_request({'a': [[1]], 'b': [[1]]}), [answer_of('a', [[0]]), answer_of('b', [[0]], 'ben')],
                        tmp_path)
