# SPDX-License-Identifier: Apache-2.0
"""A round that people answer: it waits, says for what, and goes on when enough is there."""
import pickle

import cv2
import numpy as np
import pytest

from udatools.active import Budget, LabelLedger, RandomSelector, Request
from udatools.active.annotators import Annotator, AnswersPending, HumanAnnotator
from udatools.active.annotators.human import describe_waiting, resume_command
from udatools.active.request import Answer
from udatools.registry import ANNOTATORS


def answer_images(root, campaign, keys, who='anna', round=1):
    """What somebody imports: the truth of some images."""
    request = Request.load(root / 'requests' / f'round_{round}')
    with LabelLedger(root / 'ledger.sqlite') as ledger:
        return ledger.record(request, [
            Answer(key, np.where(request.regions(key) > 0, np.where(campaign.dataset.truth[key] == 255, 254,
                                                                    campaign.dataset.truth[key]), 255).astype(np.uint8),
                   who, 'test', clicks=2, seconds=3.0) for key in keys])


def test_a_round_waits_until_everything_is_answered(campaign, tmp_path, tree):
    for _ in range(2):  # asked again it says the same
        result = campaign.ask(tmp_path, annotator=HumanAnnotator())
        request = result.request
        components = sum(item.components for item in request.items)
        assert result.pending.args == (str(request.root), components, components, 1) and result.unanswered == 5
        assert not (tmp_path / 'labels').exists()
    keys = request.asked_keys()
    answer_images(tmp_path, campaign, keys[:3])
    pending = campaign.ask(tmp_path, annotator=HumanAnnotator()).pending
    assert pending.unanswered == sum(request[key].components for key in keys[3:]) and pending.asked == components
    answer_images(tmp_path, campaign, keys[3:], 'bob')
    result = campaign.ask(tmp_path, annotator=HumanAnnotator())
    assert result.pending is None and result.unanswered == 0 and not result.selected
    label = cv2.imread(str(tmp_path / 'labels' / f'{keys[0]}.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(label, np.where(request.regions(keys[0]) > 0, campaign.dataset.truth[keys[0]], 255))
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        closure, = ledger.closures()
        assert (closure['asked'], closure['answered'], closure['who']) == (components, components, 'run')
    assert campaign.dataset.opened == []  # nobody looked at ground truth


def test_a_share_is_enough_if_the_config_says_so(campaign, tmp_path):
    human = HumanAnnotator(min_answered=0.5)
    options = dict(annotator=human, selector=RandomSelector(0.3), budget=Budget(amount=100), num_rounds=1)
    request = campaign.ask(tmp_path, **options).request
    keys = request.asked_keys()
    total = sum(request[key].components for key in keys)
    for count in range(len(keys)):
        share = sum(request[key].components for key in keys[:count]) / total
        answer_images(tmp_path, campaign, keys[:count])
        assert (campaign.ask(tmp_path, **options).pending is None) == (share >= 0.5)
        if share >= 0.5:
            break
    assert 0 < count < len(keys)
    assert (tmp_path / 'labels' / f'{keys[0]}.png').is_file() and not (tmp_path / 'labels' / f'{keys[-1]}.png').exists()


def test_a_round_closed_by_hand_goes_on_and_the_next_one_asks_again(campaign, tmp_path):
    request = campaign.ask(tmp_path, annotator=HumanAnnotator()).request
    keys = request.asked_keys()
    answer_images(tmp_path, campaign, keys[:1])
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        ledger.close_round(request, 'anna', 'closed by hand', asked=9, answered=1)
    assert campaign.ask(tmp_path, annotator=HumanAnnotator()).pending is None
    second = campaign.ask(tmp_path, 2, annotator=HumanAnnotator())
    assert second.pending.round == 2 and second.request.asked_keys() == keys[1:]  # what was left open is open again


def test_a_round_whose_budget_people_used_up_goes_on(campaign, tmp_path):
    options = dict(annotator=HumanAnnotator(), budget=Budget(unit='seconds', amount=9, costs=dict(segment_seconds=1.0)))
    keys = campaign.ask(tmp_path, **options).request.asked_keys()
    answer_images(tmp_path, campaign, keys[:2])  # three seconds an image
    assert campaign.ask(tmp_path, **options).pending is not None
    answer_images(tmp_path, campaign, keys[2:3])
    assert len(keys) > 3 and campaign.ask(tmp_path, **options).pending is None
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        assert ledger.closures()[0]['reason'] == 'the budget of 9 seconds is used up'


def test_nothing_to_ask_is_nothing_to_wait_for(campaign, tmp_path):
    result = campaign.ask(tmp_path, annotator=HumanAnnotator(), budget=Budget(amount=0))
    assert result.pending is None and result.request.asked_keys() == []


@pytest.mark.distributed
def test_every_rank_learns_that_people_are_waited_for(campaign, tmp_path, run_ranks):
    results = run_ranks(lambda rank: str(campaign.ask(tmp_path, annotator=HumanAnnotator()).pending))
    (first, error), (second, other) = results
    assert error is None and other is None and first == second and 'round 1 waits for answers' in first


class Several(Annotator):
    """Two people; the second leaves out what ``absent`` names."""

    name = 'group'
    names = ('anna', 'bob')

    def __init__(self, campaign, absent=()):
        self.campaign, self.absent, self.asked = campaign, absent, []

    def answer(self, request, keys):
        self.asked.append(list(keys))
        for key in keys:
            for name in self.names:
                if (name, key) not in self.absent:
                    answer = np.where(request.regions(key) > 0, 0, 255).astype(np.uint8)
                    yield Answer(key, answer, name, 'test', clicks=3)


def test_an_image_is_done_when_every_name_answered_it(campaign, tmp_path):
    key = 'city_a/frame_1'
    assert campaign.ask(tmp_path, annotator=Several(campaign, [('bob', key), ('anna', key)])).unanswered == 1
    again = Several(campaign)
    assert campaign.ask(tmp_path, annotator=again).unanswered == 0 and again.asked == [[key]]
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        assert ledger.spent()['clicks'] == 30 and ledger.spent(annotator='bob')['pixels'] == 0
    assert Several.names == ('anna', 'bob') and campaign.oracle.names == ('oracle', ) and HumanAnnotator().names == ('run', )


@pytest.mark.parametrize('batch', [1, 2, 32])
def test_measured_clicks_never_pass_the_budget_and_the_round_ends_there(campaign, tmp_path, monkeypatch, batch):
    """Planned with one click a region, but these people need three."""
    monkeypatch.setattr('udatools.active.campaign.BATCH', batch)
    options = dict(annotator=Several(campaign), budget=Budget(unit='clicks', amount=14), num_rounds=1)
    for _ in range(2):
        result = campaign.ask(tmp_path, **options)
        assert result.unanswered == 0 and result.pending is None and result.spent['clicks'] == 12
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        closure, = ledger.closures()
        assert closure['reason'] == 'the budget of 14 clicks is used up'
        assert len(ledger.answered_keys(result.request.request_id)) == 2


@pytest.mark.parametrize('per', ['set', 'image'])
@pytest.mark.parametrize('batch', [1, 32])
def test_a_budget_of_a_round_holds_in_every_round_for_what_is_measured(campaign, tmp_path, monkeypatch, per, batch):
    """Planned with one click a region, but these people need three: 6 fit into 7, for the set or for an image."""
    monkeypatch.setattr('udatools.active.campaign.BATCH', batch)
    budget = Budget(unit='clicks', amount=7 if per == 'set' else 4, scope='round', per=per)
    for number in (1, 2):
        result = campaign.ask(tmp_path, number, annotator=Several(campaign), selector=RandomSelector(0.3), budget=budget,
                              num_rounds=2)
        assert result.pending is None and result.unanswered == 0
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        for number in (1, 2):
            if per == 'set':
                assert ledger.spent(round=number)['clicks'] == 6
            else:
                assert set(ledger.spent_by_image('clicks', round=number).values()) == {3.0}
        reasons = [closure['reason'] for closure in ledger.closures()]
        assert reasons == ['the budget of 7 clicks a round is used up'] * 2 if per == 'set' else len(reasons) == 2


def test_every_image_keeps_its_own_budget(campaign, tmp_path):
    budget = Budget(unit='clicks', amount=5, per='image')
    result = campaign.ask(tmp_path, annotator=Several(campaign), budget=budget, num_rounds=1)
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        assert ledger.spent_by_image('clicks') == dict.fromkeys(result.request.asked_keys(), 3.0)
    assert result.spent['images'] == 5


def test_it_comes_from_a_config():
    human = ANNOTATORS.build(dict(type='HumanAnnotator', min_answered=0.9))
    assert human.waits and human.min_answered == 0.9 and list(human.answer(None, ['a'])) == []
    with pytest.raises(ValueError, match='min_answered is 90'):
        HumanAnnotator(90)


def test_what_is_waited_for_reaches_other_processes():
    pending = pickle.loads(pickle.dumps(AnswersPending('/x/requests/round_2', 3, 7, 2)))
    assert (pending.unanswered, pending.asked, pending.round, pending.request_dir.name) == (3, 7, 2, 'round_2')
    assert str(pending) == 'round 2 waits for answers: 3 of 7 asked units in /x/requests/round_2 have none'


def test_the_console_says_what_to_do(campaign, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pending = campaign.ask(tmp_path / 'my run', annotator=HumanAnnotator()).pending
    text = describe_waiting(pending, resume_command(['tools/train.py', 'cfg.py', '--work-dir', 'my run']))
    assert f'{pending.asked} of {pending.asked} regions in 5 images have no answer' in text
    for command in ("python tools/annotate.py 'my run/requests/round_1'", "tools/active/export.py 'my run/requests/round_1'",
                    "import_answers.py 'my run/requests/round_1' [FILES", "tools/active/status.py 'my run'",
                    "python tools/train.py cfg.py --work-dir 'my run' --resume"):
        assert command in text
    assert 'the command that started the run, with --resume' in describe_waiting(pending)
    assert resume_command(['t.py', '--resume', 'x']) == ['python', 't.py', '--resume', 'x']
