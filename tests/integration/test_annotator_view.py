# SPDX-License-Identifier: Apache-2.0
"""What the annotator page shows, read from its pixels: the asked point under the crosshair, legend, progress, panning."""
import re
import time

import numpy as np
import pytest
from annotator_browser import CLASSES, PALETTE, current_point, press_point, saved, until

pytestmark = pytest.mark.slow

GROUND, MARK = (90, 90, 90), (250, 20, 20)
WIDTH, HEIGHT = 400, 300
# The colour of the picture, and how much of it is drawn over, at a point of the stage in CSS pixels.
SHOWN = """([x, y]) => ['picture', 'overlay'].map((id) => {
  const canvas = document.getElementById(id), ratio = window.devicePixelRatio;
  return [...canvas.getContext('2d').getImageData(Math.floor(x * ratio), Math.floor(y * ratio), 1, 1).data];
})"""


@pytest.fixture
def asked_page(serve, open_page):
    """A page that asks for four points, each of which is the one red pixel of its picture."""
    masks, pictures, places = {}, {}, [(57, 41), (310, 33), (203, 250), (20, 140)]
    for name, (x, y) in zip('abcd', places):
        masks[name], pictures[name] = np.zeros((HEIGHT, WIDTH), np.uint16), np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
        masks[name][y, x] = 1
        pictures[name][y, x] = MARK[::-1]  # BGR
    return open_page(serve(masks, 'points', pictures=pictures))


def stage_size(page):
    return page.evaluate("[document.getElementById('stage').clientWidth, document.getElementById('stage').clientHeight]")


def shown(page, x, y):
    """(R, G, B) of the picture, and the opacity of what is drawn over it."""
    picture, overlay = page.evaluate(SHOWN, [x, y])
    return tuple(picture[:3]), overlay[3]


def zoom(page):
    """Screen pixels of a native pixel."""
    return float(re.search(r'[\d.]+', page.inner_text('#zoom-value'))[0]) / 100


def test_the_asked_pixel_is_in_the_middle_magnified_and_inside_the_crosshair(asked_page):
    page = asked_page
    for _ in range(3):
        width, height = stage_size(page)
        whole = min(width / WIDTH, height / HEIGHT)
        scale = zoom(page)
        assert scale > 2.5 * whole and page.is_visible('#inset')  # magnified; the small picture shows where
        x, y = width / 2, height / 2
        until(page, f'({SHOWN})([{x}, {y}])[0][0] > 200')  # the picture of this question is drawn
        assert shown(page, x, y) == (MARK, 0)  # the mark itself is not covered
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            colour, _ = shown(page, x + 0.4 * scale * dx, y + 0.4 * scale * dy)
            assert colour == MARK  # as large as a native pixel, and its middle is that of the stage
            assert shown(page, x + 0.8 * scale * dx, y + 0.8 * scale * dy)[0] == GROUND
            arm = max(14, 0.9 * scale) + 23
            assert shown(page, x + arm * dx, y + arm * dy)[1] > 200  # an arm of the crosshair on every side
        press_point(page, '1')


def test_speed_time_left_and_progress_are_shown(asked_page):
    page = asked_page
    assert page.inner_text('#count') == '0 of 4 points' and page.inner_text('#speed') == ''
    press_point(page, '1')
    time.sleep(1.2)  # a speed is known after a second of work
    press_point(page, '2')
    saved(page)
    until(page, "document.getElementById('speed').textContent !== ''")
    assert re.fullmatch(r'[\d.]+ a minute', page.inner_text('#speed'))
    assert re.fullmatch(r'\d+ min left', page.inner_text('#left'))
    assert page.inner_text('#count') == '2 of 4 points' and page.get_attribute('#meter', 'aria-valuenow') == '50'
    assert page.evaluate("document.getElementById('meter-fill').style.width") == '50%'


def test_the_legend_has_the_colour_and_key_of_each_class(asked_page):
    found = asked_page.evaluate("""[...document.querySelectorAll('.class')].map((row) => [
      row.title, row.querySelector('kbd').textContent, getComputedStyle(row.querySelector('.swatch')).backgroundColor])""")
    assert found == [[name, str(i + 1), f'rgb{tuple(colour)}'] for i, (name, colour) in enumerate(zip(CLASSES, PALETTE))]


def test_the_picture_is_moved_by_dragging_and_by_arrows(asked_page):
    page = asked_page
    box, (width, height) = page.locator('#stage').bounding_box(), stage_size(page)
    x, y = width / 2, height / 2
    assert shown(page, x, y)[0] == MARK
    page.mouse.move(box['x'] + x, box['y'] + y)
    page.mouse.down()
    page.mouse.move(box['x'] + x + 90, box['y'] + y + 50, steps=5)
    page.mouse.up()
    until(page, f'({SHOWN})([{x + 90}, {y + 50}])[0][0] > 200')
    assert shown(page, x, y)[0] == GROUND
    before = current_point(page)
    page.keyboard.press('ArrowRight')  # the view goes to the right, the picture to the left
    until(page, f'({SHOWN})([{x + 30}, {y + 50}])[0][0] > 200')
    page.keyboard.press('ArrowUp')
    until(page, f'({SHOWN})([{x + 30}, {y + 110}])[0][0] > 200')
    assert current_point(page) == before
