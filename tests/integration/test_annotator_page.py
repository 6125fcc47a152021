# SPDX-License-Identifier: Apache-2.0
"""The annotator page in a real browser: whole requests answered by keyboard, mouse and finger, and read back.

Needs Playwright (Python package) and a Chromium: the one that ``UDATOOLS_CHROMIUM`` names, or the system's. Nothing is
downloaded; without them the tests are skipped.
"""
import importlib.util
import json
import os
import re
import shutil
import threading
import time

import cv2
import numpy as np
import pytest

from udatools.active import LabelLedger, Request
from udatools.active.annotator.server import Options, Server
from udatools.active.codecs import CODECS
from udatools.active.request import RequestItem, class_table, number_regions, region_digest, write_mask, write_request
from udatools.datasets.taxonomies import get_class_set

pytestmark = pytest.mark.slow
for module in ('flask', 'waitress'):
    pytest.importorskip(module, reason=f'the annotator page needs {module}; install requirements/test.txt')
playwright = pytest.importorskip('playwright.sync_api', reason='no Playwright; install requirements/test.txt')

CLASSES = ('road', 'car', 'sky', 'tree')
PALETTE = [(128, 64, 128), (0, 0, 142), (70, 130, 180), (107, 142, 35)]
ARGUMENTS = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking',
             '--disable-component-update', '--disable-sync']
HEIGHT, WIDTH = 32, 64


def find_chromium():
    named = os.environ.get('UDATOOLS_CHROMIUM')
    return named or next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


@pytest.fixture(scope='module')
def browser():
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


# ---- points ---------------------------------------------------------------------------------------------------------


def test_points_by_keyboard_alone(serve, open_page):
    server = serve({'town/a': points(4), 'town/b': points(3, 1)}, 'points')
    page, expected = open_page(server), {}
    expected[press_point(page, '1')] = 0
    wrong = press_point(page, '4')
    before = current_point(page)
    page.keyboard.press('Backspace')
    wait_for_other_point(page, before)
    assert current_point(page) == wrong  # the point that was taken back is asked again
    expected[press_point(page, '2')] = 1
    skipped = press_point(page, 'Enter')
    expected[press_point(page, 'Space')] = 254
    # The image has only the skipped point left: it comes at the very end.
    while current_point(page)[0] == 'town/b':
        expected[press_point(page, '3')] = 2
        if finished(page):
            pytest.fail('the skipped point was forgotten')
    assert current_point(page) == skipped
    # Undo reaches back into the image before.
    page.keyboard.press('Backspace')
    wait_for_other_point(page, skipped)
    last = current_point(page)
    assert expected.pop(last) == 2 and last[0] == 'town/b'
    expected[press_point(page, '4')] = 3
    assert current_point(page) == skipped
    expected[press_point(page, '1')] = 0
    until(page, "document.getElementById('done').open")
    assert 'Everything is answered' in page.inner_text('#done') and page.inner_text('#count') == '7 of 7 points'
    saved(page)
    found = {}
    for (key, who), answer in read_labels(server).items():
        assert who == 'anna' and answer.seconds > 0
        found |= {(key, int(x), int(y)): int(answer.answer[y, x]) for y, x in np.argwhere(answer.answer != 255)}
    assert found == expected and len(expected) == 7
    answers = read_labels(server).values()
    assert sum(answer.points for answer in answers) == sum(answer.clicks for answer in answers) == 7


def test_a_whole_minidrive_request_from_the_page_into_the_ledger(serve, open_page, minidrive_root, repo_root):
    images = sorted((minidrive_root / 'cityscapes' / 'leftImg8bit' / 'train').rglob('*.png'))
    names = {f'{path.parent.name}/{path.stem}': path for path in images}
    pictures = {key: cv2.imread(str(path)) for key, path in names.items()}
    truth = {key: cv2.imread(str(path).replace('leftImg8bit/', 'gtFine/').replace('leftImg8bit.png', 'gtFine_labelTrainIds.png'),
                             cv2.IMREAD_UNCHANGED) for key, path in names.items()}
    masks = {key: np.zeros(label.shape, np.uint16) for key, label in truth.items()}
    for mask in masks.values():
        mask[3::9, 5::19] = 1
    class_set = get_class_set('cityscapes19')
    classes = class_table(class_set.classes, class_set.palette)
    server = serve(masks, 'points', pictures=pictures, classes=classes)
    request = Request.load(server.store.path.parent)
    work_dir = request.root.parent.parent
    with LabelLedger(work_dir / 'ledger.sqlite') as ledger:
        ledger.add_request(request)
    page = open_page(server)
    while not finished(page):
        key, x, y = current_point(page)
        value = int(truth[key][y, x])
        press_point(page, 'Space' if value == 255 else classes[value]['key'])
    saved(page)
    server.close()  # the page may be stopped before its answers are brought in
    spec = importlib.util.spec_from_file_location('import_answers', repo_root / 'tools' / 'active' / 'import_answers.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for _ in range(2):  # twice is once
        assert tool.main([str(request.root)]) == 0
    with LabelLedger(work_dir / 'ledger.sqlite') as ledger:
        for key, mask in masks.items():
            expected = np.where(truth[key] == 255, 254, truth[key])
            assert np.array_equal(ledger.label(key), np.where(mask > 0, expected, 255))
        spent = ledger.spent()
    count = sum(int(mask.sum()) for mask in masks.values())
    assert (spent['points'], spent['clicks'], spent['pixels']) == (count, count, count) and spent['seconds'] > 0


def test_reload_crash_and_lost_connection_lose_nothing(serve, open_page):
    server = serve({'a': points(6)}, 'points')
    page, expected = open_page(server), {}
    expected[press_point(page, '1')] = 0
    page.reload()  # at once, whether it was sent or not
    sign_in(page)
    expected[press_point(page, '2')] = 1
    saved(page)
    # No connection: answers wait in the browser, and are sent after a crash of the tab.
    page.route('**/api/**', lambda route: route.abort())
    expected[press_point(page, '3')] = 2
    expected[press_point(page, '4')] = 3
    until(page, "document.getElementById('saved').dataset.state === 'offline'")
    assert '2 not sent yet' in page.inner_text('#saved')
    assert len(server.store.events()) == 2
    other = page.context.new_page()
    page.close(run_before_unload=False)
    other.goto(server.url)
    sign_in(other)
    saved(other)
    assert len(server.store.events()) == 4
    # A reply that is lost: the answer is stored, sent again, and stored once.
    lost = []

    def lose(route):
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch())
            route.abort()
    other.route('**/api/events', lose)
    expected[press_point(other, '1')] = 0
    until(other, "document.getElementById('saved').dataset.state === 'offline'")
    saved(other)
    assert lost and len(server.store.events()) == 5
    (answer, ) = read_labels(server).values()
    assert {('a', int(x), int(y)): int(answer.answer[y, x]) for y, x in np.argwhere(answer.answer != 255)} == expected
    open_page.problems[:] = [text for text in open_page.problems if 'ERR_FAILED' not in text]


def test_a_second_tab_follows(serve, open_page):
    server = serve({'a': points(4)}, 'points')
    first = open_page(server)
    second = open_page(server, beside=first)
    start = current_point(first)
    assert current_point(second) == start
    press_point(first, '1')
    wait_for_other_point(second, start)
    assert current_point(second) == current_point(first)
    press_point(second, '2')
    until(first, "document.getElementById('context').textContent.includes('2 of 4')")
    for tab in (first, second):
        saved(tab)
    assert len(server.store.events()) == 2 and not any(event.duplicate for event in server.store.events())


def test_two_people_are_never_asked_the_same(serve, open_page):
    server = serve({'a': points(2), 'b': points(2, 1), 'c': points(2, 2)}, 'points')
    anna, ben = open_page(server, 'anna'), open_page(server, 'ben')
    assert current_point(anna)[0] != current_point(ben)[0]
    for page in (anna, ben, anna, ben):
        press_point(page, '1')
    while not (finished(anna) and finished(ben)):
        for page in (anna, ben):
            if not finished(page):
                press_point(page, '2')
    assert all(finished(page) for page in (anna, ben))
    events = server.store.events()
    assert len({(event.key, event.region) for event in events}) == len(events) == 6
    assert {event.who for event in events} == {'anna', 'ben'}


# ---- regions --------------------------------------------------------------------------------------------------------


def mixed_mask():
    mask = np.zeros((HEIGHT, WIDTH), np.uint16)
    mask[4:10, 8:20] = 1
    mask[6:8, 11:13] = 0  # a hole
    mask[4:12, 30:40] = 2
    mask[20:26, 10:30] = 3
    mask[22, 45] = 4
    return mask


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


# ---- the page itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('size, touch', [((1366, 768), False), ((820, 1180), True)])
def test_everything_is_in_reach_on_a_laptop_and_a_tablet(serve, open_page, size, touch):
    server = serve({'a': mixed_mask()}, 'segments')
    page = open_page(server, size=size, has_touch=touch)
    page.keyboard.press('.')
    for button in page.locator('button:visible, #view input:visible').all():
        box, name = button.bounding_box(), button.inner_text() or button.get_attribute('id')
        right, bottom = box['x'] + box['width'], box['y'] + box['height']
        assert box['x'] >= 0 and box['y'] >= 0 and right <= size[0] and bottom <= size[1], name
        assert button.evaluate('e => e.tagName') == 'INPUT' or min(box['width'], box['height']) >= 40, (name, box)
        assert button.evaluate("e => e.getAttribute('aria-label') || (e.closest('label') ?? e).textContent.trim()")
    if touch:
        page.tap('#tool-select')
        stage = Stage(page)
        page.touchscreen.tap(*stage.at(34, 8))
        page.tap('.class[data-class="2"]')
        saved(page)
        (answer, ) = read_labels(server).values()
        assert np.array_equal(answer.answer, np.where(mixed_mask() == 2, 2, 255))


def test_zoom_brightness_and_hiding_change_the_view_only(serve, open_page):
    server = serve({'a': mixed_mask()}, 'segments')
    page = open_page(server)
    stage = Stage(page)
    start = page.inner_text('#zoom-value')
    page.mouse.move(*stage.at(34, 8))
    page.mouse.wheel(0, -400)
    until(page, 'start => document.getElementById("zoom-value").textContent !== start', arg=start)
    page.keyboard.press('Home')
    until(page, 'start => document.getElementById("zoom-value").textContent === start', arg=start)
    page.locator('#brightness').fill('180')
    assert page.evaluate("document.getElementById('picture').style.filter") == 'brightness(180%) contrast(100%)'
    page.keyboard.press('`')
    assert page.get_attribute('#peek', 'aria-pressed') == 'true'
    drawn = "(() => { const c = document.getElementById('overlay'); " \
            "return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v); })()"
    until(page, f'!{drawn}')
    page.keyboard.press('`')
    until(page, drawn)
    assert server.store.events() == []


def test_with_a_token_only_its_owner_gets_in(serve, browser, open_page):
    server = serve({'a': points(2)}, 'points', token='k' * 24)
    page = open_page(server)
    assert 'token' not in page.url  # it is in a cookie that scripts cannot read
    assert page.evaluate('document.cookie') == ''
    press_point(page, '1')
    saved(page)
    stranger = browser.new_context()
    answer = stranger.request.get(server.url.split('?')[0])
    assert answer.status == 401 and 'token' in answer.json()['error']
    stranger.close()


def test_another_site_can_neither_read_nor_write(serve, browser):
    server = serve({'a': points(2)}, 'points')
    context = browser.new_context()
    page = context.new_page()
    page.route('http://evil.example/', lambda route: route.fulfill(body='<h1>evil</h1>', content_type='text/html'))
    page.goto('http://evil.example/')
    event = dict(event_id='abcdefgh', image=0, kind='label', region=1, value=0)
    sent = [server.url + 'api/events', json.dumps(dict(who='mallory', session='s', events=[event]))]
    send = "([url, body, headers]) => fetch(url, {method: 'POST', body, headers}).then((r) => r.status, () => 'refused')"
    for headers in ({'Content-Type': 'text/plain'}, {'Content-Type': 'application/json', 'X-Udatools-Annotator': '1'}):
        assert page.evaluate(send, [*sent, headers]) == 'refused'
    page.evaluate("([url, body]) => fetch(url, {method: 'POST', body, mode: 'no-cors'}).catch(() => 0)", sent)
    assert server.store.events() == []
    context.close()
