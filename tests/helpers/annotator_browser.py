# SPDX-License-Identifier: Apache-2.0
"""The annotator page as its tests drive it: where a browser is, what can be asked of the page, and what was stored."""
import os
import re
import shutil
import time

import cv2
import numpy as np

from udatools.active import Request
from udatools.active.codecs import CODECS
from udatools.active.request import RequestItem, class_table, number_regions, region_digest, write_mask, write_request

CLASSES = ('road', 'car', 'sky', 'tree')
PALETTE = [(128, 64, 128), (0, 0, 142), (70, 130, 180), (107, 142, 35)]
ARGUMENTS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
             '--disable-component-update', '--disable-sync']
HEIGHT, WIDTH = 32, 64


def find_chromium():
    named = os.environ.get('UDATOOLS_CHROMIUM')
    return named or next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


def sign_in(page, who='anna'):
    page.wait_for_selector('#who-dialog[open]')
    page.keyboard.press('Control+A')
    page.keyboard.type(who)
    page.keyboard.press('Enter')
    page.wait_for_selector('body[data-ready]')


def until(page, condition, arg=None, seconds=15):
    """Wait until a JavaScript condition holds (Playwright's own waiting needs eval, which the page forbids)."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, arg):
        assert time.monotonic() < end, f'after {seconds} s still not: {condition}'
        time.sleep(0.05)


def saved(page):
    until(page, "document.getElementById('saved').dataset.state === 'saved' "
                           "&& document.getElementById('saved-text').textContent === 'All answers saved'")


def current_point(page):
    """(image, x, y) of the point that the page asks."""
    found = re.search(r'x (\d+), y (\d+)', page.inner_text('#context'))
    return page.inner_text('#image-name').removesuffix('.png'), int(found[1]), int(found[2])


def wait_for_other_point(page, before):
    name, x, y = before
    until(page, """([name, at]) => {
      const image = document.getElementById('image-name').textContent, context = document.getElementById('context').textContent;
      return document.getElementById('done').open
        || (context.startsWith('x ') && (image !== name + '.png' || !context.startsWith(at + ' ')));
    }""", [name, f'x {x}, y {y}'])


def finished(page):
    return page.evaluate("document.body.dataset.ready === 'done' && document.getElementById('done').open")


def press_point(page, key):
    """Press a key and wait for the next point; gives the one that was answered."""
    before = current_point(page)
    page.keyboard.press(key)
    wait_for_other_point(page, before)
    return before


def read_labels(server):
    """{(key, who): answer map} as the codec reads the log."""
    request = Request.load(server.store.path.parent)
    submission = CODECS['page'].read(server.store.path, request)
    assert submission.problems == []
    return {(answer.key, answer.annotator): answer for answer in submission.answers}


def points(count, seed=0):
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    mask.ravel()[np.random.default_rng(seed).choice(mask.size, count, replace=False)] = 1
    return mask


def mixed_mask():
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    mask[4:10, 8:20] = 1
    mask[6:8, 11:13] = 0  # a hole
    mask[4:12, 30:40] = 2
    mask[20:26, 10:30] = 3
    mask[22, 45] = 4
    return mask


def write_package(root, masks, kind, round=1, budget=None, pictures=None, classes=None):
    """A request package {key: mask} of a kind, with images that are the same in every round, or the given pictures."""
    items = []
    for i, (key, mask) in enumerate(masks.items()):
        image = root / 'images' / f'{key}.png'
        image.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(40, 200, (*mask.shape, 3), np.uint8)
        cv2.imwrite(str(image), cv2.GaussianBlur(noise, (5, 5), 0) if pictures is None else pictures[key])
        region = number_regions(mask > 0, points=True) if kind == 'points' else mask.astype(np.uint16)
        asked = int((region > 0).sum())
        items.append(RequestItem(key, f'{key}.png', '', *region.shape, asked, asked, int(region.max()),
                                 write_mask(root, key, region), region_digest(region)))
    write_request(root, dict(run='streets', round=round, num_rounds=3, kind=kind, selector={}, ignore_index=255,
                             classes=classes or class_table(CLASSES, PALETTE), images=len(items), dataset_fingerprint='f',
                             total_pixels=sum(mask.size for mask in masks.values()),
                             budget=budget or dict(unit='points', limit=None, asked=0, spent=0, left=None)), items)
    return root


class Stage:
    """Where native pixels are on the screen while the whole image is shown."""

    def __init__(self, page):
        self.page, self.box = page, page.locator('#stage').bounding_box()
        page.keyboard.press('Home')
        self.scale = min(self.box['width'] / WIDTH, self.box['height'] / HEIGHT) * 0.96

    def at(self, x, y):
        """Middle of native pixel (x, y) on the screen."""
        return (self.box['x'] + self.box['width'] / 2 + (x + 0.5 - WIDTH / 2) * self.scale,
                self.box['y'] + self.box['height'] / 2 + (y + 0.5 - HEIGHT / 2) * self.scale)

    def click(self, x, y):
        self.page.mouse.click(*self.at(x, y))

    def drag(self, *path):
        self.page.mouse.move(*self.at(*path[0]))
        self.page.mouse.down()
        for point in path[1:]:
            self.page.mouse.move(*self.at(*point), steps=4)
        self.page.mouse.up()
