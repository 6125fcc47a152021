# SPDX-License-Identifier: Apache-2.0
"""labelme JSON as labelme writes it, and what may be wrong with it."""
import base64
import json

import cv2
import numpy as np
import pytest

from udatools.active.codecs import CODECS, detect

LABELME = CODECS['labelme']
N = 255


def png(mask):
    return base64.b64encode(cv2.imencode('.png', np.asarray(mask, np.uint8))[1].tobytes()).decode()


def shape(kind, points, label='road', **more):
    return dict(label=label, points=points, group_id=None, description='', shape_type=kind, flags={}, mask=None) | more


def export(shapes, **changes):
    """A file as labelme saves it."""
    return dict(version='5.4.1', flags={}, shapes=shapes, imagePath='a.png', imageData=None, imageHeight=4,
                imageWidth=6) | changes


@pytest.fixture
def read(small, tmp_path, texts):
    """Function: (answer as nested list or None, problems, Submission) of files in a folder."""

    def read(shapes, kind='segments', path='city/a.json', **changes):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(export(shapes, **changes)), encoding='utf-8')
        submission = LABELME.read(tmp_path, small(kind))
        return submission.answers[0].answer.tolist() if submission.answers else None, texts(submission), submission

    return read


def test_points_are_the_pixel_of_their_floor(read):
    grid, problems, submission = read([shape('point', [[0, 0]]), shape('point', [[5.99, 1.01]], 'void'),
                                       shape('point', [[1.5, 1.5]], '?')], 'points')
    assert grid == [[0, N, N, N, N, N], [N, N, N, N, N, 254], [N] * 6, [N] * 6] and problems == ''
    answer = submission.answers[0]
    assert (answer.annotator, answer.points, answer.seconds, submission.request_id) == ('', 2, 0, None)


def test_masks_polygons_and_their_order(read):
    grid, problems, _ = read([
        shape('polygon', [[0, 3], [4, 3], [4, 4], [0, 4]]),
        shape('mask', [[2.0, 2.0], [3.0, 3.0]], 'tree & bush', mask=png([[1, 0], [0, 1]])),
        shape('mask', [[0.0, 0.0], [2.0, 1.0]], 'void', mask=png([[255, 0]]))])
    assert grid == [[254, N, N, N, N, N], [N] * 6, [N] * 6, [0, 0, 0, 2, N, N]]
    assert problems == 'city/a.png: 1 pixels outside the request were left out'


@pytest.mark.parametrize('bad, message', [
    (shape('rectangle', [[0, 0], [2, 2]]), "type 'rectangle' answers no pixels"), (shape('circle', [[0, 0], [1, 1]]), 'circle'),
    (dict(label='road', points=[[0, 0]]), 'type None'), ('x', 'is a str'), (shape('point', [[0, 0]], 'raod'), "class 'raod'"),
    (shape('point', [[0, 0]], None), 'class None'), (shape('point', [[0, 0], [1, 1]]), '2 places'),
    (shape('point', []), '0 places'), (shape('point', [[0]]), 'not [x, y]'), (shape('point', [[0, '1']]), 'no number'),
    (shape('point', [[2, 2]]), 'is not asked'), (shape('polygon', [[0, 0], [1, 1]]), '2 points'),
    (shape('polygon', []), '0 points'), (shape('polygon', 'x'), 'points is a str'), (shape('mask', [[0, 0]]), '1 corners'),
    (shape('mask', [[0, 0], [1, 1]]), 'no base64'), (shape('mask', [[0, 0], [1, 1]], mask='?!'), 'no base64'),
    (shape('mask', [[0, 0], [1, 1]], mask='AAAA'), 'no PNG'),
    (shape('mask', [[0, 0], [1, 1]], mask=png([[1, 1, 1, 1]])), 'it is 4x1; expected 1x1 or 2x2'),
    (shape('mask', [[0, 0], [1, 1]], mask=png([[1, 1], [1, 1]])[:60]), 'PNG of the mask'),
    (shape('mask', [[5, 3], [6, 4]], mask=png([[1, 1], [1, 1]])), 'does not lie in the image of 6x4'),
    (shape('mask', [[-1, 0], [0, 1]], mask=png([[1, 1], [1, 1]])), 'does not lie in'),
    (shape('mask', [[0, 0], [1, 1]], mask=png([[0, 0], [0, 0]])), 'covers no pixel')])
def test_a_bad_shape_is_left_out_and_named(read, bad, message):
    grid, problems, _ = read([bad, shape('mask', [[0, 3], [1, 3]], mask=png([[1, 1]]))])
    assert grid[3] == [0, 0, N, N, N, N] and message in problems and len(problems.splitlines()) == 1
    assert problems.startswith('city/a.json, shape 1: ')


@pytest.mark.parametrize('changes, message', [
    (dict(imagePath='b.png'), "'city/b.png' is not"), (dict(imagePath=None), 'None is not'), (dict(path='b/a.json'), "'b/a.png'"),
    (dict(imageHeight=5), 'is 6x5 here; expected 6x4'), (dict(imageWidth=None), 'is Nonex4 here'),
    (dict(shapes={}), 'shapes is a dict'), (dict(udatools=dict(request_id='0' * 64)), 'answers request 000000000000')])
def test_other_images_sizes_and_requests_answer_nothing(read, changes, message):
    grid, problems, _ = read(changes.pop('shapes', [shape('point', [[0, 0]])]), **changes)
    assert grid is None and message in problems and len(problems.splitlines()) == 1


def test_a_file_of_another_request_among_ours_is_left_out(read, small, tmp_path, texts):
    request = small('points')
    read([shape('point', [[0, 0]])], 'points', udatools=dict(request_id=request.request_id, annotator='anna', seconds=2.5))
    (tmp_path / 'old.json').write_text(json.dumps(export([shape('point', [[1, 0]])], imagePath='city/a.png', udatools=dict(
        request_id='0' * 64))))
    (tmp_path / 'broken.json').write_text('{"shapes": [')
    submission = LABELME.read(tmp_path, request)
    assert submission.request_id == request.request_id
    assert [(a.annotator, a.seconds, a.answer[0, :2].tolist()) for a in submission.answers] == [('anna', 2.5, [0, N])]
    assert 'old.json: answers request 0000' in texts(submission) and 'broken.json: ' in texts(submission)


def test_a_single_file(small, tmp_path):
    (tmp_path / 'a.json').write_text(json.dumps(export([shape('point', [[0, 0]])], imagePath='..\\images\\city\\a.png')))
    assert detect(tmp_path / 'a.json') is LABELME
    assert LABELME.read(tmp_path / 'a.json', small()).answers[0].answer[0, 0] == 0


@pytest.mark.parametrize('text', ['', '{"shapes": [', '[]', '{}', '{"shapes": 3}'])
def test_a_file_that_is_damaged_as_a_whole_is_refused(small, tmp_path, text):
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(ValueError, match=r'a\.json is no'):
        LABELME.read(tmp_path / 'a.json', small())


def test_a_folder_without_files_is_refused(small, tmp_path):
    with pytest.raises(ValueError, match='no JSON file'):
        LABELME.read(tmp_path, small())


def test_what_is_written_is_what_labelme_opens(small, tmp_path, answer_of):
    files = LABELME.write(small(), [answer_of('city/a', np.where(np.arange(24).reshape(4, 6) == 7, 2, N))], tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in files] == ['city/a.json', 'labels.txt']
    document = json.loads(files[0].read_text())
    assert document['imagePath'] == 'a.png' and (document['imageHeight'], document['imageWidth']) == (4, 6)
    tree, rest, *_ = document['shapes']
    assert (tree['label'], tree['shape_type'], tree['points']) == ('tree & bush', 'mask', [[1.0, 1.0], [1.0, 1.0]])
    assert (rest['label'], rest['points'], rest['mask']) == ('?', [[0.0, 0.0], [1.0, 1.0]], png([[1, 1], [1, 0]]))
    assert files[1].read_text().splitlines() == ['road', 'traffic light', 'tree & bush', 'void', '?']
