# SPDX-License-Identifier: Apache-2.0
"""The page's log as a format: read into answers, written from answers, exported as a package that works anywhere."""
import shutil
from datetime import datetime, timedelta, timezone
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active import Answer, LabelLedger, Request
from udatools.active.annotator.store import AnswerStore, store_path
from udatools.active.codecs import CODECS, Sample, detect
from udatools.active.importing import format_import, import_answers
from udatools.active.package_files import Package

CODEC = CODECS['page']


@pytest.fixture
def answered(make_package, event):
    """Function: a package whose log holds given events."""

    def make(*events, **package):
        request = make_package(**package)
        with AnswerStore(store_path(request), request.request_id) as store:
            store.append(events)
        return request

    return make


def test_one_answer_a_person_and_image_by_hand(answered, event):
    first = event(region=1, value=1, seconds=3, clicks=1)
    request = answered(
        first, event('paint', runs=[[1, 1], [18, 2]], value=2, seconds=4, clicks=1),
        event('void', region=2, seconds=100, clicks=1),
        event(region=3, who='ben', value=0, seconds=2, clicks=1, duplicate=True), event('skip', key='a/2', seconds=9),
        event('split', runs=[[0, 1]], seconds=1, clicks=1),
        event('label', region=2, value=0, seconds=5, clicks=1, event_id='taken-back'),
        event('undo', undoes='taken-back', seconds=1))
    submission = CODEC.read(request.root, request)
    assert submission.request_id == request.request_id and submission.problems == []
    anna, ben = submission.answers
    assert anna.answer.tolist() == [[1, 2, 255, 255, 255, 254], [1, 1, 255, 255, 255, 254], [255] * 6, [2, 2, 255, 255, 255, 255]]
    assert anna.answer.dtype == np.uint8 and (anna.key, anna.annotator, anna.tool) == ('a/1', 'anna', 'page')
    # Breaks do not count, work that was taken back does; of clicks those that hold.
    assert (anna.seconds, anna.clicks, anna.components, anna.points) == (3 + 4 + 60 + 1 + 5 + 1, 4, 3, 0)
    assert abs(datetime.now(timezone.utc) - datetime.fromisoformat(anna.answered_at)) < timedelta(minutes=5)
    assert ben.annotator == 'ben' and set(ben.answer.ravel().tolist()) == {0, 255} and ben.components == 1


def test_points_are_counted(answered, event):
    request = answered(event(region=1, value=1, clicks=1), event('void', region=4, clicks=1), kind='points')
    (answer, ) = CODEC.read(request.root, request).answers
    assert (answer.points, answer.components, answer.clicks) == (2, 2, 2)
    assert answer.answer[0, 0] == 1 and answer.answer[1, 0] == 254 and (answer.answer != 255).sum() == 2


def test_the_log_can_be_read_while_people_answer(answered, event, make_board):
    request = answered(event())
    with AnswerStore(store_path(request), request.request_id) as store:
        store.append([event(region=2)])
        assert CODEC.read(store_path(request), request).answers[0].components == 2


def test_a_log_of_another_request_gives_no_answers(answered, event, make_package):
    request = answered(event())
    other = make_package({'a/1': [[1, 2]]}, name='round_2')
    submission = CODEC.read(request.root, other)
    assert submission.request_id == request.request_id and submission.answers == []
    assert request.request_id[:12] in str(submission.problems[0])


def test_events_that_do_not_fit_are_problems(answered, event):
    request = answered(event(key='gone'), event(region=1, value=200), event(region=2, value=1))
    submission = CODEC.read(request.root, request)
    assert [str(problem).split(': ')[-1] for problem in submission.problems] == [
        'is no image of the request; left out', '4 pixels hold a class id beyond 2; left unanswered']
    assert (submission.answers[0].answer != 255).sum() == 2


def test_unreadable_files_are_told(make_package, tmp_path):
    request = make_package()
    with pytest.raises(FileNotFoundError, match='nobody has answered'):
        CODEC.read(request.root, request)
    (tmp_path / 'x.sqlite').write_bytes(b'SQLite format 3\x00' + b'x' * 500)
    with pytest.raises(ValueError, match='cannot be opened'):
        CODEC.read(tmp_path / 'x.sqlite', request)


def test_recognised_by_its_content(answered, event, tmp_path):
    request = answered(event())
    assert detect(store_path(request)).name == 'page' and CODEC.recognises(Sample(request.root))
    (tmp_path / 'text.sqlite').write_text('SQLite')
    assert not CODEC.recognises(Sample(tmp_path / 'text.sqlite')) and not CODEC.recognises(Sample(tmp_path))


def test_reading_changes_nothing_also_without_write_permission(answered, event, tree):
    request = answered(event())
    before = tree(request.root)
    CODEC.read(request.root, request)
    assert {name: data for name, data in tree(request.root).items() if not name.endswith(('-wal', '-shm'))} == before


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(['points', 'segments', 'regions']), st.integers(0, 2**32), st.sampled_from(['anna', 'Änna & co', '']),
       st.integers(0, 50))
def test_written_answers_come_back(tmp_path_factory, kind, seed, who, clicks):
    root = tmp_path_factory.mktemp('written')
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 4, [(1, 1), (1, 7), (7, 1), (4, 5)][seed % 4]).astype(np.uint16)
    mask[0, 0] = 1
    request = _request(root / 'package', {'ü/1': mask}, kind)
    region = request.regions('ü/1')
    values = np.array([0, 1, 2, 254, 255])
    answer = rng.choice(values, int(region.max()) + 1)[region] if kind != 'segments' else rng.choice(values, mask.shape)
    answer = np.where(region > 0, answer, 255).astype(np.uint8)
    for _ in range(2):  # writing the same again changes nothing
        files = CODEC.write(request, [Answer('ü/1', answer, who, 'a tool', clicks=clicks, seconds=7.5)], root / 'out')
    back = CODEC.read(files[0], request).answers
    if (answer == 255).all():
        assert back == []
        return
    assert np.array_equal(back[0].answer, answer) and back[0].annotator == who
    assert back[0].clicks == clicks and back[0].seconds == pytest.approx(7.5, abs=0.01)


def _request(root, masks, kind, counter=count()):  # noqa: B008
    from udatools.active.request import RequestItem, class_table, number_regions, region_digest, write_mask, write_request
    items = []
    for key, mask in masks.items():
        region = number_regions(mask > 0, points=True) if kind == 'points' else mask
        asked = int((region > 0).sum())
        items.append(RequestItem(key, f'{key}.png', '', *region.shape, asked, asked, int(region.max()),
                                 write_mask(root, key, region), region_digest(region)))
    header = dict(run='r', round=1, kind=kind, selector={}, classes=class_table(('a', 'b', 'c'), [(1, 2, 3)] * 3))
    write_request(root, header, items)
    return Request.load(root)


def test_an_export_is_the_package_with_its_images(make_package, tmp_path):
    request = make_package()
    files = CODEC.export(request, tmp_path / 'out', lambda item: request.root / 'images' / item.path)
    shutil.rmtree(request.root)
    copy = Request.load(tmp_path / 'out')
    assert copy.request_id == request.request_id and files[0] == tmp_path / 'out' / 'request.json'
    assert all(copy.regions(key).any() for key in copy.asked_keys())
    assert sorted(file.relative_to(tmp_path / 'out').as_posix() for file in files[1:]) == ['images/a/1.png', 'images/a/2.png']
    with pytest.raises(ValueError, match='is the request package itself'):
        CODEC.export(copy, copy.root, lambda item: None)


def test_what_is_taken_back_after_an_import_is_told(answered, event):
    """The ledger is never changed: who goes on must know that the label is still trained on."""
    one, two = event(region=1, value=1, clicks=1), event(region=2, value=2, clicks=1)
    request = answered(one, two, event(key='a/2', region=1, value=0), event(who='ben', region=3, value=0))
    package = Package(request.root.parents[1], request)
    with LabelLedger(package.ledger_path) as ledger:
        ledger.open_campaign(dict(classes=request.header['classes'], total_pixels=52))
        ledger.add_request(request)
    assert import_answers(package, [request.root]).kept == []
    before = ledger_digest(package)
    with AnswerStore(store_path(request), request.request_id) as store:
        a_2, = (stored for stored in store.events() if stored.key == 'a/2')
        store.append([event('undo', undoes=two.event_id), event('undo', key='a/2', undoes=a_2.event_id)])
    report = import_answers(package, [request.root])
    assert [(problem.where, problem.what.split(' ')[0]) for problem in report.kept] == [
        ("'a/1' by anna", '2'), ("'a/2' by anna", '4')]
    assert "kept - 'a/1' by anna: 2 answered pixels were taken back" in format_import(report)
    assert ledger_digest(package) == before and report.exit_code == 0
    with AnswerStore(store_path(request), request.request_id) as store:
        store.append([event(region=2, value=0), event('void', key='a/2', region=1)])  # answered anew
    again = import_answers(package, [request.root])
    assert again.kept == [] and sum(outcome.corrections for outcome in again.outcomes) == 6


def ledger_digest(package):
    with LabelLedger(package.ledger_path, read_only=True) as ledger:
        return ledger.content_digest()
