# SPDX-License-Identifier: Apache-2.0
"""Units of a request: points apart, regions whole, one pixel inside each, answers split by unit and label."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active.codecs.shapes import check_answers, representative_pixels, unit_map, unit_shapes


def test_units_of_points_and_regions(make_codec_request):
    region = np.array([[0, 5, 5], [2, 0, 5]])
    assert unit_map(make_codec_request({'a': region}, 'regions'), 'a').tolist() == region.tolist()
    assert unit_map(make_codec_request({'a': region}, 'points'), 'a').tolist() == [[0, 1, 2], [3, 0, 4]]
    assert not unit_map(make_codec_request({'a': region, 'b': np.zeros((2, 2))}), 'b').any()


def test_regions_that_share_the_last_id_are_told_apart(make_codec_request):
    region = np.array([[65535, 0, 65535, 1], [65535, 0, 0, 65535]])
    assert unit_map(make_codec_request({'a': region}), 'a').tolist() == [[65535, 0, 65536, 1], [65535, 0, 0, 65536]]


def test_points_beyond_the_last_id_are_told_apart(make_codec_request):
    request = make_codec_request({'a': np.ones((300, 300))}, 'points')
    assert np.array_equal(unit_map(request, 'a').ravel(), np.arange(1, 90001))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.randoms(use_true_random=False))
def test_a_representative_pixel_is_in_its_unit_and_as_deep_as_any(height, width, random):
    unit = np.array([[random.choice([0, 1, 1, 2, 7]) for _ in range(width)] for _ in range(height)], np.int32)
    numbers, pixels = representative_pixels(unit)
    assert numbers.tolist() == sorted(set(unit.ravel().tolist()) - {0})
    assert unit.ravel()[pixels].tolist() == numbers.tolist()

    def depth(y, x):
        """Steps to the next pixel of another unit or beyond the image."""
        return min(abs(y - v) + abs(x - u) for v in range(-1, height + 1) for u in range(-1, width + 1)
                   if not (0 <= v < height and 0 <= u < width) or unit[v, u] != unit[y, x])

    for number, pixel in zip(numbers, pixels):
        deepest = max(depth(y, x) for y, x in np.argwhere(unit == number))
        assert depth(*divmod(int(pixel), width)) == deepest


def test_shapes_by_unit_and_label():
    unit = np.array([[1, 1, 0], [2, 1, 0]], np.int32)
    answer = np.array([[3, 0, 255], [255, 3, 255]], np.uint8)
    assert [(u, label, pixels.tolist()) for u, label, pixels in unit_shapes(unit, answer)] == [
        (1, 0, [1]), (1, 3, [0, 4]), (2, 255, [3])]
    assert [(u, label, pixels.tolist()) for u, label, pixels in unit_shapes(unit, None)] == [
        (1, 255, [0, 1, 4]), (2, 255, [3])]
    assert unit_shapes(np.zeros((2, 2), np.int32), None) == []


@pytest.mark.parametrize('kind, key, answer, message', [
    ('segments', 'b', [[0]], 'not in request'), ('segments', 'a', [[0, 0]], r'\(1, 2\)'),
    ('segments', 'a', [[0, 0, 0]], '1 pixels outside'), ('segments', 'a', [[3, 255, 255]], '1 of unknown'),
    ('regions', 'a', [[0, 1, 255]], 'several labels'), ('regions', 'a', [[0, 255, 255]], 'several labels')])
def test_answers_that_do_not_fit_are_not_written(make_codec_request, answer_of, kind, key, answer, message):
    request = make_codec_request({'a': [[1, 1, 0]]}, kind)
    with pytest.raises(ValueError, match=message):
        check_answers(request, [answer_of(key, answer)])


def test_two_people_only_where_the_format_holds_them(make_codec_request, answer_of):
    request = make_codec_request({'a': [[1, 1, 0]]})
    answers = [answer_of('a', [[0, 0, 255]], who) for who in ('anna', 'ben')]
    assert check_answers(request, answers, people=True) == {'a': answers}
    with pytest.raises(ValueError, match='holds one an image'):
        check_answers(request, answers)
