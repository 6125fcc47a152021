# SPDX-License-Identifier: Apache-2.0
"""A real browser and the annotator page in it.

Needs Playwright (Python package) and a Chromium: the one that ``UDATOOLS_CHROMIUM`` names, or the system's. Nothing is
downloaded; without them the tests are skipped.
"""
import threading

import cv2
import numpy as np
import pytest
from annotator_browser import ARGUMENTS, CLASSES, PALETTE, find_chromium, sign_in

from udatools.active.annotator.server import Options, Server
from udatools.active.request import RequestItem, class_table, number_regions, region_digest, write_mask, write_request


@pytest.fixture(scope='module')
def browser():
    for module in ('flask', 'waitress'):
        pytest.importorskip(module, reason=f'the annotator page needs {module}; install requirements/test.txt')
    playwright = pytest.importorskip('playwright.sync_api', reason='no Playwright; install requirements/test.txt')
    executable = find_chromium()
    if executable is None:
        pytest.skip('no Chromium: install the package chromium, or name one with UDATOOLS_CHROMIUM')
    with playwright.sync_playwright() as driver:
        try:
            found = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        except playwright.Error as error:
            pytest.skip(f'{executable} does not start: {str(error).splitlines()[0]}')
        yield found
        found.close()


@pytest.fixture
def serve(tmp_path):
    """Function: a running server for a package {key: mask} of a kind, with images."""
    started = []

    def make(masks, kind, token=None, pictures=None, classes=None, **options):
        root, items = tmp_path / 'run' / 'requests' / 'round_1', []
        for key, mask in masks.items():
            image = root / 'images' / f'{key}.png'
            image.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(len(items)).integers(40, 200, (*mask.shape, 3), np.uint8)
            cv2.imwrite(str(image), cv2.GaussianBlur(noise, (5, 5), 0) if pictures is None else pictures[key])
            region = number_regions(mask > 0, points=True) if kind == 'points' else mask.astype(np.uint16)
            asked = int((region > 0).sum())
            items.append(RequestItem(key, f'{key}.png', '', *region.shape, asked, asked, int(region.max()),
                                     write_mask(root, key, region), region_digest(region)))
        header = dict(run='streets', round=1, num_rounds=3, kind=kind, selector={}, ignore_index=255,
                      classes=classes or class_table(CLASSES, PALETTE),
                      images=len(items), dataset_fingerprint='f', total_pixels=sum(mask.size for mask in masks.values()),
                      budget=dict(unit='points', limit=None, asked=0, spent=0, left=None))
        write_request(root, header, items)
        server = Server(root, port=0, token=token, options=Options(), **options)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        started.append((server, thread))
        return server

    yield make
    for server, thread in started:
        server.close()
        thread.join(5)


@pytest.fixture
def open_page(browser):
    """Function: the page of a server in a browser of its own (or of another page), signed in by keyboard."""
    contexts, problems = [], []

    def make(server, who='anna', size=(1366, 768), beside=None, **options):
        context = beside.context if beside else browser.new_context(viewport=dict(width=size[0], height=size[1]), **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15000)
        page.on('pageerror', lambda error: problems.append(str(error)))
        page.on('console', lambda message: problems.append(message.text) if message.type == 'error' else None)
        page.on('request', lambda request: problems.append(request.url)
                if not request.url.startswith((server.url.split('?')[0], 'blob:')) else None)
        page.goto(server.url)
        sign_in(page, who)
        return page

    make.problems = problems
    yield make
    for context in contexts:
        context.close()
    assert problems == []
