# SPDX-License-Identifier: Apache-2.0
"""Importing answers: what fits is stored, everything else is refused or named, nothing stored is touched."""
import json
import re
from pathlib import Path

import numpy as np
import pytest

from udatools.active import LabelLedger, Limits
from udatools.active.codecs import CODECS, Codec
from udatools.active.importing import format_import, import_answers
from udatools.active.package_files import Package, find_package
from udatools.active.request import Answer
from udatools.active.status import campaign_status
from udatools.active.submission import Problem, Submission

ROW = np.ones((1, 4), bool)


class Notes(Codec):
    """Answers as JSON: [request id, [[key, rows, who, seconds], ...], [problem, ...]]."""

    name, title = 'notes', 'a test'

    def recognises(self, sample):
        return sample.path.suffix == '.notes'

    def read(self, path, request):
        request_id, answers, problems = json.loads(Path(path).read_text())  # ValueError if damaged
        return Submission(request_id, [Answer(key, np.array(rows, np.uint8), who, self.name, clicks=2, seconds=seconds)
                                       for key, rows, who, seconds in answers], [Problem('shape 3', text) for text in problems])


@pytest.fixture
def package(tmp_path, make_request, monkeypatch):
    """A request for two images that the ledger of a run knows."""
    monkeypatch.setitem(CODECS, 'notes', Notes())
    request = make_request({'a': ROW, 'b': ROW}, kind='points')
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        ledger.open_campaign(dict(classes=request.header['classes'], total_pixels=8))
        ledger.add_request(request)
    return Package(tmp_path, request)


@pytest.fixture
def note(tmp_path):
    """Function: a file with answers."""
    count = iter(range(100))

    def write(*answers, request_id=None, problems=()):
        path = tmp_path / f'{next(count)}.notes'
        path.write_text(json.dumps([request_id, [[*answer, 1.5] for answer in answers], list(problems)]))
        return path

    return write


def stored(package):
    with LabelLedger(package.ledger_path, read_only=True) as ledger:
        return [(row['key'], row['annotator'], row['pixels']) for row in ledger.rows()]


def digest(package):
    with LabelLedger(package.ledger_path, read_only=True) as ledger:
        return ledger.content_digest()


def reports(package):
    return [json.loads(path.read_text()) for path in sorted((package.work_dir / 'imports').glob('*.json'))]


def test_what_fits_is_stored_and_reported(package, note):
    path = note(['a', [[0, 1, 254, 255]], 'anna'], ['b', [[255] * 4], 'anna'], request_id=package.request.request_id,
                problems=['an unknown class'])
    report = import_answers(package, [path])
    assert report.exit_code == 0 and stored(package) == [('a', 'anna', 3)]
    assert (report.progress.answered, report.progress.asked, report.closed) == (3, 8, False)
    saved, = reports(package)
    assert saved['request_id'] == package.request.request_id and saved['exit_code'] == 0
    assert len(saved['files'][0]['sha256']) == 64
    assert saved['files'][0]['problems'] == [dict(where='shape 3', what='an unknown class')]
    assert saved['outcomes'][0]['pixels'] == 3 and saved['outcomes'][0]['status'] == 'recorded'
    text = format_import(report)
    assert 'left out - shape 3: an unknown class' in text and '3 of 8 points' in text and 'anna' in text


def test_the_same_again_changes_nothing(package, note):
    path = note(['a', [[0, 1, 254, 255]], 'anna'])
    import_answers(package, [path])
    before = digest(package)
    report = import_answers(package, [path])
    assert report.exit_code == 0 and [outcome.status for outcome in report.outcomes] == ['known']
    assert digest(package) == before and len(reports(package)) == 2


@pytest.mark.parametrize('content, reason', [
    ('{"half', 'Expecting|Unterminated'), (None, 'request ffffffffffff'), ('', 'Expecting value')])
def test_a_file_that_is_no_answer_to_this_request_is_refused_the_rest_is_stored(package, note, tmp_path, content, reason):
    good = note(['a', [[0, 1, 254, 255]], 'anna'])
    bad = note(['b', [[0, 0, 0, 0]], 'anna'], request_id='f' * 64)
    if content is not None:
        bad.write_text(content)
    report = import_answers(package, [bad, good], close=True)
    assert report.exit_code == 2 and stored(package) == [('a', 'anna', 3)]
    assert not report.closed  # first look at what was refused
    assert re.search(reason, report.files[0].refused) and report.files[1].refused == ''
    assert f'{bad}: refused' in format_import(report)


def test_unknown_formats_and_missing_files_are_refused(package, tmp_path):
    (tmp_path / 'holiday.txt').write_text('sea and sand')
    report = import_answers(package, [tmp_path / 'holiday.txt', tmp_path / 'none.notes'])
    assert report.exit_code == 2 and stored(package) == []
    assert 'known format' in report.files[0].refused and 'does not exist' in report.files[1].refused
    assert import_answers(package, [tmp_path / 'none.notes'], format='notes').files[0].refused


@pytest.mark.parametrize('key, rows, message', [
    ('z', [[0, 0, 0, 0]], 'does not contain this image'), ('b', [[0, 0, 0]], 'native size'),
    ('b', [[0, 0, 3, 0]], 'class ids beyond 2')])
def test_an_image_that_does_not_fit_is_left_out_and_named(package, note, key, rows, message):
    report = import_answers(package, [note([key, rows, 'anna'], ['a', [[0, 1, 254, 255]], 'anna'])])
    assert stored(package) == [('a', 'anna', 3)] and report.exit_code == 0
    problem, = report.files[0].problems
    assert problem.where == key and message in problem.what
    alone = import_answers(package, [note([key, rows, 'anna'])])
    assert alone.exit_code == 2 and len(stored(package)) == 1


def test_who_answered_has_to_be_known(package, note):
    nameless, two = note(['a', [[0, 1, 254, 255]], '']), note(['a', [[0] * 4], 'anna'], ['b', [[0] * 4], 'bob'])
    assert 'give --who NAME' in import_answers(package, [nameless]).files[0].refused and stored(package) == []
    assert import_answers(package, [nameless], who='zoe').exit_code == 0 and stored(package) == [('a', 'zoe', 3)]
    assert "'anna', 'bob'" in import_answers(package, [two], who='zoe').files[0].refused and len(stored(package)) == 1
    assert import_answers(package, [note(['b', [[1] * 4], 'user 17'])], who='zoe').exit_code == 0
    assert stored(package)[1:] == [('b', 'zoe', 4)]


def test_files_of_one_person_are_put_together_and_contradictions_left_out(package, note):
    first, again = (note(['a', [[0, 1, 255, 255]], 'anna']) for _ in range(2))
    other, third = note(['a', [[0, 2, 2, 255]], 'anna']), note(['a', [[255, 1, 255, 255]], 'anna'])
    report = import_answers(package, [first, again, other, third])
    assert report.exit_code == 0 and stored(package) == [('a', 'anna', 2)]
    with LabelLedger(package.ledger_path) as ledger:
        assert ledger.label('a').tolist() == [[0, 255, 2, 255]]  # the second pixel was 1 and 2
        assert ledger.spent()['seconds'] == 4.5 and ledger.spent()['clicks'] == 6  # the doubled file is not billed
    assert [problem.what.split(';')[0] for problem in report.problems] == [
        'the same answer of anna twice', '1 pixels have another label than in an earlier file of anna']


def test_conflicts_of_people_are_stored_and_counted(package, note):
    import_answers(package, [note(['a', [[0, 1, 255, 255]], 'anna'])])
    report = import_answers(package, [note(['a', [[0, 2, 2, 255]], 'bob'])])
    outcome, = report.outcomes
    assert (outcome.conflicts, outcome.overlap, outcome.pixels) == (1, 2, 1) and report.exit_code == 0


def test_a_dry_run_leaves_everything_as_it_is(package, note):
    before = digest(package)
    report = import_answers(package, [note(['a', [[0, 1, 254, 255]], 'anna'])], dry_run=True, close=True)
    assert report.exit_code == 0 and report.outcomes[0].pixels == 3 and 'Dry run' in format_import(report)
    assert digest(package) == before and reports(package) == [] and not report.closed


def test_a_closed_round_refuses_new_answers_and_says_why(package, note):
    path = note(['a', [[0, 1, 254, 255]], 'anna'])
    assert import_answers(package, [path], close=True, who='anna').closed
    assert import_answers(package, [path]).exit_code == 0  # known already
    report = import_answers(package, [note(['b', [[0] * 4], 'anna'])])
    assert report.exit_code == 2 and 'closed by hand (closed by anna' in report.refused and len(stored(package)) == 1
    assert 'NOTHING WAS STORED' in format_import(report)
    with LabelLedger(package.ledger_path) as ledger:
        closure, = ledger.closures()
        assert (closure['asked'], closure['answered']) == (8, 3)


def test_closing_needs_no_answers(package):
    report = import_answers(package, [], close=True)
    assert report.closed and report.exit_code == 0


def test_half_a_region_is_not_answered_when_its_round_is_closed(tmp_path, make_request, note, monkeypatch):
    monkeypatch.setitem(CODECS, 'notes', Notes())
    request = make_request({'a': np.array([[True, True, False, True, True]])}, name='requests/round')
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        ledger.open_campaign(dict(classes=request.header['classes'], total_pixels=5))
        ledger.add_request(request)
    report = import_answers(Package(tmp_path, request), [note(['a', [[0, 0, 255, 1, 255]], 'anna'])], close=True, who='anna')
    assert report.closed and (report.progress.answered, report.progress.asked) == (1, 2)
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        closure, = ledger.closures()
        assert (closure['asked'], closure['answered']) == (2, 1)
    row, = campaign_status(tmp_path)['rounds']
    assert (row['asked'], row['answered']) == (2, 1)


@pytest.mark.parametrize('name', ['Zo\u00eb', 'Zoe\u0308', ' Zo\u00eb '])
def test_a_person_is_one_however_the_name_is_written(package, note, name):
    import_answers(package, [note(['a', [[0, 1, 255, 255]], 'Zo\u00eb'])])
    import_answers(package, [note(['a', [[0, 1, 2, 255]], name])])
    assert [row[1] for row in stored(package)] == ['Zo\u00eb'] * 2
    nobody = import_answers(package, [note(['b', [[0, 1, 2, 255]], ' '])])
    assert 'it does not say who answered' in nobody.files[0].refused


def test_where_the_budget_ends_so_does_what_is_stored(package, note):
    with LabelLedger(package.ledger_path) as ledger:
        ledger.open_campaign({}, unit='seconds', limits=Limits(2))
    report = import_answers(package, [note(['a', [[0] * 4], 'anna'], ['b', [[0] * 4], 'anna'])])
    assert [outcome.status for outcome in report.outcomes] == ['recorded', 'over budget']
    assert stored(package) == [('a', 'anna', 4)]
    assert '1 answers are over the budget' in format_import(report) and not report.closed


def test_another_ledger_refuses(package, note, tmp_path, make_request):
    other = Package(tmp_path, make_request({'a': ROW}, kind='points', name='other'))
    report = import_answers(other, [note(['a', [[0] * 4], 'anna'])])
    assert report.exit_code == 2 and 'same run' in report.refused and stored(package) == []


def test_many_problems_are_counted_on_the_console(package, note):
    report = import_answers(package, [note(['a', [[0] * 4], 'anna'], problems=[f'problem {i}' for i in range(33)])])
    text = format_import(report)
    assert 'problem 19' in text and 'problem 20' not in text and '... and 13 more' in text
    assert len(reports(package)[0]['files'][0]['problems']) == 33


def test_the_package_is_found_from_either_folder(campaign, tmp_path):
    campaign.ask(tmp_path / 'run', 1)
    campaign.ask(tmp_path / 'run', 2)
    newest = find_package(tmp_path / 'run')
    assert newest.request.round == 2 and newest.ledger_path == tmp_path / 'run' / 'ledger.sqlite'
    first = find_package(tmp_path / 'run/requests/round_1')
    assert first.request.round == 1 and first.work_dir == tmp_path / 'run'


def test_what_is_no_package_is_named(tmp_path, make_request):
    with pytest.raises(FileNotFoundError, match='is no folder'):
        find_package(tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match='neither a request.json nor a ledger.sqlite'):
        find_package(tmp_path)
    request = make_request({'a': ROW})
    with pytest.raises(FileNotFoundError, match='holds a ledger.sqlite'):
        find_package(request.root)
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        ledger.checkpoint()
        with pytest.raises(FileNotFoundError, match='nothing was asked yet'):
            find_package(tmp_path)
        ledger.add_request(request)
        ledger.checkpoint()
    with pytest.raises(FileNotFoundError, match='lacks the package of round 1'):
        find_package(tmp_path)
