# SPDX-License-Identifier: Apache-2.0
"""Who may talk to the annotator: every rule by itself, then through the web application."""
import pytest

from udatools.active.annotator.security import MAX_BODY, Guard, check_exposure

TOKEN = 'a-long-secret-token'
POST = {'X-Udatools-Annotator': '1', 'Content-Type': 'application/json'}


def judge(guard, method='GET', host='127.0.0.1:8321', cookie=None, token=None, navigation=False, **headers):
    headers = {'Host': host, **{name.replace('_', '-'): value for name, value in headers.items()}}
    refusal = guard.refuse(method, headers, cookie=cookie, given_token=token, navigation=navigation)
    return None if refusal is None else refusal.status


@pytest.mark.parametrize('host', ['0.0.0.0', '192.168.1.5', '::', '', 'my-host', '8.8.8.8'])
def test_only_loopback_without_a_token(host):
    with pytest.raises(ValueError, match='--token'):
        Guard(host, 8321)
    Guard(host, 8321, TOKEN)


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost', '::1', '127.8.8.8'])
def test_loopback_needs_no_token(host):
    check_exposure(host, None)
    with pytest.raises(ValueError, match='the token has 5 characters; expected at least 16'):
        check_exposure(host, 'short')


@pytest.mark.parametrize('host, status', [
    ('127.0.0.1:8321', None), ('localhost:8321', None), ('LOCALHOST:8321', None), ('[::1]:8321', None),
    ('127.0.0.1:8322', 421), ('127.0.0.1', 421), ('evil.example:8321', 421), ('127.0.0.1.evil.example:8321', 421),
    ('evil@127.0.0.1:8321', 421), ('', 421), ('127.0.0.1:8321/x', 421), ('[::1', 421),
])
def test_the_host_must_be_the_bound_one(host, status):
    assert judge(Guard('127.0.0.1', 8321), host=host) == status


def test_the_host_of_a_named_address():
    guard = Guard('192.168.1.5', 8321, TOKEN)
    assert judge(guard, host='192.168.1.5:8321', cookie=TOKEN) is None
    assert judge(guard, host='127.0.0.1:8321', cookie=TOKEN) == 421
    assert judge(guard, host='rebound.example:8321', cookie=TOKEN) == 421
    assert judge(Guard('127.0.0.1', 80), host='127.0.0.1') is None


@pytest.mark.parametrize('origin, status', [
    ('http://127.0.0.1:8321', None), ('http://localhost:8321', 403), ('http://127.0.0.1:8322', 403),
    ('https://evil.example', 403), ('null', 403), ('', 403), ('http://127.0.0.1:8321.evil.example', 403),
])
def test_foreign_origins_are_refused(origin, status):
    assert judge(Guard('127.0.0.1', 8321), 'POST', Origin=origin, **POST) == status
    assert judge(Guard('127.0.0.1', 8321), 'GET', Origin=origin) == status


def test_requests_that_other_sites_cause_are_refused():
    guard = Guard('127.0.0.1', 8321)
    for site, status in (('same-origin', None), ('none', None), ('same-site', 403), ('cross-site', 403)):
        assert judge(guard, Sec_Fetch_Site=site) == status
        assert judge(guard, 'POST', Sec_Fetch_Site=site, **POST) == status
    # A link in a mail may open the page, and only the page.
    link = dict(Sec_Fetch_Site='cross-site', Sec_Fetch_Mode='navigate')
    assert judge(guard, navigation=True, **link) is None and judge(guard, **link) == 403
    assert judge(guard, navigation=True, Sec_Fetch_Site='cross-site', Sec_Fetch_Mode='no-cors') == 403


def test_changes_need_json_and_a_header_that_forms_cannot_set():
    guard = Guard('127.0.0.1', 8321)
    assert judge(guard, 'POST', **POST) is None
    assert judge(guard, 'POST', Content_Type='application/json') == 403
    for media in ('text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', ''):
        assert judge(guard, 'POST', **{**POST, 'Content-Type': media}) == 415
    for method in ('PUT', 'DELETE', 'PATCH', 'OPTIONS'):
        assert judge(guard, method) == 403


def test_the_token_must_match():
    guard = Guard('127.0.0.1', 8321, TOKEN)
    assert judge(guard) == 401 and judge(guard, token='wrong') == 401 and judge(guard, cookie=TOKEN[:-1]) == 401
    assert judge(guard, token='') == 401 and judge(guard, cookie='ü\udcff') == 401
    assert judge(guard, token=TOKEN) is None and judge(guard, cookie=TOKEN) is None
    assert TOKEN not in repr(guard)


def test_tokens_are_compared_in_constant_time(monkeypatch):
    called = []
    monkeypatch.setattr('udatools.active.annotator.security.hmac.compare_digest', lambda a, b: called.append((a, b)) or False)
    assert judge(Guard('127.0.0.1', 8321, TOKEN), token=TOKEN) == 401 and called == [(TOKEN.encode(), TOKEN.encode())]


# ---- through the application ----------------------------------------------------------------------------------------


def test_a_token_becomes_a_cookie_that_nothing_else_can_use(web):
    site = web(token=TOKEN)
    assert site.get('/').status_code == 401 and site.get('/static/main.js').status_code == 401
    assert site.post('tasks', who='anna').status_code == 401
    assert site.get(f'/?token={TOKEN[:-1]}x').status_code == 401 and 'Set-Cookie' not in site.get('/?token=x').headers
    page = site.get(f'/?token={TOKEN}')
    cookie = page.headers['Set-Cookie']
    assert page.status_code == 200 and 'HttpOnly' in cookie and 'SameSite=Strict' in cookie and '8321' in cookie
    assert site.get('/').status_code == 200 and site.post('tasks', who='anna').status_code == 200  # the client has it now


def test_every_answer_is_guarded(web):
    site = web()
    for rule in site.app.url_map.iter_rules():
        path = rule.rule.replace('<int:position>', '0').replace('<path:filename>', 'main.js')
        path = path.replace('<request_id>', site.board.request.request_id)
        for method in rule.methods & {'GET', 'POST'}:
            for headers in ({'Host': 'evil.example'}, {'Origin': 'https://evil.example'}):
                done = site.client.open(path, method=method, json={}, headers={**site.headers, **headers})
                assert done.status_code in (403, 421), (path, method)
                assert set(done.json) == {'error'}


@pytest.mark.parametrize('path', [
    '/static/../server.py', '/static/%2e%2e/server.py', '/static/..%2f..%2fserver.py', '/static//etc/passwd', '/../request.json',
    '/api/requests/ID/images/../../../../request.json', '/api/requests/ID/images/-1/picture',
    '/api/requests/ID/images/a%2f1/picture', '/api/requests/ID/images/99/picture',
    '/api/requests/ID/images/0/picture/../../../../request.json', '/api/images/0/picture', '/request.json',
    '/answers.sqlite', '/static/%00',
])
def test_nothing_outside_the_page_and_the_images_is_served(web, path):
    site = web()
    done = site.get(path.replace('ID', site.board.request.request_id))
    assert done.status_code in (400, 404) and 'error' in done.json


def test_large_bodies_are_refused_before_they_are_read(web):
    site = web()
    headers = {**site.headers, 'Content-Type': 'application/json'}
    done = site.client.post('/api/events', data=b'[' * (MAX_BODY + 1), headers=headers)
    assert done.status_code == 413 and 'larger than' in done.json['error']


def test_pages_may_load_nothing_from_elsewhere_and_be_framed_by_nobody(web):
    site = web()
    served = [site.get(path) for path in ('/', '/static/main.js', '/api/package', '/nowhere')]
    for headers in (done.headers for done in [*served, site.image(0, 'picture')]):
        policy = headers['Content-Security-Policy']
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and 'unsafe' not in policy
        assert headers['X-Content-Type-Options'] == 'nosniff' and headers['Referrer-Policy'] == 'no-referrer'
        assert headers['Cross-Origin-Resource-Policy'] == 'same-origin' and 'Access-Control-Allow-Origin' not in headers
