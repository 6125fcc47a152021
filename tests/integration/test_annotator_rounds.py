# SPDX-License-Identifier: Apache-2.0
"""The annotator page in a real browser: one request after another on the same port, several people, and budgets."""
import numpy as np
import pytest
from annotator_browser import current_point, finished, points, press_point, read_labels, saved, sign_in, until, write_package

pytestmark = pytest.mark.slow
EXPECTED_ERRORS = ('409 (CONFLICT)', 'ERR_CONNECTION_REFUSED', 'ERR_CONNECTION_RESET', 'ERR_EMPTY_RESPONSE', 'ERR_FAILED')


@pytest.fixture
def two_rounds(tmp_path):
    """Packages of two rounds: other points of the same images."""
    masks = [{key: points(3, seed + i) for i, key in enumerate('ab')} for seed in (0, 100)]
    assert not any((masks[0][key] & masks[1][key]).any() for key in 'ab')
    return [write_package(tmp_path / 'run' / 'requests' / f'round_{n}', mask, 'points', n) for n, mask in enumerate(masks, 1)]


def forget_expected_errors(open_page):
    open_page.problems[:] = [text for text in open_page.problems if not any(error in text for error in EXPECTED_ERRORS)]


def asked_points(server):
    request = server.board.request
    return {(key, int(x), int(y)) for key in request.asked_keys() for y, x in np.argwhere(request.regions(key) > 0)}


def answered_points(server):
    return {(key, int(x), int(y)): int(answer.answer[y, x]) for (key, _), answer in read_labels(server).items()
            for y, x in np.argwhere(answer.answer != 255)}


@pytest.mark.parametrize('how', ['reload', 'new tab', 'stale tab'])
def test_the_next_round_on_the_same_port_asks_its_own_points(serve_package, open_page, two_rounds, how):
    server = serve_package(two_rounds[0])
    page, port = open_page(server), server.guard.port
    while not finished(page):
        press_point(page, '1')
    saved(page)
    server.close()
    server = serve_package(two_rounds[1], port)
    if how == 'reload':
        page.reload()
    elif how == 'new tab':
        page.close()
        page = page.context.new_page()
        page.goto(server.url)
    else:
        page.wait_for_selector('#who-dialog[open]', timeout=25000)  # it has noticed and loaded anew
    sign_in(page)
    assert 'Round 2' in page.inner_text('#title')
    if how == 'stale tab':
        assert 'Another request is served here now, of round 2' in page.text_content('#toast')
    shown = []
    while not finished(page):
        shown.append(press_point(page, '2'))
    saved(page)
    assert set(shown) == asked_points(server) and answered_points(server) == dict.fromkeys(shown, 1)
    forget_expected_errors(open_page)


def test_answers_that_were_not_sent_wait_for_their_own_request(serve_package, open_page, two_rounds):
    server = serve_package(two_rounds[0])
    page, port = open_page(server), server.guard.port
    first = press_point(page, '1')
    saved(page)
    server.close()
    late = press_point(page, '3')  # nobody is there to take it
    until(page, "document.getElementById('saved').dataset.state === 'offline'")
    server = serve_package(two_rounds[1], port)
    page.wait_for_selector('#who-dialog[open]', timeout=25000)
    sign_in(page)
    assert 'Answers to another request that were not sent: 1.' in page.text_content('#toast')
    assert page.inner_text('#saved') == 'Saved; 1 of another request not sent'
    assert current_point(page) in asked_points(server) and server.store.events() == []
    server.close()
    server = serve_package(two_rounds[0], port)
    page.reload()
    sign_in(page)
    saved(page)
    assert answered_points(server) == {first: 0, late: 2}
    forget_expected_errors(open_page)


def test_without_web_storage_unsent_answers_are_not_thrown_away_by_a_reload(serve_package, open_page, two_rounds):
    server = serve_package(two_rounds[0])
    page, port = open_page(server), server.guard.port
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full'); }; }")
    server.close()
    press_point(page, '3')
    server = serve_package(two_rounds[1], port)
    until(page, "document.getElementById('toast').textContent.includes('are lost when this page is closed')", seconds=25)
    assert server.store.events() == []
    server.close()
    server = serve_package(two_rounds[0], port)
    saved(page)
    assert list(answered_points(server).values()) == [2]
    forget_expected_errors(open_page)


@pytest.mark.parametrize('kind', ['points', 'segments'])
def test_looking_ahead_leaves_the_next_image_to_others(serve_package, open_page, tmp_path, kind):
    server = serve_package(write_package(tmp_path / 'round_1', {key: points(1, i) for i, key in enumerate('ab')}, kind))
    anna = open_page(server, 'anna')
    # The next image is in the browser before it is asked for.
    until(anna, "performance.getEntriesByType('resource').some((entry) => entry.name.endsWith('/images/1/regions'))")
    ben = open_page(server, 'ben')
    assert (anna.inner_text('#image-name'), ben.inner_text('#image-name')) == ('a.png', 'b.png')


def test_the_page_shows_the_budget_and_stops_where_it_ends(serve_package, open_page, tmp_path):
    budget = dict(unit='clicks', per='set', limit=20, asked=4, planned=5, spent=0, left=15)
    server = serve_package(write_package(tmp_path / 'round_1', {'a': points(4)}, 'points', budget=budget), blind=True)
    anna, ben = open_page(server, 'anna'), open_page(server, 'ben')
    assert anna.inner_text('#budget') == '0 of 5 clicks'
    for key in '12':
        press_point(anna, key)
    saved(anna)
    for key in '33':
        press_point(ben, key)
    until(ben, "document.getElementById('budget').textContent === '4 of 5 clicks'")
    ben.route('**/api/events', lambda route: route.abort())  # what is not sent yet counts as well
    ben.keyboard.press('3')
    until(ben, "document.getElementById('done').open", seconds=5)  # before the page looks at the progress by itself
    assert 'The budget is used up' in ben.inner_text('#done')
    ben.unroute('**/api/events')
    saved(ben)
    assert 'may take 5 clicks. 1 are still open' in ben.inner_text('#done')
    # An answer that is taken back can be given anew, and no other.
    before = len(server.store.events())
    ben.click('#done-back')
    until(ben, "document.body.dataset.ready === '0' && !document.getElementById('done').open")
    ben.keyboard.press('4')
    until(ben, "document.getElementById('done').open")
    saved(ben)
    assert len(server.store.events()) == before + 2
    # Anna has a task in front of her; one answer more would not be imported.
    until(anna, "document.getElementById('done').open", seconds=25)
    assert 'The budget is used up' in anna.inner_text('#done')
    assert {who: int((answer.answer != 255).sum()) for (_, who), answer in read_labels(server).items()} == dict(anna=2, ben=3)
    forget_expected_errors(open_page)
