# SPDX-License-Identifier: Apache-2.0
"""What shapes answer, by kind of request: clipped, exact, and nothing where labels disagree."""
import numpy as np
import pytest

from udatools.active.codecs.canvas import UNKNOWN, Canvas


def finish(request, shapes, layers=False, **options):
    """(answer as nested list or None, problems as text, Answer) of shapes (label, pixels, point)."""
    canvas, problems = Canvas(request, request['city/a'], layers), []
    for label, pixels, *point in shapes:
        canvas.add(label, np.array(pixels), point=bool(point))
    answer = canvas.finish(problems, annotator='anna', tool='t', **options)
    return None if answer is None else answer.answer.tolist(), '\n'.join(map(str, problems)), answer


N = 255
# Regions of ``small``, row-major in 4x6: 1 = {0, 1, 6, 7}, 2 = {5, 11}, 3 = {18, 19, 20, 21}.


def test_segments_are_clipped_to_what_was_asked(small):
    grid, problems, answer = finish(small(), [(2, [0, 1, 2, 3, 18]), (254, [5]), (1, [12])])
    assert grid == [[2, 2, N, N, N, 254], [N] * 6, [N] * 6, [2, N, N, N, N, N]]
    assert problems == 'city/a.png, anna: 3 pixels outside the request were left out'
    assert (answer.clicks, answer.components, answer.points, answer.tool) == (2, 3, 0, 't')


def test_labels_that_disagree_leave_the_pixel_unanswered(small):
    grid, problems, answer = finish(small(), [(2, [0, 1]), (1, [1, 6]), (2, [0])])
    assert grid[0][:2] == [2, N] and grid[1][0] == 1 and answer.clicks == 3
    assert '1 asked pixels carry different labels and stay unanswered: (1, 0)' in problems


def test_the_upper_layer_holds_where_there_are_layers(small):
    grid, problems, _ = finish(small(), [(2, [0, 1]), (1, [1, 6]), (UNKNOWN, [6])], layers=True)
    assert grid[0][:2] == [2, 1] and grid[1][0] == N and problems == ''


def test_points_and_regions_have_no_layers(small):
    for kind in ('points', 'regions'):
        grid, problems, _ = finish(small(kind), [(2, [5, 11]), (1, [5, 11])], layers=True)
        assert grid is None and 'stay unanswered' in problems


def test_points_count_as_points(small):
    _, problems, answer = finish(small('points'), [(2, [0], True), (2, [1], True), (0, [18, 19])])
    assert (answer.points, answer.components, answer.clicks, problems) == (4, 4, 3, '')


def test_a_region_is_answered_by_more_than_half_of_it_or_a_point(small):
    grid, problems, answer = finish(small('regions'), [(2, [0, 1]), (2, [6, 2]), (1, [5]), (0, [20], True)])
    assert grid == [[2, 2, N, N, N, N], [2, 2, N, N, N, N], [N] * 6, [0, 0, 0, 0, N, N]]
    assert '1 pixels outside' in problems and '1 regions have a label on half of their pixels or less' in problems
    assert problems.endswith(': 2; a label answers a region if it covers more than half of it')
    assert (answer.components, answer.clicks) == (2, 3)


def test_a_region_with_several_labels_stays_unanswered(small):
    everything = [0, 1, 6, 7, 18, 19, 20]
    grid, problems, _ = finish(small('regions'), [(2, everything), (1, [7], True)])
    assert grid[0] == [N] * 6 and grid[3][:4] == [2] * 4
    assert '1 regions carry several labels and stay unanswered: 1' in problems
    assert finish(small('regions'), [(2, everything), (UNKNOWN, everything)])[0] is None


def test_the_minority_label_of_a_region_is_named(small):
    grid, problems, _ = finish(small('regions'), [(2, [18, 19, 20]), (1, [21])])
    assert grid[3][:4] == [2] * 4 and 'half of their pixels or less, which was left out: 3;' in problems


def test_given_costs_hold(small):
    answer = finish(small(), [(2, [0])], seconds=7.5, clicks=9)[2]
    assert (answer.seconds, answer.clicks, answer.annotator) == (7.5, 9, 'anna')


def test_nothing_answered_is_no_answer(small):
    assert finish(small(), []) == (None, '', None)
    assert finish(small(), [(1, [2]), (UNKNOWN, [0])])[0] is None


def test_pixels_and_units(small):
    canvas = Canvas(small(), small()['city/a'], False)
    assert canvas.pixel(1, 3, 3) == 19 and canvas.unit_pixels(19).tolist() == [18, 19, 20, 21]
    assert canvas.unit_pixels(5).tolist() == [5, 11]
    for x, y in ((2, 0), (-1, 0), (6, 0), (0, 4), (-6, 1)):
        with pytest.raises(ValueError, match='is not asked'):
            canvas.pixel(x, y)
    with pytest.raises(ValueError, match='in region 3, not 1'):
        canvas.pixel(1, 3, 1)
    points = Canvas(small('points'), small('points')['city/a'], False)
    assert points.unit_pixels(points.pixel(1, 3, 99)).tolist() == [19]
