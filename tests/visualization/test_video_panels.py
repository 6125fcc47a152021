# SPDX-License-Identifier: Apache-2.0
"""The comparison picture: which panel shows what, where, and in which colours."""
import numpy as np
import pytest

from udatools.visualization.flow_colours import UNKNOWN_COLOUR
from udatools.visualization.video_panels import NO_LABEL_COLOUR, ComparisonPicture

CLASSES = ['road', 'building', 'sky', 'car', 'person']
PALETTE = [[128, 64, 128], [70, 70, 70], [70, 130, 180], [0, 0, 142], [220, 20, 60]]
IMAGE = (10, 200, 30)


def content(size=(40, 80), **changed):
    """Every panel of one colour: its class, the image green, flow to the right."""
    flow = np.zeros((2, *size), np.float32)
    flow[0] = 4
    given = dict(source=np.full(size, 1), adapted=np.full(size, 2), flow=flow, known=np.ones(size, bool),
                 label=np.full(size, 3), refined=np.full(size, 4)) | changed
    return np.full((*size, 3), IMAGE, np.uint8), given


def draw(size=(40, 80), columns=3, panel_width=160, **changed):
    image, given = content(size, **changed)
    return ComparisonPicture(CLASSES, PALETTE, columns=columns, panel_width=panel_width, largest_px=4.0).draw(image, **given)


def runs(line):
    """Colours along a line of pixels, without repetitions and without what is shorter than 60 pixels."""
    ends = np.flatnonzero((line[1:] != line[:-1]).any(1)).tolist()
    parts = zip([0, *(end + 1 for end in ends)], [*(end + 1 for end in ends), len(line)])
    return [tuple(line[start].tolist()) for start, end in parts if end - start >= 60]


@pytest.mark.parametrize('columns, rows', [
    (3, [[IMAGE, tuple(PALETTE[1]), tuple(PALETTE[2])], [(255, 0, 0), tuple(PALETTE[3]), tuple(PALETTE[4])]]),
    (2, [[IMAGE, (255, 0, 0)], [tuple(PALETTE[1]), tuple(PALETTE[2])], [tuple(PALETTE[3]), tuple(PALETTE[4])]]),
])
def test_panels_are_where_they_belong(columns, rows):
    picture = draw(columns=columns)
    assert picture.dtype == np.uint8 and picture.shape[1] == columns * 160 + (columns - 1) * 8
    found = [runs(line) for line in picture]
    assert [row for i, row in enumerate(found) if len(row) == columns and row != [(255, 255, 255)] * columns
            and (i == 0 or found[i - 1] != row)] == rows
    assert all(sum(found_row == row for found_row in found) == 80 for row in rows)  # 80x40, twice as large


def test_every_panel_has_a_title():
    picture = draw()
    title = picture[:12]  # of a strip of 12 pixels
    assert (title[:, :160].min(), title[:, 168:328].min(), title[:, 336:].min()) < (100, 100, 100)
    assert (title[:, 160:168] == 255).all()
    some, all_ = (draw(label=np.where(np.arange(80) < number, 3, 255) * np.ones((40, 1), int)) for number in (40, 80))
    below = 12 + 80 + 8
    assert not np.array_equal(some[below:below + 12, 168:328], all_[below:below + 12, 168:328])  # 50 % and 100 %


def test_without_a_label_and_without_flow_panels_are_grey():
    picture = draw(label=np.full((40, 80), 255), known=np.zeros((40, 80), bool))
    assert runs(picture[12 + 80 + 8 + 12 + 40]) == [UNKNOWN_COLOUR, NO_LABEL_COLOUR, tuple(PALETTE[4])]
    assert len(set(NO_LABEL_COLOUR)) == 1 and NO_LABEL_COLOUR not in map(tuple, PALETTE)


def test_the_legend_has_every_class_and_no_label():
    picture = draw()
    legend = picture[2 * (12 + 80 + 8):]
    colours = set(map(tuple, legend.reshape(-1, 3).tolist()))
    assert {tuple(colour) for colour in [*PALETTE, NO_LABEL_COLOUR]} <= colours


@pytest.mark.parametrize('size', [(40, 80), (21, 33), (300, 481), (90, 60)])
def test_frames_of_a_clip_have_one_even_size(size):
    shapes = {draw(size, label=np.full(size, value)).shape for value in (0, 255)}
    assert len(shapes) == 1 and all(side % 2 == 0 for side in shapes.pop()[:2])


def test_growing_mixes_no_classes_and_shrinking_does():
    stripes = np.tile([0, 4], (40, 40))
    row = draw(adapted=stripes)[12 + 40]
    assert set(map(tuple, row[336:].tolist())) == {tuple(PALETTE[0]), tuple(PALETTE[4])}
    size = (100, 640)
    row = draw(size, adapted=np.tile([0, 4], (100, 320)))[12 + 12]
    assert np.abs(row[336:].astype(int) - np.mean([PALETTE[0], PALETTE[4]], 0)).max() <= 1


def test_what_is_refused():
    for settings in (dict(columns=4), dict(panel_width=100)):
        with pytest.raises(ValueError, match='expected columns of'):
            ComparisonPicture(CLASSES, PALETTE, **settings)
