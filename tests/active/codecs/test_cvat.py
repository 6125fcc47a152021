# SPDX-License-Identifier: Apache-2.0
"""CVAT for images 1.1 as CVAT writes it, and what may be wrong with it."""
import zipfile
from xml.etree import ElementTree

import numpy as np
import pytest

from udatools.active.codecs import CODECS, detect

CVAT = CODECS['cvat']
N = 255
EXPORT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>12</id>
      <name>Street &amp; park</name>
      <size>1</size>
      <mode>annotation</mode>
      <overlap>0</overlap>
      <bugtracker></bugtracker>
      <created>2024-05-02 09:11:27.103341+00:00</created>
      <updated>2024-05-02 10:40:01.550013+00:00</updated>
      <subset>default</subset>
      <start_frame>0</start_frame>
      <stop_frame>0</stop_frame>
      <frame_filter></frame_filter>
      <segments>
        <segment><id>9</id><start>0</start><stop>0</stop><url>http://localhost:8080/api/jobs/9</url></segment>
      </segments>
      <owner><username>boss</username><email>boss@example.org</email></owner>
      <assignee><username>anna</username><email></email></assignee>
      <labels>
        <label><name>road</name><color>#804080</color><type>any</type><attributes></attributes></label>
      </labels>
    </task>
    <dumped>2024-05-02 10:41:00.000000+00:00</dumped>
  </meta>
  <image id="0" name="city/a.png" width="6" height="4">
SHAPES
  </image>
</annotations>
"""


@pytest.fixture
def read(small, tmp_path, texts):
    """Function: (answer as nested list or None, problems, Answer) of shapes in an export."""

    def read(shapes, kind='segments', **changes):
        text = EXPORT.replace('SHAPES', shapes)
        for old, new in changes.values():
            assert old in text
            text = text.replace(old, new)
        (tmp_path / 'annotations.xml').write_text(text, encoding='utf-8')
        submission = CVAT.read(tmp_path / 'annotations.xml', small(kind))
        answer = submission.answers[0] if submission.answers else None
        return None if answer is None else answer.answer.tolist(), texts(submission), answer

    return read


def test_points_are_the_pixel_of_their_floor(read):
    grid, problems, answer = read("""
    <points label="road" source="manual" occluded="0" points="0.00,0.00" z_order="0"></points>
    <points label="void" source="manual" occluded="0" points="5.99,1.99;3.0,3.7" z_order="0">
      <attribute name="sure">no</attribute>
    </points>
    <points label="?" source="file" occluded="0" points="1.5,1.5" z_order="0"></points>""", 'points')
    assert grid == [[0, N, N, N, N, N], [N, N, N, N, N, 254], [N] * 6, [N, N, N, 254, N, N]] and problems == ''
    assert (answer.annotator, answer.points, answer.clicks, answer.seconds) == ('anna', 3, 3, 0)


def test_a_point_that_was_not_asked_is_not_moved_to_one_that_was(read):
    grid, problems, _ = read('<points label="road" points="2.1,0.5"/><points label="road" points="6.0,0.5"/>', 'points')
    assert grid is None and problems.count('is not asked') == 2
    assert "<image id=\"0\" name=\"city/a.png\">, shape 1 <points>: pixel (2, 0) of 'city/a.png'" in problems


def test_a_mask_is_row_major_in_its_box_and_not_coco(read):
    # Box 3x2 at (0, 0): rows 0 1 1 / 1 0 1; column-major would give other pixels.
    grid, problems, _ = read('<mask label="tree &amp; bush" source="semi-auto" occluded="0" rle="1, 3, 1, 1" left="0" top="0" '
                             'width="3" height="2" z_order="0"></mask>')
    assert grid == [[N, 2, N, N, N, N], [2, N, N, N, N, N], [N] * 6, [N] * 6]
    assert problems == 'city/a.png, anna: 2 pixels outside the request were left out'


def test_a_polygon_holds_the_pixels_whose_centres_it_holds(read):
    grid, _, _ = read('<polygon label="road" points="0.2,2.9;3.4,2.9;3.4,4.0;0.2,4.0" z_order="0"/>')
    assert grid[3] == [0, 0, 0, N, N, N] and grid[:3] == [[N] * 6] * 3


def test_higher_then_later_shapes_lie_above(read):
    box = 'left="0" top="3" width="4" height="1"'
    grid, problems, _ = read(f'<mask label="road" rle="0, 2, 2" {box} z_order="1"/><mask label="traffic light" rle="0, 4" {box} '
                             f'z_order="0"/><mask label="tree &amp; bush" rle="3, 1" {box} z_order="0"/>'
                             f'<mask label="?" rle="0, 4" {box} z_order="7"/>')
    assert grid[3] == [0, 0, 1, 2, N, N] and problems == ''


def test_what_an_unknown_class_was_drawn_over_is_not_answered(read):
    box = 'left="0" top="3" width="4" height="1"'
    grid, problems, _ = read(f'<mask label="road" rle="0, 4" {box} z_order="0"/><mask label="raod" rle="0, 2, 2" {box} '
                             'z_order="1"/>')
    assert grid[3] == [N, N, 0, 0, N, N] and "unknown class 'raod'; expected one of road, traffic light" in problems


@pytest.mark.parametrize('shape, message', [
    ('<box label="road" xtl="0" ytl="0" xbr="2" ybr="2"/>', '<box> is no shape'),
    ('<polyline label="road" points="0,0;1,1"/>', '<polyline> is no shape'),
    ('<cuboid label="road"/>', '<cuboid> is no shape'), ('<tag label="road"/>', '<tag> is no shape'),
    ('<points points="0.5,0.5"/>', 'unknown class None'), ('<points label="road"/>', 'expected "x,y;x,y;..."'),
    ('<points label="road" points="1,2,3"/>', 'expected "x,y'), ('<points label="road" points="a,b"/>', 'expected "x,y'),
    ('<points label="road" points="nan,0"/>', 'expected "x,y'), ('<points label="road" points="1e999,0"/>', 'expected "x,y'),
    ('<points label="road" points="0,0;1"/>', 'expected "x,y'), ('<points label="road" points="0,0" z_order="x"/>', 'z_order'),
    ('<polygon label="road" points="0,0;1,1"/>', '2 points'),
    ('<polygon label="road" points="0.1,0;0.2,0;0.2,1"/>', 'covers no pixel'),
    ('<mask label="road" rle="0, 4" left="0" top="3" width="4"/>', 'height is None'),
    ('<mask label="road" rle="0, 4" left="0.5" top="3" width="4" height="1"/>', "left is '0.5'"),
    ('<mask label="road" rle="0, 3" left="0" top="3" width="4" height="1"/>', 'cover 3 pixels; expected 4'),
    ('<mask label="road" rle="0, 9" left="0" top="3" width="4" height="1"/>', 'expected 0..4'),
    ('<mask label="road" rle="-1, 5" left="0" top="3" width="4" height="1"/>', 'expected 0..4'),
    ('<mask label="road" rle="" left="0" top="3" width="4" height="1"/>', 'no whole numbers'),
    ('<mask label="road" left="0" top="3" width="4" height="1"/>', 'no whole numbers'),
    ('<mask label="road" rle="0, 4" left="3" top="3" width="4" height="1"/>', 'does not lie in the image of 6x4'),
    ('<mask label="road" rle="0, 4" left="-1" top="3" width="4" height="1"/>', 'does not lie in the image'),
    ('<mask label="road" rle="0" left="0" top="0" width="0" height="0"/>', 'does not lie in the image')])
def test_a_bad_shape_is_left_out_and_named(read, shape, message):
    good = '<mask label="road" rle="0, 4" left="0" top="3" width="4" height="1" z_order="0"/>'
    grid, problems, _ = read(shape + good)
    assert grid[3] == [0, 0, 0, 0, N, N]
    assert message in problems and 'city/a.png' in problems and len(problems.splitlines()) == 1


@pytest.mark.parametrize('change, message', [
    (('width="6" height="4"', 'width="4" height="6"'), "'city/a.png' is 4x6 here; expected 6x4"),
    (('width="6" height="4"', 'width="6"'), 'no whole width and height'),
    (('name="city/a.png"', 'name="city/b.png"'), "'city/b.png' is not, or not certainly, an image"),
    (('name="city/a.png"', ''), 'None is not, or not certainly, an image'),
    (('Street &amp; park', 'request ' + '0' * 64), 'answers request 000000000000')])
def test_other_images_sizes_and_requests_answer_nothing(read, change, message):
    grid, problems, _ = read('<polygon label="road" points="0,0;6,0;6,4;0,4" z_order="0"/>', change=change)
    assert grid is None and message in problems


def test_the_name_of_the_task_may_carry_the_request(small, tmp_path):
    request = small()
    text = EXPORT.replace('SHAPES', '').replace('Street', f'request {request.request_id}')
    (tmp_path / 'annotations.xml').write_text(text)
    assert CVAT.read(tmp_path, request).request_id == request.request_id
    (tmp_path / 'annotations.xml').write_text(EXPORT.replace('SHAPES', '').replace('Street', 'x' + '0' * 64))
    assert CVAT.read(tmp_path, request).request_id == '0' * 64


def test_the_archive_that_cvat_makes_is_read(small, tmp_path):
    with zipfile.ZipFile(tmp_path / 'task.zip', 'w') as archive:
        archive.writestr('annotations.xml', EXPORT.replace('SHAPES', '<points label="road" points="5,0" z_order="0"/>'))
        archive.writestr('images/city/a.png', b'')
    assert detect(tmp_path / 'task.zip') is CVAT
    assert CVAT.read(tmp_path / 'task.zip', small()).answers[0].answer[0, 5] == 0


@pytest.mark.parametrize('text, message', [
    (EXPORT.replace('SHAPES', '')[:300], 'no XML'), ('', 'no XML'), ('[]', 'no XML'), ('<a><b></a>', 'no XML'),
    ('<svg/>', 'an XML file of <svg>'), ('<annotations><track id="0"/></annotations>', 'CVAT for video'),
    ('<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>', 'declares a document type'),
    ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>', 'declares a document type'),
    ('<annotations>\x01</annotations>', 'no XML')])
def test_a_file_that_is_damaged_as_a_whole_is_refused(small, tmp_path, text, message):
    (tmp_path / 'annotations.xml').write_text(text)
    with pytest.raises(ValueError, match=message):
        CVAT.read(tmp_path / 'annotations.xml', small())


def test_what_is_written_is_what_cvat_expects(small, tmp_path, answer_of):
    request = small()
    answer = np.full((4, 6), N, np.uint8)
    answer[0, 0], answer[3, :4] = 2, 254
    CVAT.write(request, [answer_of('city/a', answer)], tmp_path)
    root = ElementTree.parse(tmp_path / 'annotations.xml').getroot()
    image = root.find('image')
    assert image.attrib == dict(id='0', name='city/a.png', width='6', height='4')
    assert [(m.get('label'), m.get('rle'), m.get('left'), m.get('top'), m.get('width'), m.get('height')) for m in image] == [
        ('tree & bush', '0, 1', '0', '0', '1', '1'), ('?', '1, 3', '0', '0', '2', '2'), ('?', '0, 2', '5', '0', '1', '2'),
        ('void', '0, 4', '0', '3', '4', '1')]
    assert root.findtext('version') == '1.1' and root.findtext('meta/task/assignee/username') == 'anna'
    assert [row.findtext('name') for row in root.iter('label')] == ['road', 'traffic light', 'tree & bush', 'void', '?']


def test_one_task_has_one_person(make_codec_request, tmp_path, answer_of):
    request = make_codec_request({'a': [[1]], 'b': [[1]]})
    with pytest.raises(ValueError, match='one assignee'):
        CVAT.write(request, [answer_of('a', [[0]]), answer_of('b', [[0]], 'ben')], tmp_path)
