# SPDX-License-Identifier: Apache-2.0
"""Regions on the annotator page in a real browser: by mouse, finger and keyboard."""
import numpy as np
import pytest
from annotator_browser import HEIGHT, WIDTH, Stage, mixed_mask, read_labels, saved, sign_in, until

from udatools.active.request import class_table

pytestmark = pytest.mark.slow


def test_regions_by_click_brush_cut_and_lasso(serve, open_page):
    mask, label = mixed_mask(), np.full((HEIGHT, WIDTH), 255, np.uint8)
    server = serve({'a': mask}, 'segments')
    page = open_page(server)
    stage = Stage(page)

    # A click, then a key; then the same in the other order with the stamp.
    stage.click(34, 8)
    page.keyboard.press('3')
    label[mask == 2] = 2
    page.keyboard.press("'")
    page.keyboard.press('2')
    stage.click(45, 22)
    label[22, 45] = 1

    # A stroke one pixel wide, beyond the region on both sides and over its hole: only asked pixels take it.
    page.keyboard.press('.')
    for _ in range(8):
        page.keyboard.press('[')
    page.keyboard.press('4')
    stage.drag((4, 7), (24, 7))
    label[7, 4:25][mask[7, 4:25] > 0] = 3
    # What is left of the region is one click.
    page.keyboard.press(',')
    stage.click(9, 5)
    page.keyboard.press('1')
    label[(mask == 1) & (label == 255)] = 0

    # A region cut in two by an upright line: one side is selected, then the other.
    page.keyboard.press(';')
    stage.drag((19.5, 18), (19.5, 28))
    page.keyboard.press('2')
    page.keyboard.press('Space')
    right = (np.arange(WIDTH) >= 20)[None]
    label[(mask == 3) & right], label[(mask == 3) & ~right] = 1, 254
    saved(page)
    (answer, ) = read_labels(server).values()
    assert np.array_equal(answer.answer, label)
    page.wait_for_selector('#banner:not([hidden])')

    # A lasso around the corner of a finished region relabels just that.
    page.keyboard.press('/')
    stage.drag((28.5, 2.5), (33.5, 2.5), (33.5, 6.5), (28.5, 6.5), (28.5, 2.5))
    page.keyboard.press('1')
    label[4:7, 30:34] = 0
    saved(page)
    (answer, ) = read_labels(server).values()
    assert np.array_equal(answer.answer, label)

    # After a reload it is all there; undo takes the lasso's answer back, and its cut.
    page.reload()
    sign_in(page)
    until(page, "document.getElementById('count').textContent === '4 of 4 regions'")
    until(page, "document.getElementById('done').open || !document.getElementById('banner').hidden")
    if page.evaluate("document.getElementById('done').open"):
        page.click('#done-back')
    else:
        page.keyboard.press('Backspace')
    label[4:7, 30:34] = 2
    until(page, "document.body.dataset.ready === '0'")
    saved(page)
    (answer, ) = read_labels(server).values()
    assert np.array_equal(answer.answer, label)
    kinds = [event.kind for event in server.store.events()]
    assert kinds == ['label', 'label', 'paint', 'label', 'split', 'label', 'void', 'split', 'label', 'undo']


def test_regions_by_keyboard_alone(serve, open_page):
    mask, label = mixed_mask(), np.full((HEIGHT, WIDTH), 255, np.uint8)
    server = serve({'a': mask, 'b': mask}, 'segments')
    page = open_page(server)
    page.keyboard.press('1')  # the first region is selected
    label[mask == 1] = 0
    page.keyboard.press('Tab')  # from the second to the third
    page.keyboard.press('2')
    label[mask == 3] = 1
    page.keyboard.press('Shift+Tab')
    page.keyboard.press('3')
    label[mask == 2] = 2
    page.keyboard.press('4')
    label[mask == 4] = 3
    page.wait_for_selector('#banner:not([hidden])')
    # The brush follows the arrows and starts in the middle of the view; Enter paints.
    page.keyboard.press('Home')
    page.keyboard.press('.')
    for _ in range(8):
        page.keyboard.press('[')
    page.keyboard.press('4')
    for _ in range(4):
        page.keyboard.press('ArrowDown')
    for _ in range(10):
        page.keyboard.press('ArrowLeft')
    page.keyboard.press('Enter')
    label[20, 22] = 3
    page.keyboard.press('Escape')
    # The buttons can be reached, and work.
    page.keyboard.press('Escape')
    for _ in range(40):
        page.keyboard.press('Tab')
        if page.evaluate('document.activeElement.id') == 'action-skip':
            break
    page.keyboard.press('Enter')
    until(page, "document.body.dataset.ready === '1'")
    assert page.inner_text('#image-name') == 'b.png'
    page.keyboard.press('?')
    assert page.is_visible('#help-title')
    page.keyboard.press('1')  # answers nothing while help is open
    page.keyboard.press('Escape')
    assert not page.is_visible('#help-title')
    saved(page)
    labels = read_labels(server)
    assert set(labels) == {('a', 'anna')} and np.array_equal(labels['a', 'anna'].answer, label)


def test_enter_with_a_drawing_tool_does_not_leave_the_image(serve, open_page):
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    mask[10:22, 20:44] = 1
    server = serve({'a': mask, 'b': mask}, 'segments')
    page = open_page(server)
    page.keyboard.press('Home')
    page.keyboard.press('.')
    for _ in range(8):
        page.keyboard.press('[')
    page.keyboard.press('4')
    page.keyboard.press('Enter')  # shows the cursor in the middle of the view
    assert 'The cursor is in the middle' in page.text_content('#toast') and server.store.events() == []
    page.keyboard.press('Enter')
    saved(page)
    assert page.inner_text('#image-name') == 'a.png'
    (answer, ) = read_labels(server).values()
    assert [tuple(at) for at in np.argwhere(answer.answer != 255).tolist()] == [(HEIGHT // 2, WIDTH // 2)]
    page.keyboard.press('Escape')
    page.keyboard.press('1')
    page.keyboard.press('.')
    page.keyboard.press('Enter')  # the image is finished: the banner says what Enter does
    until(page, "document.getElementById('image-name').textContent === 'b.png'")


def test_no_tap_is_lost_right_after_a_stroke_or_another_tap(serve, open_page):
    server = serve({'a': mixed_mask()}, 'segments')
    page = open_page(server, size=(820, 1180), has_touch=True)
    stage, session = Stage(page), page.context.new_cdp_session(page)

    def touch(*path):
        for kind, at in (('touchStart', path[:1]), *(('touchMove', [at]) for at in path[1:]), ('touchEnd', [])):
            session.send('Input.dispatchTouchEvent', dict(type=kind, touchPoints=[dict(x=x, y=y) for x, y in at]))
    page.tap('#tool-cut')
    box = page.locator('.class[data-class="1"]').bounding_box()
    touch(*(stage.at(19.5, y) for y in range(18, 29)))  # both sides of the cut get the same class
    for _ in range(2):
        touch((box['x'] + 20, box['y'] + 15))
        page.wait_for_timeout(80)
    saved(page)
    assert [event.kind for event in server.store.events()] == ['split', 'label', 'label']
    actions = page.evaluate("[...document.querySelectorAll('button')].map((e) => getComputedStyle(e).touchAction)")
    assert set(actions) == {'manipulation'}


AZERTY = [('-', 'Digit6'), ('_', 'Digit8'), ("'", 'Digit4'), ('=', 'Equal')]


def test_keys_mean_what_is_printed_on_them(serve, open_page):
    """An AZERTY keyboard: digits need Shift; the classes of unshifted keys that mean nothing else are found by place."""
    names = [f'class {i}' for i in range(12)]
    server = serve({'a': mixed_mask()}, 'segments', classes=class_table(names, [(i, i, i) for i in range(12)]))
    page = open_page(server)

    def press(key, code):
        page.evaluate("""([key, code]) => document.getElementById('stage').dispatchEvent(
          new KeyboardEvent('keydown', { key, code, bubbles: true, cancelable: true }))""", [key, code])
    zoom = "document.getElementById('zoom-value').textContent"
    for key, code in AZERTY:
        before = page.evaluate(zoom)
        press(key, code)
        if key != "'":
            until(page, f'before => {zoom} !== before', before)
    assert page.get_attribute('#tool-stamp', 'aria-pressed') == 'true' and server.store.events() == []
    page.keyboard.press(',')
    for key, code in [('\u00e8', 'Digit7'), ('6', 'Digit6'), ('A', 'KeyQ')]:
        press(key, code)
    press('\u00e9', 'Digit2')
    saved(page)
    assert [event.value for event in server.store.events()] == [6, 5, 10, 1]


def test_one_label_a_region(serve, open_page):
    mask = mixed_mask()
    server = serve({'a': mask}, 'regions')
    page = open_page(server)
    assert [button.inner_text().split()[0] for button in page.locator('.tool').all()] == ['Select', 'Stamp']
    for key in '1234':
        page.keyboard.press(key)
    page.wait_for_selector('#banner:not([hidden])')
    saved(page)
    (answer, ) = read_labels(server).values()
    assert np.array_equal(answer.answer, np.where(mask > 0, mask - 1, 255)) and (answer.clicks, answer.components) == (4, 4)
