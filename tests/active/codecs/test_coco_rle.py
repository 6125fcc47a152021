# SPDX-License-Identifier: Apache-2.0
"""COCO documents with run-length masks, as tools of that family write them, and what may be wrong with them."""
import json

import numpy as np
import pytest

from udatools.active.codecs import CODECS, detect
from udatools.active.codecs.rle import compress_counts, encode_counts

COCO = CODECS['coco_rle']
N = 255


def rle(pixels, size=(4, 6), compressed=False):
    """COCO's RLE of row-major pixels."""
    y, x = np.divmod(np.array(pixels, int), size[1])
    counts = encode_counts(np.sort(x * size[0] + y), size[0] * size[1])
    return dict(size=list(size), counts=compress_counts(counts) if compressed else counts.tolist())


def annotation(segmentation, category=1, **changes):
    return dict(id=5, image_id=3, category_id=category, segmentation=segmentation, area=2.0, bbox=[0.0, 0.0, 1.0, 1.0],
                iscrowd=0, attributes=dict(occluded=False)) | changes


def export(annotations, **changes):
    """A document as exporters write it."""
    return dict(
        licenses=[dict(name='', id=0, url='')],
        info=dict(contributor='', date_created='', description='', url='', version='', year=''),
        categories=[dict(id=1, name='road', supercategory=''), dict(id=2, name='unsure', supercategory=''),
                    dict(id=3, name='raod', supercategory=''), dict(id=4, name='?', supercategory='')],
        images=[dict(id=3, width=6, height=4, file_name='city/a.png', license=0, flickr_url='', coco_url='', date_captured=0),
                dict(id=4, width=9, height=9, file_name='other.png', license=0)], annotations=annotations) | changes


@pytest.fixture
def read(small, tmp_path, texts):
    """Function: (answer as nested list or None, problems, Submission) of a document."""

    def read(annotations, kind='segments', **changes):
        (tmp_path / 'instances_default.json').write_text(json.dumps(export(annotations, **changes)))
        submission = COCO.read(tmp_path / 'instances_default.json', small(kind))
        return submission.answers[0].answer.tolist() if submission.answers else None, texts(submission), submission

    return read


@pytest.mark.parametrize('compressed', [False, True])
def test_masks_are_column_major(read, compressed):
    grid, problems, submission = read([annotation(rle([0, 6, 7, 2], compressed=compressed)), annotation(rle([5]), 2),
                                       annotation(rle([1]), 4)])
    assert grid == [[0, N, N, N, N, 254], [0, 0, N, N, N, N], [N] * 6, [N] * 6]
    assert problems == 'city/a.png: 1 pixels outside the request were left out'
    assert (submission.answers[0].clicks, submission.request_id) == (2, None)


def test_counts_by_hand(read):
    # Column by column: (0, 0), (0, 1) are ones, so are (1, 0), (1, 1) after two zeros.
    assert read([annotation(dict(size=[4, 6], counts=[0, 2, 2, 2, 18]))])[0][:2] == [[0, 0, N, N, N, N]] * 2


def test_a_mask_of_pycocotools_is_read(make_codec_request, tmp_path):
    y, x = np.mgrid[:40, :60]
    ring = ((x - 25)**2 + (y - 18)**2 < 15**2) & ~((x - 28)**2 + (y - 15)**2 < 5**2)
    text = 'U>;k04M2M4M2O0O2N2O0O2O000000\\OJ66IL64IN62JN62JN62JN62JN63JK66KH69;2N101N3L3N3Leh0'
    (tmp_path / 'c.json').write_text(json.dumps(export(
        [annotation(dict(size=[40, 60], counts=text))], images=[dict(id=3, width=60, height=40, file_name='a.png')])))
    answer = COCO.read(tmp_path / 'c.json', make_codec_request({'a': np.ones((40, 60))})).answers[0].answer
    assert np.array_equal(answer == 0, ring) and ring.sum() == 628


def test_polygons_join(read):
    grid, _, _ = read([annotation([[0, 3, 1, 3, 1, 4, 0, 4], [2, 3, 4, 3, 4, 4, 2, 4]])])
    assert grid[3] == [0, N, 0, 0, N, N]


def test_masks_have_no_order(read):
    grid, problems, _ = read([annotation(rle([0, 1])), annotation(rle([1, 6]), 2), annotation(rle([6]), 3)])
    assert grid[0][:2] == [0, N] and grid[1][0] == N and '2 asked pixels carry different labels' in problems
    assert "unknown class 'raod'" in problems


@pytest.mark.parametrize('bad, message', [
    (annotation(rle([0]), 9), 'category_id is 9'), (annotation(rle([0]), [1]), 'category_id is [1]'),
    (annotation(rle([0]), image_id=9), 'image_id is 9'), (annotation(rle([0]), image_id=4), "'other.png' is not"),
    ('x', 'the annotation is a str'), (annotation(None), 'segmentation is a NoneType'),
    (annotation('x'), 'segmentation is a str'),
    (annotation(rle([0], (6, 4))), 'size [6, 4]; expected [4, 6]'), (annotation(dict(counts=[24])), 'size None'),
    (annotation(dict(size=[4, 6])), 'no list'), (annotation(dict(size=[4, 6], counts=[23])), 'cover 23'),
    (annotation(dict(size=[4, 6], counts=[-1, 25])), '0..24'), (annotation(dict(size=[4, 6], counts=[0, 25])), '0..24'),
    (annotation(dict(size=[4, 6], counts='\x7f')), 'character'), (annotation(dict(size=[4, 6], counts='')), 'character'),
    (annotation(dict(size=[4, 6], counts=rle([0, 9], compressed=True)['counts'][:-1])), 'cover'),
    (annotation(rle([])), 'covers no pixel'), (annotation([]), 'covers no pixel'), (annotation([[1, 2, 3]]), '3 numbers'),
    (annotation([[1, 2, 3, 4]]), '2 points'), (annotation([[]]), '0 points'), (annotation(['x']), 'a polygon is a str'),
    (annotation([[0, 0, 1, None, 1, 1]]), 'no number')])
def test_a_bad_annotation_is_left_out_and_named(read, bad, message):
    grid, problems, _ = read([bad, annotation(rle([18, 19]))])
    assert grid[3] == [0, 0, N, N, N, N] and message in problems and len(problems.splitlines()) == 1


def test_an_image_of_another_size_or_request_answers_nothing(read):
    grid, problems, _ = read([annotation(rle([0]))], images=[dict(id=3, width=4, height=6, file_name='city/a.png')])
    assert grid is None and 'is 4x6 here; expected 6x4' in problems
    grid, problems, submission = read([annotation(rle([0]))], info=dict(request_id='0' * 64))
    assert grid is None and 'answers request 0000' in problems and submission.request_id == '0' * 64


@pytest.mark.parametrize('document, message', [
    ([], 'is a list'), (dict(images=[], annotations=[]), "no 'categories'"), (export({}), 'annotations is a dict'),
    (export([], images=[dict(id=1), dict(id=1)]), 'the id 1 twice'), (export([], images=[dict(id=None)]), 'the id None'),
    (export([], categories=['x']), 'a row of categories is a str')])
def test_a_document_that_is_damaged_as_a_whole_is_refused(small, tmp_path, document, message):
    (tmp_path / 'c.json').write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message):
        COCO.read(tmp_path / 'c.json', small())


def test_what_is_written_is_coco(small, tmp_path, answer_of):
    COCO.write(small(), [answer_of('city/a', np.where(np.arange(24).reshape(4, 6) < 2, 2, N))], tmp_path)
    document = json.loads((tmp_path / 'coco_rle.json').read_text())
    assert detect(tmp_path / 'coco_rle.json') is COCO
    assert [(c['id'], c['name']) for c in document['categories']] == [
        (1, 'road'), (2, 'traffic light'), (3, 'tree & bush'), (4, 'void'), (5, '?')]
    first, rest, *_ = document['annotations']
    assert (first['category_id'], first['bbox'], first['area'], first['iscrowd'], first['image_id']) == (3, [0, 0, 2, 1], 2, 0, 1)
    assert (rest['category_id'], rest['bbox'], rest['area']) == (5, [0, 1, 2, 1], 2)
    assert first['segmentation']['size'] == [4, 6] and document['info']['contributor'] == 'anna'
