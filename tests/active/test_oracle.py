# SPDX-License-Identifier: Apache-2.0
"""The oracle answers what was asked, nothing else, and opens no other file."""
import numpy as np
import pytest

from udatools.active import CostModel, GroundTruthOracle
from udatools.registry import ANNOTATORS


def test_answers_equal_the_truth_at_asked_pixels_only(campaign, make_request):
    truth = campaign.dataset.truth
    keys = list(truth)
    rng = np.random.default_rng(0)
    masks = {key: rng.random((12, 17)) < 0.2 for key in keys[:3]}
    masks[keys[1]][:] = False
    request = make_request(masks)
    answers = list(campaign.oracle.answer(request, request.asked_keys()))
    assert [answer.key for answer in answers] == [keys[0], keys[2]] == campaign.dataset.opened
    for answer in answers:
        asked, given = masks[answer.key], truth[answer.key]
        assert answer.answer.dtype == np.uint8 and (answer.answer[~asked] == 255).all()
        assert np.array_equal(answer.answer[asked], np.where(given == 255, 254, given)[asked])
        assert (answer.answer[asked] == 254).any()
        assert answer.points == 0
        assert answer.seconds == CostModel().seconds('segments', int(asked.sum()), asked.size)


def test_only_the_images_it_is_given_are_opened(campaign, make_request):
    keys = list(campaign.dataset.truth)
    request = make_request({key: np.ones((12, 17), bool) for key in keys})
    answers = campaign.oracle.answer(request, keys[:2])
    assert campaign.dataset.opened == []
    next(answers)
    assert campaign.dataset.opened == keys[:1]


def test_clicks_and_components_by_hand(make_request):

    class Dataset:

        def load_label(self, key):
            return np.array([[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 2]], np.uint8)

    asked = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], bool)
    answer, = GroundTruthOracle(Dataset()).answer(make_request({'a': asked}), ['a'])
    assert (answer.components, answer.clicks, answer.points) == (2, 3, 0)
    answer, = GroundTruthOracle(Dataset()).answer(make_request({'a': asked}, kind='points', name='p'), ['a'])
    assert (answer.components, answer.clicks, answer.points) == (3, 3, 3)
    assert answer.seconds == pytest.approx(3 * 75 / 40)


@pytest.mark.parametrize('label, message', [(np.zeros((2, 2), np.uint8), 'native size'),
                                            (np.full((3, 4), 7, np.uint8), r'0\.\.2'), (KeyError('b'), 'same images')])
def test_labels_that_do_not_fit_are_refused(make_request, label, message):

    class Dataset:

        def load_label(self, key):
            if isinstance(label, Exception):
                raise label
            return label

        def label_path(self, key):
            return 'gt/a.png'

    with pytest.raises(ValueError, match=message):
        list(GroundTruthOracle(Dataset()).answer(make_request({'a': np.ones((3, 4), bool)}), ['a']))


def test_an_unlabelled_data_set_is_refused_at_once():
    with pytest.raises(ValueError, match='labelled=True'):
        ANNOTATORS.build(dict(type='GroundTruthOracle', dataset=dict(type='CityscapesDomain', labelled=False)))


def test_costs_are_configurable(make_request, campaign):
    oracle = GroundTruthOracle(campaign.dataset, costs=dict(segment_seconds=2., segment_portion=1.0), name='bob')
    key = next(iter(campaign.dataset.truth))
    answer, = oracle.answer(make_request({key: np.ones((12, 17), bool)}), [key])
    assert answer.seconds == 2.0 and answer.annotator == 'bob'
