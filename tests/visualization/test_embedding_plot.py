# SPDX-License-Identifier: Apache-2.0
"""The picture of features: points where they belong, in the colour of their class or domain, with the marker of their domain."""
import cv2
import numpy as np
import pytest

from udatools.visualization.embedding_plot import EmbeddingPanel, write_embedding_plot

PALETTE = [[220, 0, 0], [0, 160, 0], [0, 0, 220], [200, 160, 0]]
CLASSES = ['red', 'green', 'blue', 'gold']
CORNERS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 0.5]])  # the last is half-way between green and blue


def draw(path, *panels, **legend):
    write_embedding_plot(path, panels, **legend)
    return cv2.imread(str(path))[..., ::-1].astype(int)


def spots(picture, colour):
    """Where points of a colour are, from the left: (x, y, mask) each. Points are translucent, squares of the legend are not."""
    shown = 0.85 * np.asarray(colour) + 0.15 * 255
    count, parts, stats, centres = cv2.connectedComponentsWithStats(np.uint8(np.abs(picture - shown).max(-1) <= 3))
    found = [(*centres[i], parts == i) for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] > 15]
    return sorted(found, key=lambda spot: spot[0])


def widths(mask):
    """Of the rows of a spot, from the top."""
    rows = mask.sum(1)
    return rows[rows > 0]


def test_points_lie_where_they_belong_in_the_colour_of_their_class(tmp_path):
    panel = EmbeddingPanel('one', CORNERS, np.arange(4), np.zeros(4, int))
    other = EmbeddingPanel('two', -CORNERS, np.arange(4), np.zeros(4, int))
    picture = draw(tmp_path / 'a.png', panel, other, classes=CLASSES, palette=PALETTE)
    places = [spots(picture, colour) for colour in PALETTE]
    assert [len(found) for found in places] == [2] * 4  # one a panel
    for number, sign in enumerate((1, -1)):
        red, green, blue, gold = (np.array(found[number][:2]) for found in places)
        assert sign * (green - red)[0] > 100 and abs((green - red)[1]) < 2
        assert sign * (blue - red)[1] < -100 and abs((blue - red)[0]) < 2  # rows count down
        assert np.abs(gold - (green + blue) / 2).max() < 2


def test_the_marker_says_the_domain(tmp_path):
    panel = EmbeddingPanel('one', CORNERS, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    picture = draw(tmp_path / 'a.png', panel, classes=CLASSES, palette=PALETTE)
    red_source, red_target = (widths(spot[2]) for spot in spots(picture, PALETTE[0]))
    green_source, green_target = (widths(spot[2]) for spot in spots(picture, PALETTE[1]))  # at (0, 1) and (1, 0.5)
    for circle in (red_source, green_source):
        assert abs(int(circle[0]) - int(circle[-1])) <= 2 and circle.argmax() not in (0, len(circle) - 1)
    for triangle in (red_target, green_target):
        assert triangle[0] <= 3 and triangle[-1] >= triangle.max() - 1


def test_images_have_the_colour_of_their_domain(tmp_path):
    panel = EmbeddingPanel('one', CORNERS, None, np.array([0, 1, 1, 0]))
    picture = draw(tmp_path / 'a.png', panel)
    source, target = (spots(picture, colour) for colour in ((0x1f, 0x62, 0xc9), (0xc2, 0x57, 0x0c)))
    assert len(source) == len(target) == 2
    left_bottom, middle = (np.array(spot[:2]) for spot in source)
    left_top, right_bottom = (np.array(spot[:2]) for spot in target)
    assert np.abs(middle - (left_top + right_bottom) / 2).max() < 4 and abs(left_top[0] - left_bottom[0]) < 2
    assert left_top[1] < left_bottom[1] and right_bottom[0] > left_bottom[0]


def test_what_is_refused(tmp_path):
    panel = EmbeddingPanel('one', CORNERS, None, np.zeros(4, int))
    with pytest.raises(ValueError, match='give at least one panel'):
        write_embedding_plot(tmp_path / 'a.png', [])
    with pytest.raises(ValueError, match=r"got the ending '.jpg'; expected .png, .svg or .pdf"):
        write_embedding_plot(tmp_path / 'a.jpg', [panel])
    assert not list(tmp_path.iterdir())
