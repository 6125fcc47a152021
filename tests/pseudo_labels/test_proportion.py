# SPDX-License-Identifier: Apache-2.0
"""Shares that policies would keep, and the search for a wanted one."""
from functools import partial

import pytest
import torch

from udatools.pseudo_labels import (
    ClassBalancedPolicy,
    ClipAdaptivePolicy,
    InstanceAdaptivePolicy,
    PseudoLabelStore,
    generate_pseudo_labels,
)
from udatools.pseudo_labels.proportion import Trials, match_proportion

CLIPS = {'a': [0, 1, 2], 'b': [3], 'c': [4, 5, 6]}
MAKERS = [partial(ClassBalancedPolicy, step=0.0, maximum=1.0), InstanceAdaptivePolicy, ClipAdaptivePolicy]


@pytest.fixture
def soft(predictions):
    """Predictions that are less sure, so that thresholds matter."""
    return [(prob**0.2) / (prob**0.2).sum(0) for prob in predictions]


@pytest.mark.parametrize('make', MAKERS)
@pytest.mark.parametrize('value', [0.1, 0.5, 0.9])
def test_the_share_is_that_of_the_labels(tmp_path, fixed_predictor, soft, keys, make, value):
    with Trials(fixed_predictor(soft), 7, 4, MAKERS, CLIPS, tmp_path) as trials:
        share = trials.share(make(value))
    summary = generate_pseudo_labels(fixed_predictor(soft), keys, make(value), PseudoLabelStore(tmp_path / 'out'), 4, clips=CLIPS)
    assert share == summary.coverage['kept_share'] > 0


def test_the_network_runs_once_for_all_trials(tmp_path, fixed_predictor, soft):
    predictor = fixed_predictor(soft)
    with Trials(predictor, 7, 4, MAKERS, CLIPS, tmp_path) as trials:
        shares = [trials.share(make(value)) for make in MAKERS for value in (0.2, 0.4)]
    assert predictor.inferred == list(range(7)) and min(shares) > 0


def test_without_a_whole_set_policy_nothing_goes_to_disk(tmp_path, fixed_predictor, soft):
    with Trials(fixed_predictor(soft), 7, 4, MAKERS[1:], CLIPS, tmp_path) as trials:
        assert trials.spool._file.tell() == 0 < trials.share(ClipAdaptivePolicy(0.5))


def test_a_wanted_share_is_found(tmp_path, fixed_predictor, soft):
    with Trials(fixed_predictor(soft), 7, 4, MAKERS, CLIPS, tmp_path) as trials:
        for make in MAKERS:
            ends = [trials.share(make(value)) for value in (1e-3, 1.0)]
            wanted = ends[0] + 0.4 * (ends[1] - ends[0])
            value, share = match_proportion(lambda value, make=make: trials.share(make(value)), wanted, tolerance=0.005)
            assert share == trials.share(make(value)) == pytest.approx(wanted, abs=0.02)  # 693 pixels, few values


def test_bisection_stops_when_it_is_close_enough_and_reports_the_best():
    asked = []

    def share_of(value):
        asked.append(value)
        return value**3

    value, share = match_proportion(share_of, 0.125, tolerance=0.01)
    assert abs(share - 0.125) <= 0.01 and share == value**3 and len(asked) < 12
    steps = match_proportion(lambda value: float(value > 0.7), 0.4)  # no value comes close
    assert steps[1] in (0.0, 1.0)


def test_a_share_out_of_reach_is_named():
    with pytest.raises(ValueError, match=r'0\.9 cannot be reached: 0\.0005 of the pixels are kept at 0\.001 and 0\.5000 at 1'):
        match_proportion(lambda value: value / 2, 0.9)


def test_half_precision_ties_are_kept_as_the_labels_keep_them(tmp_path, fixed_predictor, keys):
    """A threshold that is itself a probability of the set: p >= theta."""
    prob = torch.tensor([0.75, 0.25]).reshape(2, 1, 1).expand(2, 2, 3)
    policy = ClipAdaptivePolicy(1.0, beta=0.0, gamma=0.0, initial=0.75)
    with Trials(fixed_predictor([prob]), 1, 2, [lambda value: policy], {'a': [0]}, tmp_path) as trials:
        share = trials.share(policy)
    store = PseudoLabelStore(tmp_path / 'out')
    summary = generate_pseudo_labels(fixed_predictor([prob]), keys[:1], policy, store, 2, clips={'a': [0]})
    assert share == summary.coverage['kept_share'] == 1


def few_clips(fixed_predictor, folder, count=3):
    """Trials on clips of one frame whose probabilities are spread evenly over 0.5 to 1."""
    row = torch.linspace(0.5, 1.0, 400)
    predictor = fixed_predictor([torch.stack([row, 1 - row]).reshape(2, 20, 20)] * count)
    return Trials(predictor, count, 2, MAKERS[1:], {str(i): [i] for i in range(count)}, folder)


@pytest.mark.parametrize('make', MAKERS[1:])
def test_on_few_clips_the_start_decides_unless_the_recursion_has_settled(tmp_path, fixed_predictor, make):
    with few_clips(fixed_predictor, tmp_path) as trials:
        assert trials.share(make(1e-3)) > 0.1  # of the 20 % above 0.9
        with pytest.raises(ValueError, match='0.05 cannot be reached'):
            match_proportion(lambda value: trials.share(make(value)), 0.05)
        value, share = match_proportion(lambda value: trials.share(trials.settle(make(value))), 0.05)
        assert share == pytest.approx(0.05, abs=0.005) and 0.01 < value < 0.5


def test_settled_thresholds_are_those_of_fifty_steps_and_training_starts_as_ever(tmp_path, fixed_predictor):
    policy = ClipAdaptivePolicy(0.3)
    with few_clips(fixed_predictor, tmp_path) as trials:
        settled = trials.settle(policy)
        histogram = trials._counted[ClipAdaptivePolicy][0]
    theta = policy.initial_thresholds(2)
    for _ in range(51):  # 17 times three clips
        theta = policy.step(theta, histogram)
    assert settled.initial_thresholds(2).tolist() == theta.tolist() and settled.settings()['alpha'] == 0.3
    assert policy.initial_thresholds(2).tolist() == [0.9, 0.9] and policy.settings()['initial'] == 0.9


def test_settled_labels_have_the_share_that_was_found(tmp_path, fixed_predictor, soft, keys):
    with Trials(fixed_predictor(soft), 7, 4, MAKERS, CLIPS, tmp_path) as trials:
        settled = [trials.settle(make(0.5)) for make in MAKERS]
        shares = [trials.share(policy) for policy in settled]
        assert trials.settle(whole := MAKERS[0](0.5)) is whole
    for i, (policy, share) in enumerate(zip(settled, shares)):
        summary = generate_pseudo_labels(fixed_predictor(soft), keys, policy, PseudoLabelStore(tmp_path / str(i)), 4, clips=CLIPS)
        assert summary.coverage['kept_share'] == share
