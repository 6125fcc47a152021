# SPDX-License-Identifier: Apache-2.0
"""Regions on the annotator page in a real browser: by mouse, finger and keyboard."""
import numpy as np
import pytest
from annotator_browser import HEIGHT, WIDTH, Stage, mixed_mask, read_labels, saved, sign_in, until

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
