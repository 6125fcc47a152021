# SPDX-License-Identifier: Apache-2.0
"""The annotator page in a real browser: requests for points answered by keyboard, and what every kind has in common."""
import importlib.util
import json

import cv2
import numpy as np
import pytest
from annotator_browser import (
    Stage,
    current_point,
    finished,
    mixed_mask,
    points,
    press_point,
    read_labels,
    saved,
    sign_in,
    until,
    wait_for_other_point,
)

from udatools.active import LabelLedger, Request
from udatools.active.request import class_table
from udatools.datasets.taxonomies import get_class_set

pytestmark = pytest.mark.slow


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


def cityscapes_classes():
    class_set = get_class_set('cityscapes19')
    return class_table(class_set.classes, class_set.palette)


@pytest.mark.parametrize('kind', ['points', 'segments'])
@pytest.mark.parametrize('size, touch, scrolls', [((1366, 625), False, False), ((820, 1180), True, False),
                                                  ((1180, 820), True, False), ((1024, 560), False, True)])
def test_nineteen_classes_leave_the_other_answers_in_view(serve, open_page, kind, size, touch, scrolls):
    server = serve({'a': points(4) if kind == 'points' else mixed_mask()}, kind, classes=cityscapes_classes())
    page = open_page(server, size=size, has_touch=touch)
    if kind == 'segments':
        page.keyboard.press('.')  # the brush has one more action

    def in_view(button):
        box = button.bounding_box()
        inside = box['x'] >= 0 and box['y'] >= 0 and box['x'] + box['width'] <= size[0] and box['y'] + box['height'] <= size[1]
        return inside and button.evaluate("""(e) => {
          const { left, right, top, bottom } = e.getBoundingClientRect();
          return [[left + 3, top + 3], [right - 3, bottom - 3]].every(([x, y]) => e.contains(document.elementFromPoint(x, y)));
        }""") and min(box['width'], box['height']) >= 40
    actions, classes = page.locator('.action:visible').all(), page.locator('.class').all()
    assert len(classes) == 19 and len(actions) == (3 if kind == 'points' else 4)
    assert all(in_view(button) for button in actions)
    assert all(in_view(button) for button in classes) is not scrolls
    for button in classes:
        button.scroll_into_view_if_needed()
        assert in_view(button) and all(in_view(action) for action in actions), button.inner_text()
    assert page.locator('#find').is_hidden()  # every class has a key
    stage = page.locator('#stage').bounding_box()
    assert stage['width'] >= 640 and stage['height'] >= 480


def test_more_classes_than_keys_are_found_by_name(serve, open_page):
    names = [f'class {i}' for i in range(38)] + ['Zebra crossing']
    server = serve({'a': points(3)}, 'points', classes=class_table(names, [(i, 2 * i, 3 * i) for i in range(39)]))
    page = open_page(server)
    page.keyboard.press('F2')
    page.keyboard.type('zeb')
    assert [button.inner_text() for button in page.locator('.class:visible').all()] == ['Zebra crossing']
    before = current_point(page)
    page.keyboard.press('Enter')
    wait_for_other_point(page, before)
    assert page.locator('.class:visible').count() == 39
    page.keyboard.press('F2')
    page.keyboard.type('37')
    page.keyboard.press('Escape')  # back to the image, nothing answered
    assert current_point(page)[0] == 'a' and page.locator('.class:visible').count() == 39
    press_point(page, 'm')
    page.keyboard.press('F2')
    page.keyboard.press('Enter')  # nothing is typed, nothing is meant
    page.keyboard.type('nothing like this')
    page.keyboard.press('Enter')
    saved(page)
    assert [event.value for event in server.store.events()] == [38, 35]


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
    content = dict(request_id=server.board.request.request_id, who='mallory', session='s', events=[event])
    sent = [server.url + 'api/events', json.dumps(content)]
    send = "([url, body, headers]) => fetch(url, {method: 'POST', body, headers}).then((r) => r.status, () => 'refused')"
    for headers in ({'Content-Type': 'text/plain'}, {'Content-Type': 'application/json', 'X-Udatools-Annotator': '1'}):
        assert page.evaluate(send, [*sent, headers]) == 'refused'
    page.evaluate("([url, body]) => fetch(url, {method: 'POST', body, mode: 'no-cors'}).catch(() => 0)", sent)
    assert server.store.events() == []
    context.close()
