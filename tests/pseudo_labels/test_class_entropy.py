# SPDX-License-Identifier: Apache-2.0
"""LSE's thresholds against sorted lists of entropies, and the mean confidence of each image."""
import math

import numpy as np
import pytest
import torch

from udatools.ops.histograms import certain_prediction, merge_histograms, winning_prediction
from udatools.registry import PSEUDO_LABEL_POLICIES


def certainty(prob, y, x):
    entropy = -sum(float(p) * math.log(float(p)) for p in prob[:, y, x] if p > 0)
    return np.float16(1 - entropy / math.log(prob.shape[0]))


def build(**kwargs):
    return PSEUDO_LABEL_POLICIES.build(dict(type='ClassEntropyPolicy', **kwargs))


@pytest.mark.parametrize('portion', [0.2, 0.5, 1.0])
def test_the_portion_of_each_class_with_the_lowest_entropy_is_kept(predictions, portion):
    policy = build(portion=portion, maximum=1.0, stride=1)
    winners = [policy.winner(prob) for prob in predictions]
    theta = policy.fit(merge_histograms([policy.statistics(winner, 4) for winner in winners]), 4)
    lists = [[], [], [], []]
    for prob, winner in zip(predictions, winners, strict=True):
        for (y, x), label in np.ndenumerate(prob.argmax(0).numpy()):
            assert winner.label[y, x] == label
            assert float(winner.confidence[y, x]) == pytest.approx(float(certainty(prob, y, x)), abs=1e-3)
            lists[label].append(float(winner.confidence[y, x]))
    for label, values in enumerate(lists):
        count = math.floor(portion * len(values) + 1e-9)
        assert theta[label] == (sorted(values, reverse=True)[count - 1] if count else 1.0)
    for prob, winner in zip(predictions, winners, strict=True):
        expected = np.where(winner.confidence >= theta[winner.label], winner.label, 255)
        np.testing.assert_array_equal(policy.label(prob, winner, theta).label, expected)


def test_entropy_is_not_the_winning_probability():
    """Two pixels with the same winner: the one whose rest is spread out is less certain."""
    prob = torch.tensor([[0.6, 0.6], [0.4, 0.2], [0.0, 0.2]]).view(3, 1, 2)
    sure = certain_prediction(prob).confidence[0]
    assert sure[0] > sure[1] and len(set(winning_prediction(prob).confidence[0])) == 1
    assert certain_prediction(torch.tensor([1.0, 0, 0]).view(3, 1, 1)).confidence.item() == 1
    assert certain_prediction(torch.full((3, 1, 1), 1 / 3)).confidence.item() == pytest.approx(0, abs=1e-3)


def test_portion_grows_with_the_round():
    assert [build(round=k).portion for k in (1, 2, 3, 9)] == [0.2, 0.25, 0.3, 0.5]
    assert build().settings() == dict(type='ClassEntropyPolicy', portion=0.2, stride=4)
