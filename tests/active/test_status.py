# SPDX-License-Identifier: Apache-2.0
"""The status of a campaign: spent and left, rounds, people, classes, disagreement."""
import json

import numpy as np
import pytest

from udatools.active import Budget, GroundTruthOracle, LabelLedger, RandomSelector
from udatools.active.annotators import HumanAnnotator
from udatools.active.codecs.page import PageCodec
from udatools.active.request import Answer
from udatools.active.status import campaign_status, format_status


@pytest.fixture
def status(campaign, tmp_path):
    """A first round of two people, a second one that is half answered."""
    options = dict(selector=RandomSelector(0.3), budget=Budget(amount=120), num_rounds=2)
    campaign.ask(tmp_path, 1, annotator=GroundTruthOracle(campaign.dataset), run='test run', **options)
    request = campaign.ask(tmp_path, 2, annotator=HumanAnnotator(), run='test run', **options).request
    first = request.asked_keys()[0]
    asked = request.regions(first) > 0
    said = [Answer(first, np.where(asked, label, 255).astype(np.uint8), who, 'page', clicks=clicks, seconds=seconds)
            for who, label, clicks, seconds in (('anna', 1, 4, 9), ('bob', 2, 5, 8))]
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        ledger.record(request, said)
        ledger.checkpoint()
    return campaign_status(tmp_path), request, first, int(asked.sum())


def test_spent_left_and_rounds(status):
    found, request, first, pixels = status
    assert found['run'] == 'test run' and found['total_pixels'] == 5 * 12 * 17
    assert found['budget'] == dict(unit='pixels', limit=120, image_limit=None, round_limit=None, spent=60 + pixels,
                                   left=60 - pixels)
    assert found['left'] == dict(pixels=60 - pixels, points=None, clicks=None, components=None, seconds=None, void=None)
    one, two = found['rounds']
    assert (one['state'], one['answered'], one['spent']['pixels']) == ('closed', one['asked'], 60)
    assert 'everything is answered' in one['reason']
    assert (two['state'], two['reason'], two['answered']) == ('waiting', None, request[first].components)
    assert two['asked'] == sum(item.components for item in request.items) and two['complete_images'] == 1


def test_a_round_that_nobody_closed_yet_is_answered_when_nothing_is_open(status, tmp_path):
    _, request, first, _ = status
    rest = [key for key in request.asked_keys() if key != first]
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        ledger.record(request, [
            Answer(key, np.where(request.regions(key) > 0, 0, 255).astype(np.uint8), 'anna', 'page') for key in rest[1:]])
        assert campaign_status(tmp_path)['rounds'][1]['state'] == 'waiting'
        ledger.record(request, [Answer(rest[0], np.where(request.regions(rest[0]) > 0, 0, 255).astype(np.uint8), 'anna', 'page')])
        ledger.checkpoint()
    two = campaign_status(tmp_path)['rounds'][1]
    assert (two['state'], two['answered']) == ('answered', two['asked'])


def test_people_classes_and_disagreement(status):
    found, _, first, pixels = status
    people = {person['annotator']: person for person in found['people']}
    assert set(people) == {'anna', 'bob', 'oracle'} and people['bob']['pixels'] == 0 and people['bob']['clicks'] == 5
    assert list(people['anna']['rounds']) == [2] and people['anna']['rounds'][2]['seconds'] == 9
    coverage = {row['name']: row['pixels'] for row in found['coverage']}
    assert sum(coverage.values()) == 60 + pixels and set(coverage) == {'road', 'car', 'sky', 'void'}
    pair, = found['disagreement']
    assert (pair['people'], pair['pixels'], pair['differ'], pair['share']) == (['anna', 'bob'], pixels, pixels, 1.0)
    assert pair['classes'] == {'car': dict(either=pixels, differ=pixels), 'sky': dict(either=pixels, differ=pixels)}


def test_what_is_still_asked_is_told_in_every_unit(status):
    found, request, first, pixels = status
    units = sum(item.components for item in request.items) - request[first].components
    done = found['spent']['components']
    assert found['open'] == dict(pixels=60 - pixels, points=0, clicks=units, components=units, void=None,
                                 seconds=round(units * found['spent']['seconds'] / done, 1))
    line = next(line for line in format_status(found).splitlines() if line.startswith('regions'))
    assert line.split() == ['regions', f'{done:g}', '-', f'{units}']


def test_answers_on_the_page_are_told_before_they_are_imported(status, tmp_path):
    _, request, first, _ = status
    assert campaign_status(tmp_path)['rounds'][1]['not_imported'] == 0
    second = next(key for key in request.asked_keys() if key != first)
    sheets = [Answer(key, np.where(request.regions(key) > 0, 0, 255).astype(np.uint8), 'carl', 'page') for key in (first, second)]
    PageCodec().write(request, sheets, request.root)
    found = campaign_status(tmp_path)
    assert found['rounds'][1]['not_imported'] == request[second].components  # those of the first are in the ledger
    assert f'{request[second].components} regions are answered on the page and not in the ledger yet' in format_status(found)


def test_a_class_that_nobody_has_found_is_listed(tmp_path, campaign):
    campaign.ask(tmp_path, 1, annotator=HumanAnnotator(), selector=RandomSelector(0.3), budget=Budget(amount=20), num_rounds=1)
    found = campaign_status(tmp_path)
    assert [(row['name'], row['pixels']) for row in found['coverage']][-1] == ('void', 0)
    assert len(found['coverage']) == 4 and 'sky' in format_status(found)
    assert found['open']['seconds'] is None and found['open']['pixels'] == 20


def test_it_is_json_and_text(status):
    found, request, _, pixels = status
    assert json.loads(json.dumps(found))['rounds'][1]['state'] == 'waiting'
    text = format_status(found)
    assert f'Budget: 120 pixels; {60 + pixels} spent, {60 - pixels} left.' in text
    assert 'anna / bob' in text and '100.0%' in text and 'waiting' in text and 'car' in text and "policy is 'first'" in text


def test_reading_writes_nothing(status, tmp_path, tree):
    before = tree(tmp_path)
    campaign_status(tmp_path)
    assert tree(tmp_path) == before


def test_a_folder_without_a_ledger_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no round of labelling was asked there'):
        campaign_status(tmp_path)


def test_without_packages_the_ledger_is_enough(status, tmp_path):
    import shutil
    shutil.rmtree(tmp_path / 'requests')
    found = campaign_status(tmp_path)
    assert [row['state'] for row in found['rounds']] == ['closed', 'waiting'] and found['rounds'][1]['asked'] is None
    assert 'round 2' in format_status(found)


def test_the_limit_of_a_round_is_told(tmp_path, campaign):
    budget = Budget(unit='clicks', amount=7, scope='round')
    campaign.ask(tmp_path, 1, annotator=HumanAnnotator(), selector=RandomSelector(0.3), budget=budget, num_rounds=2)
    found = campaign_status(tmp_path)
    assert found['budget']['round_limit'] == 7 and found['budget']['limit'] == 14
    assert 'Budget: 14 clicks, 7 a round; 0 spent' in format_status(found)


def test_a_fresh_campaign_has_no_budget(tmp_path):
    LabelLedger(tmp_path / 'ledger.sqlite').close()
    found = campaign_status(tmp_path)
    assert found['budget'] is None and found['rounds'] == [] and 'No budget' in format_status(found)
