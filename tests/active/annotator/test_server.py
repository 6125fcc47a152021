# SPDX-License-Identifier: Apache-2.0
"""The API as the page uses it, and the server around it."""
import json
import re
import urllib.error
import urllib.request

import numpy as np
import pytest

from udatools.active.annotator import ImagesNotFoundError, Options, Server, StoreError
from udatools.active.annotator.security import is_loopback
from udatools.active.annotator.server import own_address
from udatools.active.annotator.store import AnswerStore


def answer(number, **fields):
    content = dict(event_id=f'event-{number:05d}', image=0, kind='label', region=1, value=1, seconds=2, clicks=1)
    return {**content, **fields}


def test_the_page_learns_what_is_asked(web):
    package = web(options=Options(who='anna', show_predictions=False)).get('/api/package').json
    assert package['kind'] == 'segments' and (package['round'], package['rounds'], package['run']) == (1, 3, 'streets')
    assert package['classes'][1] == dict(id=1, name='car', colour=[0, 0, 142], key='2')
    assert package['who'] == 'anna' and package['show_predictions'] is False and package['images'] == 3


def test_a_task_from_question_to_answer(web):
    site = web()
    reply = site.post('tasks', who=' anna ').json
    task = reply['task']
    assert (task['image'], task['name'], task['width'], task['height'], task['units']) == (0, 'a/1.png', 6, 4, [1, 2, 3])
    assert task['events'] == [] and task['others'] == [] and reply['progress']['regions'] == dict(done=0, asked=6)
    picture = site.image(0, 'picture')
    assert picture.mimetype == 'image/png' and picture.data.startswith(b'\x89PNG')
    runs = np.frombuffer(site.image(0, 'regions').data, '<u4').reshape(-1, 3).tolist()
    assert runs == [[0, 2, 1], [5, 1, 2], [6, 2, 1], [11, 1, 2], [18, 4, 3]]
    events = [answer(1), answer(2, kind='paint', region=0, value=254, runs=[18, 2]),
              answer(3, kind='split', region=0, runs=[20, 1])]
    reply = site.post('events', who='anna', session='s', events=events).json
    assert [row['number'] for row in reply['results']] == [1, 2, 3] and reply['progress']['pixels']['done'] == 6
    back = site.post('tasks', who='anna').json['task']
    assert back['units'] == [2, 3] and [event['kind'] for event in back['events']] == ['label', 'paint', 'split']
    assert back['events'][1]['runs'] == [18, 2] and back['events'][1]['value'] == 254
    seen = site.post('tasks', who='ben', image=0).json['task']
    assert seen['events'] == [] and seen['others'] == [dict(value=1, runs=[0, 2, 6, 2]), dict(value=254, runs=[18, 2])]


def test_what_is_meant_for_another_request_is_refused(web, make_package):
    first, second = make_package(), make_package(name='round_2', round=2)
    site = web(second)
    for old in (first.request_id, 'x'):
        for name in ('tasks', 'upcoming', 'events', 'history', 'progress'):
            done = site.post(name, request_id=old, who='anna', session='s', events=[answer(1)])
            assert done.status_code == 409 and done.json['request_id'] == second.request_id, name
            assert 'of round 2 is served here now: reload the page' in done.json['error']
        for what in ('picture', 'regions', 'prediction'):
            assert site.image(0, what, request_id=old).status_code == 409
    for name in ('tasks', 'upcoming', 'events', 'history', 'progress'):
        done = site.post(name, request_id=None, who='anna', session='s', events=[answer(1)])
        assert done.status_code == 400 and 'request_id is None' in done.json['error']
    assert site.board.store.events() == [] and site.board.waiting('') == []


def test_what_is_cached_has_the_request_in_its_address(web):
    site = web(options=Options(show_predictions=True))
    for what in ('picture', 'regions', 'prediction'):
        done = site.image(0, what)
        assert 'max-age' in done.headers['Cache-Control'] and site.board.request.request_id in done.request.path
    for done in (site.get('/'), site.get('/api/package'), site.post('tasks', who='anna')):
        assert done.headers['Cache-Control'] == 'no-store'


def test_looking_ahead_takes_nothing_from_others(web):
    site = web()
    assert site.post('tasks', who='anna').json['task']['image'] == 0
    assert site.post('upcoming', who='anna', exclude=[0]).json == dict(image=1)
    assert site.post('tasks', who='ben').json['task']['image'] == 1
    assert site.post('upcoming', who='anna', exclude=[0]).json == dict(image=None)


def test_sent_twice_is_stored_once(web):
    site = web()
    for _ in range(2):
        reply = site.post('events', who='anna', session='s', events=[answer(1), answer(2, region=2)]).json
        assert [row['number'] for row in reply['results']] == [1, 2]
    assert len(site.board.store.events()) == 2


def test_one_bad_event_does_not_hold_up_the_others(web):
    site = web()
    bad = [answer(2, value=77), answer(3, image=99), 'nonsense', answer(4, kind='undo', undoes='unknown-event')]
    results = site.post('events', who='anna', session='s', events=[answer(1), *bad, answer(5, region=2)]).json['results']
    assert [('error' in row) for row in results] == [False, True, True, True, True, False]
    assert 'value is 77' in results[1]['error'] and 'image is 99' in results[2]['error']
    assert [event.event_id for event in site.board.store.events()] == ['event-00001', 'event-00005']


def test_an_event_and_its_undo_may_come_together(web):
    site = web()
    events = [answer(1), answer(2, kind='undo', undoes='event-00001'), answer(3, region=3)]
    site.post('events', who='anna', session='s', events=events)
    history = site.post('history', who='anna').json['events']
    assert history == [dict(event_id='event-00003', image=0, kind='label', region=3)]
    assert site.post('history', who='ben').json['events'] == []


@pytest.mark.parametrize('name, content, message', [
    ('tasks', dict(who=None), 'who is None'), ('tasks', dict(who=''), 'who is'), ('tasks', dict(who='a\nb'), 'who is'),
    ('tasks', dict(who='x' * 81), 'who is'), ('tasks', dict(who='a', image='0'), "image is '0'"),
    ('tasks', dict(who='a', image=3), 'image is 3'), ('tasks', dict(who='a', image=-1), 'image is -1'),
    ('tasks', dict(who='a', exclude=5), 'exclude is 5'), ('progress', dict(who='a', hold=['a/1']), "image is 'a/1'"),
    ('events', dict(who='a', events=[]), 'session is None'), ('events', dict(who='a', session='../x', events=[]), 'session is'),
    ('events', dict(who='a', session='s'), 'events is no list'), ('history', [], 'expected a JSON object'),
    ('upcoming', dict(who='a', exclude=[7]), 'image is 7'),
])
def test_bad_requests_are_told(web, name, content, message):
    site = web()
    if content:
        content = {'request_id': site.board.request.request_id, **content}
    done = site.client.post(f'/api/{name}', json=content, headers=site.headers)
    assert done.status_code == 400 and message in done.json['error']


def test_broken_json_is_told(web):
    site = web()
    done = site.client.post('/api/events', data='{', headers={**site.headers, 'Content-Type': 'application/json'})
    assert done.status_code == 400 and 'no valid JSON' in done.json['error']


def test_json_that_is_too_deep_is_told(web):
    site = web()
    done = site.client.post('/api/events', data='[' * 100_000, headers={**site.headers, 'Content-Type': 'application/json'})
    assert done.status_code == 400


def test_one_name_may_be_the_only_one(web):
    site = web(options=Options(who='anna'))
    assert site.post('tasks', who='anna').status_code == 200
    refused = site.post('events', who='ben', session='s', events=[answer(1)])
    assert refused.status_code == 400 and "started for 'anna'" in refused.json['error'] and not site.board.store.events()


def test_one_person_is_not_two_by_spelling(web):
    composed, decomposed = 'Zo\u00eb', 'Zoe\u0308'
    site = web(options=Options(who=f' {decomposed} '))
    assert site.post('events', who=f'{composed} ', session='s', events=[answer(1)]).status_code == 200
    assert site.board.store.events()[0].who == composed


def test_predictions_are_shown_only_on_demand(web):
    assert web().image(0, 'prediction').status_code == 403
    assert web(options=Options(show_predictions=True)).image(0, 'prediction').data == b''


def test_a_missing_or_wrong_image_is_told(web, make_package):
    request = make_package()
    site = web(request)
    (request.root / 'images' / 'a' / '1.png').write_bytes(b'')
    assert site.image(0, 'picture').status_code == 409
    (request.root / 'images' / 'a' / '1.png').unlink()
    missing = site.image(0, 'picture')
    assert missing.status_code == 404 and '1.png is missing' in missing.json['error']


def test_a_full_disk_is_told_and_nothing_is_confirmed(web, monkeypatch):
    site = web()

    def full(*_):
        raise StoreError('cannot write: disk full')
    monkeypatch.setattr(site.board.store, 'append', full)
    done = site.post('events', who='anna', session='s', events=[answer(1)])
    assert done.status_code == 503 and 'disk full' in done.json['error']


def test_the_page_uses_no_inline_code_and_no_other_site(web):
    site = web()
    html = site.get('/').get_data(as_text=True)
    assert not re.search(r'style=|<style|\bon[a-z]+=|<script>', html)
    links = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert links and all(link.startswith('/static/') for link in links)
    seen = {link for link in links if link.endswith('.js')}
    while True:
        texts = [site.get(link).get_data(as_text=True) for link in seen]
        found = {f'/static/{name}' for text in texts for name in re.findall(r"from '\./([^']+)'", text)}
        if found <= seen:
            break
        seen |= found
    assert len(seen) >= 8 and all(site.get(link).status_code == 200 for link in seen | set(links))
    assert all('SPDX-License-Identifier: Apache-2.0' in site.get(link).get_data(as_text=True) for link in seen)
    assert not any(re.search(r'https?://', site.get(link).get_data(as_text=True)) for link in seen)


# ---- the server -----------------------------------------------------------------------------------------------------


def fetch(url, content=None, headers=None):
    data = None if content is None else json.dumps(content).encode()
    headers = {'X-Udatools-Annotator': '1', 'Content-Type': 'application/json', **(headers or {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_over_a_real_connection(serve_package, make_package):
    request = make_package()
    server = serve_package(request.root)
    assert re.fullmatch(r'http://127\.0\.0\.1:\d+/', server.url)
    status, reply = fetch(server.url + 'api/events', dict(
        request_id=request.request_id, who='anna', session='s', events=[answer(1)]))
    assert status == 200 and reply['results'][0]['number'] == 1
    # On disk before the reply: another process sees it.
    with AnswerStore(request.root / 'answers.sqlite', read_only=True) as store:
        assert store.events()[0].value == 1
    assert fetch(server.url + 'api/package', headers={'Host': 'evil.example'})[0] == 421
    assert fetch(server.url + 'api/tasks', dict(who='anna'), {'Origin': 'https://evil.example'})[0] == 403


def test_a_token_is_part_of_the_address(serve_package, make_package):
    server = serve_package(make_package().root, token='t' * 20)
    assert server.url.endswith('/?token=' + 't' * 20)
    address = server.url.split('?')[0]
    assert fetch(address + 'api/package')[0] == 401 and fetch(f'{address}api/package?token={"t" * 20}')[0] == 200


def test_any_token_is_quoted_in_the_address(serve_package, make_package):
    server = serve_package(make_package().root, token='correct+horse&battery#staple ü')
    assert fetch(server.url.replace('/?', '/api/package?'))[0] == 200


@pytest.mark.parametrize('host', ['0.0.0.0', '::'])
def test_the_address_is_one_that_others_can_use(serve_package, make_package, host, monkeypatch):
    try:
        server = serve_package(make_package().root, host=host, token='t' * 20)
    except OSError:
        pytest.skip(f'{host} cannot be bound on this machine')
    name = re.fullmatch(r'http://(.+):\d+/\?token=t{20}', server.url)[1]
    assert not is_loopback(name.strip('[]')) and name not in ('0.0.0.0', '[::]')
    monkeypatch.setattr('udatools.active.annotator.server.own_address', lambda given: f'{given} of this machine')
    assert f'{host} of this machine' in server.url


def test_without_a_route_to_others_the_address_is_the_name_of_the_machine(monkeypatch):
    def no_route(*_):
        raise OSError('Network is unreachable')
    monkeypatch.setattr('socket.socket', no_route)
    monkeypatch.setattr('socket.gethostname', lambda: 'workstation')
    assert own_address('0.0.0.0') == own_address('::') == 'workstation'


def test_what_cannot_be_served_is_told(make_package, tmp_path):
    pytest.importorskip('waitress', reason='the annotator page needs waitress; install requirements/test.txt')
    request = make_package()
    with pytest.raises(ValueError, match='no complete request package'):
        Server(tmp_path)
    with pytest.raises(ValueError, match='can be reached from other machines'):
        Server(request.root, host='0.0.0.0')
    AnswerStore(request.root / 'answers.sqlite', 'another request').close()
    with pytest.raises(StoreError, match='holds answers to request another requ'):
        Server(request.root, port=0)
    (request.root / 'images').rename(tmp_path / 'gone')
    with pytest.raises(ImagesNotFoundError, match='--images'):
        Server(request.root, port=0)
