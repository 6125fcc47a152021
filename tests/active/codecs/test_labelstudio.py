# SPDX-License-Identifier: Apache-2.0
"""Label Studio JSON as Label Studio writes it, and what may be wrong with it."""
import copy
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from udatools.active.codecs import CODECS, detect
from udatools.active.codecs.rle import pack_rgba

STUDIO = CODECS['labelstudio']
N = 255
EXPORT = json.loads("""[{
  "id": 41, "inner_id": 1, "total_annotations": 1, "cancelled_annotations": 0, "total_predictions": 0,
  "comment_count": 0, "unresolved_comment_count": 0, "last_comment_updated_at": null, "project": 7, "updated_by": 1,
  "comment_authors": [], "file_upload": "0a1b2c3d-a.png", "drafts": [], "predictions": [], "meta": {},
  "created_at": "2024-05-02T09:11:27.103341Z", "updated_at": "2024-05-02T10:40:01.550013Z",
  "data": {"image": "/data/upload/7/0a1b2c3d-a.png"},
  "annotations": [{
    "id": 6, "completed_by": 1, "was_cancelled": false, "ground_truth": false, "draft_created_at": null,
    "created_at": "2024-05-02T10:40:01.0Z", "updated_at": "2024-05-02T10:40:01.0Z", "lead_time": 12.75,
    "import_id": null, "last_action": null, "bulk_created": false, "task": 41, "project": 7, "updated_by": 1,
    "parent_prediction": null, "parent_annotation": null, "last_created_by": null, "prediction": {}, "result_count": 0,
    "unique_id": "5fd9c2c3", "result": []
  }]
}]""")


def result(shape, value, label='road', **changes):
    return {'original_width': 6, 'original_height': 4, 'image_rotation': 0, 'value': {**value, shape: [label]}, 'id': 'bUN1',
            'from_name': 'tag', 'to_name': 'image', 'type': shape, 'origin': 'manual'} | changes.get('but', changes)


def point(x, y, label='road', **changes):
    return result('keypointlabels', dict(x=x, y=y, width=0.45), label, **changes)


def brush(pixels, label='road', **changes):
    return result('brushlabels', dict(format='rle', rle=pack_rgba(np.sort(np.array(pixels, int)), 24)), label, **changes)


@pytest.fixture
def read(small, tmp_path, texts):
    """Function: (answer as nested list or None, problems, Submission) of an export with results or other changes."""

    def read(results, kind='segments', change=lambda tasks: None):
        tasks = copy.deepcopy(EXPORT)
        tasks[0]['annotations'][0]['result'] = results
        change(tasks)
        (tmp_path / 'project.json').write_text(json.dumps(tasks))
        submission = STUDIO.read(tmp_path / 'project.json', small(kind))
        grid = submission.answers[0].answer.tolist() if submission.answers else None
        return grid, texts(submission), submission

    return read


def test_points_are_the_pixel_of_the_rounded_percentage(read):
    grid, problems, submission = read([
        point(0, 0), point(100 * 5 / 6, 25.000000001, 'void'), point(100 / 6 * 3, 75, 'tree & bush'), point(0, 75, '?'),
        point(18.1, 23)], 'points')
    assert grid == [[0, N, N, N, N, N], [N, 0, N, N, N, 254], [N] * 6, [N, N, N, 2, N, N]] and problems == ''
    answer = submission.answers[0]
    assert (answer.annotator, answer.seconds, answer.points, answer.clicks) == ('user 1', 12.75, 4, 4)
    assert submission.request_id is None


def test_a_point_that_was_not_asked_is_not_moved(read):
    grid, problems, _ = read([point(100 * 2 / 6, 0), point(100, 0), point(float('nan'), 0), point('5', 0)], 'points')
    assert grid is None and problems.count('is not asked') == 2 and problems.count('is no number') == 2
    assert 'task 41, annotation 6, result 2' in problems


def test_brushes_and_polygons(read):
    square = [[0, 75], [100 * 2 / 6, 75], [100 * 2 / 6, 100], [0, 100]]
    grid, problems, _ = read([brush([0, 7, 2]), result('polygonlabels', dict(points=square, closed=True), 'void')])
    assert grid == [[0, N, N, N, N, N], [N, 0, N, N, N, N], [N] * 6, [254, 254, N, N, N, N]]
    assert problems == 'city/a.png, user 1: 1 pixels outside the request were left out'


def test_brushes_have_no_order(read):
    grid, problems, _ = read([brush([0, 1]), brush([1, 6], 'void')])
    assert grid[0][:2] == [0, N] and grid[1][0] == 254 and '(1, 0)' in problems


def test_people_answer_apart_and_an_own_second_annotation_joins_the_first(read):

    def more(tasks):
        first = tasks[0]['annotations'][0]
        tasks[0]['annotations'] += [
            {**first, 'id': 7, 'completed_by': {'id': 2, 'email': 'b@c.de', 'first_name': 'B'}, 'result': [brush([5], 'void')]},
            {**first, 'id': 8, 'lead_time': 1, 'result': [brush([6])]},
            {**first, 'id': 9, 'completed_by': {'id': 3, 'email': '', 'first_name': 'Cora', 'last_name': 'D'}},
            {**first, 'id': 10, 'completed_by': None, 'lead_time': None}]

    _, problems, submission = read([brush([0])], change=more)
    found = {answer.annotator: answer for answer in submission.answers}
    assert problems == '' and list(found) == ['', 'Cora D', 'b@c.de', 'user 1']
    assert np.flatnonzero(found['user 1'].answer.ravel() == 0).tolist() == [0, 6] and found['user 1'].seconds == 13.75
    assert np.flatnonzero(found['b@c.de'].answer.ravel() == 254).tolist() == [5] and found[''].seconds == 0


def test_drafts_and_cancelled_annotations_are_not_answers(read):

    def change(tasks):
        tasks[0]['annotations'][0]['was_cancelled'] = True
        tasks[0]['drafts'] = [{'id': 1, 'result': [brush([0])]}]

    grid, problems, _ = read([brush([0])], change=change)
    assert grid is None and '1 drafts were never submitted' in problems and 'annotation 6: was cancelled' in problems


def test_drawn_over_predictions_are_not_answers(read):
    grid, problems, _ = read([], change=lambda tasks: tasks[0].update(predictions=[{'result': [brush([0])]}]))
    assert (grid, problems) == (None, '')


@pytest.mark.parametrize('bad, message', [
    (result('rectanglelabels', dict(x=0, y=0, width=9, height=9)), "type 'rectanglelabels' answers no pixels"),
    (dict(type='choices', value=dict(choices=['x'])), "type 'choices' answers no pixels"),
    (brush([0], original_width=5), 'image of 5x4'),
    (brush([0], image_rotation=90), 'rotated by 90'), (brush([0], 'raod'), "unknown class 'raod'"), ('x', 'is a str'),
    (brush([0], but=dict(value=[])), 'value is a list'),
    (brush([0], but=dict(value=dict(brushlabels='road'))), 'labels is a str'),
    (brush([0], but=dict(value=dict(brushlabels=['road', 'void'], format='rle', rle=[]))), '2 labels'),
    (brush([0], but=dict(value=dict(format='rle', rle=[]))), '0 labels'), (brush([0], type=['x']), "type ['x']"),
    (brush([0], but=dict(value=dict(brushlabels=['road'], format='png'))), "format 'png'"),
    (brush([0], but=dict(value=dict(brushlabels=['road'], format='rle', rle=[1, 2]))), 'too early'),
    (brush([0], but=dict(value=dict(brushlabels=['road'], format='rle', rle=pack_rgba(np.array([0]), 23)))), 'expected 96'),
    (brush([0], but=dict(value=dict(brushlabels=['road'], format='rle'))), 'list of bytes'), (brush([]), 'covers no pixel'),
    (result('polygonlabels', dict(points=[[0, 0], [50, 0]])), '2 points'),
    (result('polygonlabels', dict(points=[])), '0 points'),
    (result('polygonlabels', dict(points=[[0, 0], [50, 0], [50, 50]], closed=False)), 'not closed'),
    (result('polygonlabels', dict(points=[[0, 0], [50, 0, 1], [50, 50]])), 'not [x, y]'),
    (result('polygonlabels', dict(points=[[0, 0], [50, None], [50, 50]])), 'no number'),
    (result('keypointlabels', dict(x=10)), 'no number'), (result('keypointlabels', dict(x=10**400, y=0)), 'no number')])
def test_a_bad_result_is_left_out_and_named(read, bad, message):
    grid, problems, _ = read([bad, brush([18, 19])])
    assert grid[3] == [0, 0, N, N, N, N] and message in problems and len(problems.splitlines()) == 1
    assert problems.startswith(('task 41, annotation 6, result 1: ', 'city/a.png'))


@pytest.mark.parametrize('change, message', [
    (dict(data=dict(image='b.png')), "'b.png' is not, or not certainly"), (dict(data=None), 'data is a NoneType'),
    (dict(data=dict(image='a.png', request_id='0' * 64)), 'answers request 000000000000'),
    (dict(data=dict(image='a.png', key='b')), "'b' is not"), (dict(data=dict(image=7)), '7 is not'),
    (dict(annotations={}), 'annotations is a dict'), (dict(annotations=['x']), 'it is a str'), (dict(drafts='x'), 'drafts')])
def test_a_bad_task_is_left_out_and_named(read, change, message):

    def two(tasks):
        tasks.append(copy.deepcopy(tasks[0]))
        tasks[0].update(change)
        tasks[1]['annotations'][0]['result'] = [brush([18])]

    grid, problems, _ = read([brush([0])], change=two)
    assert grid[3][0] == 0 and grid[0][0] == N and message in problems and 'task' in problems


def test_a_strange_time_is_not_counted(read):
    grid, problems, submission = read([brush([0])], change=lambda t: t[0]['annotations'][0].update(lead_time='long'))
    assert grid[0][0] == 0 and submission.answers[0].seconds == 0 and 'lead_time' in problems


@pytest.mark.parametrize('text', ['', '[{', '"x"', '7', 'null', '{"a": 1}', '[' * 100000, '\udcff'])
def test_a_file_that_is_damaged_as_a_whole_is_refused(small, tmp_path, text):
    (tmp_path / 'project.json').write_bytes(text.encode('utf-8', 'surrogateescape'))
    with pytest.raises(ValueError, match=r'project\.json is no'):
        STUDIO.read(tmp_path / 'project.json', small())


def test_json_min_is_noticed(small, tmp_path, texts):
    (tmp_path / 'min.json').write_text('[{"id": 1, "image": "a.png", "tag": []}]')
    assert 'data is a NoneType' in texts(STUDIO.read(tmp_path / 'min.json', small()))


def test_what_is_exported_is_what_label_studio_imports(small, tmp_path):
    request = small('points')
    files = STUDIO.export(request, tmp_path, lambda item: None)
    assert [file.name for file in files] == ['labelstudio.json', 'label_config.xml']
    task = json.loads(files[0].read_text())[0]
    assert task['data'] == dict(image='/data/local-files/?d=images/city/a.png', key='city/a', request_id=request.request_id)
    first = task['predictions'][0]['result'][1]
    assert first['value'] == dict(x=pytest.approx(100 / 6), y=0.0, width=0.3, keypointlabels=['?'])
    assert (first['from_name'], first['original_width'], first['image_rotation']) == ('keypointlabels', 6, 0)
    view = ElementTree.parse(files[1]).getroot()
    assert [child.tag for child in view] == ['Image', 'KeyPointLabels'] and view[1].get('name') == first['from_name']
    assert [label.get('value') for label in view[1]] == ['road', 'traffic light', 'tree & bush', 'void', '?']
    assert detect(files[0]) is STUDIO
