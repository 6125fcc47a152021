# SPDX-License-Identifier: Apache-2.0
"""Rounds of active labelling: exact budgets, nothing asked twice, any number of ranks, killed anywhere."""
import errno
import multiprocessing
import os
import signal
import time

import cv2
import numpy as np
import pytest
import torch

from udatools.active import Budget, EntropySelector, LabelLedger, LabORSPLSelector, LedgerError, RandomSelector, Request


def digest(root):
    with LabelLedger(root / 'ledger.sqlite') as ledger:
        return ledger.content_digest()


def outcome(root, tree):
    """Everything a round leaves that must not depend on how it got there."""
    files = {name: data for folder in ('requests', 'labels') for name, data in tree(root / folder).items()}
    assert files and not any('candidates' in name or name.endswith('.tmp') for name in files)
    return files, digest(root)


def asked(root, round, keys):
    request = Request.load(root / 'requests' / f'round_{round}')
    return {key: request.regions(key) > 0 for key in keys}


def test_without_a_budget_the_whole_mask_is_asked_and_answered(campaign, tmp_path):
    result = campaign.ask(tmp_path)
    truth = campaign.dataset.truth
    total = 0
    for key, mask in asked(tmp_path, 1, truth).items():
        assert np.array_equal(mask, campaign.mask(key)) and mask.any()
        label = cv2.imread(str(tmp_path / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(label, np.where(mask, truth[key], 255))
        total += int(mask.sum())
    assert result.selected and result.unanswered == 0 and result.spent['pixels'] == total
    header = result.request.header
    assert header['budget'] == dict(unit='pixels', per='set', limit=None, asked=total, planned=total, spent=0, left=None)
    assert header['total_pixels'] == 5 * 12 * 17 and header['candidates'] == total
    item = result.request['city_a/frame_1']
    assert (item.path, item.height, item.width, len(item.sha1)) == ('city_a/frame_1.png', 12, 17, 40)


def test_only_what_the_selector_reads_is_computed_and_panels_are_the_most_asked(campaign, tmp_path):
    result = campaign.ask(tmp_path, panels=2)
    assert campaign.calls[:5] == [(i, ('prob1', 'prob2')) for i in range(5)]
    assert len(campaign.calls) == 7 and all(names == ('prob', ) for _, names in campaign.calls[5:])
    shown = sorted(p.relative_to(tmp_path / 'requests/round_1/predictions').with_suffix('').as_posix()
                   for p in (tmp_path / 'requests/round_1/predictions').rglob('*.png'))
    most = sorted(result.request.items, key=lambda item: (-item.asked, item.key))[:2]
    assert shown == sorted(item.key for item in most)
    label = cv2.imread(str(tmp_path / f'requests/round_1/predictions/{shown[0]}.png'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(label, campaign.outputs[shown[0]]['prob'].argmax(0).numpy())


def test_budget_takes_the_best_pixels_of_the_whole_set(campaign, tmp_path):
    campaign.ask(tmp_path, num_rounds=1, budget=Budget(amount=41))
    scores = []
    for key, outputs in campaign.outputs.items():
        score = (outputs['prob1'] - outputs['prob2']).abs().sum(0).half().numpy()
        scores += [(-float(score.ravel()[i]), key, int(i)) for i in np.flatnonzero(campaign.mask(key))]
    assert len(scores) > 100
    expected = {(key, i) for _, key, i in sorted(scores)[:41]}
    assert {(key, int(i)) for key, mask in asked(tmp_path, 1, campaign.outputs).items()
            for i in np.flatnonzero(mask)} == expected


def test_three_rounds_spend_the_budget_exactly_and_never_ask_twice(campaign, tmp_path):
    seen = {key: np.zeros((12, 17), bool) for key in campaign.outputs}
    spent = []
    for round in (1, 2, 3):
        result = campaign.ask(tmp_path, round, budget=Budget(portion=0.05))
        for key, mask in asked(tmp_path, round, seen).items():
            assert not (mask & seen[key]).any()
            seen[key] |= mask
        spent.append(result.spent['pixels'])
        assert result.request.header['budget']['left'] == 51 - spent[-1]
    assert spent == [17, 34, 51] and sum(mask.sum() for mask in seen.values()) == 51
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        for key, mask in seen.items():
            answered = ledger.answered_mask(key)
            assert np.array_equal(mask, np.zeros_like(mask) if answered is None else answered)


def test_the_same_mask_again_has_nothing_left_to_ask(campaign, tmp_path):
    campaign.ask(tmp_path, 1)
    result = campaign.ask(tmp_path, 2)
    assert result.request.asked_keys() == [] and result.unanswered == 0


def test_oracle_opens_only_images_with_asked_pixels(campaign, tmp_path):
    campaign.ask(tmp_path, num_rounds=1, budget=Budget(amount=2))
    request = Request.load(tmp_path / 'requests' / 'round_1')
    assert campaign.dataset.opened == request.asked_keys() and 1 <= len(request.asked_keys()) <= 2


def test_a_complete_round_is_reused(campaign, tmp_path, tree):
    campaign.ask(tmp_path)
    before, calls, opened = outcome(tmp_path, tree), len(campaign.calls), len(campaign.dataset.opened)
    result = campaign.ask(tmp_path)
    assert not result.selected and (len(campaign.calls), len(campaign.dataset.opened)) == (calls, opened)
    assert outcome(tmp_path, tree) == before


@pytest.mark.parametrize('change', [dict(seed=1), dict(selector=LabORSPLSelector('mcdal')),
                                    dict(budget=Budget(amount=9)), dict(inference='other')])
def test_a_paid_round_is_not_asked_again_with_other_inputs(campaign, tmp_path, tree, change):
    campaign.ask(tmp_path)
    before = outcome(tmp_path, tree)
    with pytest.raises(LedgerError, match='round 1 was asked'):
        campaign.ask(tmp_path, **change)
    assert outcome(tmp_path, tree) == before


def test_a_lost_request_is_written_anew(campaign, tmp_path, tree):
    campaign.ask(tmp_path)
    before = outcome(tmp_path, tree)
    (tmp_path / 'requests/round_1/request.json').unlink()
    (tmp_path / 'labels/city_a/frame_0.png').unlink()
    assert campaign.ask(tmp_path).selected
    assert outcome(tmp_path, tree) == before


def test_candidates_of_a_stopped_run_with_other_inputs_are_not_used(campaign, tmp_path, tree):

    def stopping(i, names):
        if i == 3:
            raise KeyboardInterrupt
        return campaign.predict(i, names)

    with pytest.raises(KeyboardInterrupt):
        campaign.ask(tmp_path / 'a', predict=stopping, selector=LabORSPLSelector('mcdal'), budget=Budget(amount=40))
    campaign.calls.clear()
    campaign.ask(tmp_path / 'a', budget=Budget(amount=40))
    assert [i for i, names in campaign.calls if 'prob1' in names] == list(range(5))
    campaign.ask(tmp_path / 'b', budget=Budget(amount=40))
    assert outcome(tmp_path / 'a', tree) == outcome(tmp_path / 'b', tree)


def test_candidates_of_a_stopped_run_are_kept(campaign, tmp_path):

    def stopping(i, names):
        if i == 3:
            raise KeyboardInterrupt
        return campaign.predict(i, names)

    with pytest.raises(KeyboardInterrupt):
        campaign.ask(tmp_path, predict=stopping)
    campaign.calls.clear()
    campaign.ask(tmp_path)
    assert [i for i, names in campaign.calls if 'prob1' in names] == [3, 4]


@pytest.mark.parametrize('selector', [RandomSelector(0.3), EntropySelector(0.3)])
def test_baselines_go_through_the_same_loop(campaign, tmp_path, tree, selector):
    for root in ('a', 'b'):
        result = campaign.ask(tmp_path / root, selector=selector, num_rounds=1, budget=Budget(amount=60), seed=4)
    assert result.spent['pixels'] == 60
    assert outcome(tmp_path / 'a', tree) == outcome(tmp_path / 'b', tree)


def test_an_annotator_may_leave_images_unanswered_and_go_on_later(campaign, tmp_path, tree):

    class Slow(type(campaign.oracle)):

        def answer(self, request, keys):
            return super().answer(request, keys[:2])

    assert [campaign.ask(tmp_path / 'slow', annotator=Slow(campaign.dataset, name='oracle')).unanswered
            for _ in range(3)] == [3, 1, 0]
    campaign.ask(tmp_path / 'fast')
    files, _ = outcome(tmp_path / 'slow', tree)
    assert files == outcome(tmp_path / 'fast', tree)[0]


def test_an_empty_target_is_refused(campaign):
    with pytest.raises(ValueError, match='empty'):
        type(campaign.target)([], [], ('road', ), [(0, 0, 0)], 'print')


def test_images_that_changed_size_are_refused(campaign, tmp_path):
    campaign.ask(tmp_path, 1)
    for outputs in campaign.outputs.values():
        outputs.update({name: torch.rand(3, 6, 6).softmax(0) for name in outputs})
    with pytest.raises(ValueError, match='changed since they were labelled'):
        campaign.ask(tmp_path, 2)


@pytest.mark.distributed
@pytest.mark.parametrize('world', [2, 3])
def test_any_number_of_ranks_asks_the_same(campaign, tmp_path, tree, run_ranks, world, monkeypatch):
    monkeypatch.setattr('udatools.active.campaign.BATCH', 2)

    def rounds(root):
        return [campaign.ask(root, round, budget=Budget(amount=70)).spent for round in (1, 2)]

    expected = rounds(tmp_path / 'one')
    results = run_ranks(lambda rank: rounds(tmp_path / 'many'), world)
    assert results == [(expected, None)] * world
    assert outcome(tmp_path / 'one', tree) == outcome(tmp_path / 'many', tree)


@pytest.mark.distributed
@pytest.mark.parametrize('failing', ['predict', 'oracle'])
def test_an_error_on_one_rank_ends_all_ranks(campaign, tmp_path, run_ranks, failing):

    def work(rank):
        if failing == 'oracle':
            campaign.dataset.load_label = lambda key: 1 / 0
            return campaign.ask(tmp_path / 'x')

        def predict(i, names):
            return campaign.predict(i if i != 3 else 1 // 0, names)

        return campaign.ask(tmp_path / 'x', predict=predict)

    errors = [error for _, error in run_ranks(work)]
    first = 0 if failing == 'oracle' else 1
    assert 'ZeroDivisionError' in errors[first] and 'RuntimeError' not in errors[first]
    assert f'rank {first} failed' in errors[1 - first]


def test_a_full_disk_while_writing_labels_is_named_and_nothing_is_lost(campaign, tmp_path, tree, monkeypatch):
    replace = os.replace

    def full(source, destination):
        if 'labels' in str(destination):
            raise OSError(errno.ENOSPC, 'No space left on device')
        replace(source, destination)

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', full)
        with pytest.raises(OSError, match=r'labels/city_.*png.*disk is full'):
            campaign.ask(tmp_path / 'a')
    opened = len(campaign.dataset.opened)
    campaign.ask(tmp_path / 'a')
    assert len(campaign.dataset.opened) == opened  # every answer was kept
    campaign.ask(tmp_path / 'b')
    assert outcome(tmp_path / 'a', tree) == outcome(tmp_path / 'b', tree)


def _ask_slowly(campaign, root, round):
    torch.set_num_threads(1)

    def predict(i, names):
        time.sleep(0.003)
        return campaign.predict(i, names)

    campaign.ask(root, round, budget=Budget(portion=0.2), predict=predict)


def test_killed_at_random_moments_it_ends_the_same(campaign, tmp_path, tree, monkeypatch):
    monkeypatch.setattr('udatools.active.campaign.BATCH', 1)
    rng, context = np.random.default_rng(0), multiprocessing.get_context('fork')
    for round in (1, 2):
        campaign.ask(tmp_path / 'whole', round, budget=Budget(portion=0.2))
    started = time.monotonic()
    process = context.Process(target=_ask_slowly, args=(campaign, tmp_path / 'timed', 1))
    process.start()
    process.join()
    whole, unfinished = time.monotonic() - started, 0
    for round in (1, 2):
        for _ in range(12):
            process = context.Process(target=_ask_slowly, args=(campaign, tmp_path / 'killed', round))
            process.start()
            process.join(rng.uniform(0, whole))
            unfinished += process.is_alive()
            process.kill()
            process.join()
        campaign.ask(tmp_path / 'killed', round, budget=Budget(portion=0.2))
    for leftover in (tmp_path / 'killed').rglob('.*.tmp'):
        leftover.unlink()  # a killed writer cannot remove its temporary file; nobody reads it
    assert outcome(tmp_path / 'killed', tree) == outcome(tmp_path / 'whole', tree)
    assert unfinished, 'no kill came in time: the timing of this test is wrong'


def _ask_and_die_at_write(campaign, root, write):
    torch.set_num_threads(1)
    done, replace = iter(range(10**6)), os.replace

    def counting(*paths):
        if next(done) == write:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    os.replace = counting  # in the forked child only
    campaign.ask(root, budget=Budget(portion=0.2))


def test_killed_at_every_kind_of_file_write_it_ends_the_same(campaign, tmp_path, tree):
    campaign.ask(tmp_path / 'whole', budget=Budget(portion=0.2))
    expected, context, survived = outcome(tmp_path / 'whole', tree), multiprocessing.get_context('fork'), 0
    for write in (0, 3, 4, 5, 8, 9, 10, 13, 14, 15, 16, 18, 20, 21):
        root = tmp_path / f'killed_{write}'
        process = context.Process(target=_ask_and_die_at_write, args=(campaign, root, write))
        process.start()
        process.join(30)
        survived += process.exitcode == 0
        campaign.ask(root, budget=Budget(portion=0.2))
        for leftover in root.rglob('.*.tmp'):
            leftover.unlink()
        assert outcome(root, tree) == expected, f'killed at file write {write}'
    # 5 candidates, 5 masks, 4 panels, items.jsonl, request.json, 5 labels
    assert survived == 1
