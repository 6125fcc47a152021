# SPDX-License-Identifier: Apache-2.0
"""Simulated people: what each knob changes, by how much, and that nothing else depends on it."""
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.active import CostModel, GroundTruthOracle
from udatools.active.annotators.noise import HumanError, click, displace, majority_label, wrong_label
from udatools.active.ledger import LabelLedger

VOID, NONE = 254, 255
SIZE = (48, 64)


class Streets:
    """Three classes in blocks, void in a corner; image 'flat' has one class only."""

    def __init__(self):
        self.opened = []
        rng = np.random.default_rng(3)
        self.truth = {key: np.kron(rng.integers(0, 3, (6, 8)), np.ones((8, 8), int)).astype(np.uint8) for key in 'abc'}
        for truth in self.truth.values():
            truth[:8, :8] = 255
        self.truth['flat'] = np.full(SIZE, 1, np.uint8)

    def load_label(self, key):
        self.opened.append(key)
        return self.truth[key].copy()

    def label_path(self, key):
        return f'gt/{key}.png'


@pytest.fixture
def streets():
    return Streets()


def masks(keys='abc', share=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return {key: rng.random(SIZE) < share for key in keys}


def answers(oracle, request, keys=None):
    return list(oracle.answer(request, request.asked_keys() if keys is None else keys))


def as_dict(found):
    return {(a.key, a.annotator): (a.answer.tobytes(), a.points, a.clicks, a.components, a.seconds) for a in found}


@pytest.mark.parametrize('kind', ['segments', 'points'])
def test_without_knobs_it_answers_as_a_perfect_person_bit_for_bit(streets, make_request, kind):
    request = make_request(masks(), kind=kind)
    for answer in answers(GroundTruthOracle(streets), request):
        region, truth = request.regions(answer.key), streets.truth[answer.key]
        expected = np.full(SIZE, NONE, np.uint8)
        pairs = set()
        for y, x in np.argwhere(region > 0):
            expected[y, x] = VOID if truth[y, x] == 255 else truth[y, x]
            pairs.add((region[y, x], expected[y, x]))
        count = int((region > 0).sum())
        assert np.array_equal(answer.answer, expected) and answer.answer.dtype == np.uint8
        assert answer.clicks == len(pairs)
        assert answer.components == (count if kind == 'points' else int(region.max()))
        assert answer.points == (count if kind == 'points' else 0)
        assert answer.seconds == CostModel().seconds(kind, count, region.size)
        assert answer.annotator == 'oracle' and answer.tool == 'GroundTruthOracle'


def test_a_region_gets_its_majority_for_one_click(make_request):

    class Dataset:

        def load_label(self, key):
            return np.array([[0, 0, 1, 2], [1, 1, 255, 255], [2, 0, 1, 1]], np.uint8)

    from udatools.active.request import RequestItem, class_table, region_digest, write_mask, write_request
    region = np.array([[1, 1, 1, 2], [1, 4, 3, 3], [2, 4, 3, 0]], np.uint16)
    plain = make_request({'a': region > 0})
    root = plain.root.parent / 'regions'
    item = RequestItem('a', 'a.png', '', 3, 4, 11, 11, 4, write_mask(root, 'a', region), region_digest(region))
    header = {k: v for k, v in plain.header.items() if k not in ('request_id', 'schema_version', 'coordinates')}
    request = write_request(root, dict(header, kind='regions', classes=class_table('xyz', [(0, 0, 0)] * 3)), [item])
    answer, = answers(GroundTruthOracle(Dataset(), costs=dict(region_seconds=7.0), boundary_error=3.0), request)
    # 1: two of class 0, one each of 1 (pixels (0,2), (1,0)) -> tie of 0 and 1, the smaller; 2: class 2 alone;
    # 3: void twice, class 1 once; 4: classes 1 and 0 tie, the smaller.
    assert answer.answer.tolist() == [[0, 0, 0, 2], [0, 0, VOID, VOID], [2, 0, VOID, NONE]]
    assert (answer.clicks, answer.components, answer.points, answer.seconds) == (4, 4, 0, 28.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0, 1, 2, VOID])), min_size=1, max_size=30))
def test_majority_equals_counting(pixels):
    item, label = np.array([p[0] for p in pixels]), np.array([p[1] for p in pixels], np.uint8)
    named, inverse = majority_label(item, label)
    for i, number in enumerate(sorted(set(item.tolist()))):
        counts = {c: sum(1 for p in pixels if p == (number, c)) for c in (0, 1, 2, VOID)}
        assert named[i] == min(counts, key=lambda c: (-counts[c], c))
        assert (inverse[item == number] == i).all()


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.booleans())
def test_a_wrong_label_is_another_class_that_may_be_said(present, seed, with_void):
    rng = np.random.default_rng(seed)
    choices = np.array(sorted(present))
    label = rng.choice(choices, 200).astype(np.uint8)
    if with_void:
        label[::3] = VOID
    wrong = wrong_label(label, choices, 10, rng.random(200))
    void = label == VOID
    assert (wrong[void] == VOID).all() and (wrong[~void] != label[~void]).all()
    assert set(wrong[~void]) <= (present if len(present) > 1 else set(range(10)))


def test_wrong_labels_are_drawn_evenly_and_one_class_alone_cannot_be_wrong():
    draw = (np.arange(3000) + 0.5) / 3000
    wrong = wrong_label(np.full(3000, 4, np.uint8), np.array([1, 4, 6, 9]), 10, draw)
    assert np.bincount(wrong, minlength=10).tolist() == [0, 1000, 0, 0, 0, 0, 1000, 0, 0, 1000]
    assert wrong_label(np.zeros(3, np.uint8), np.array([0]), 1, np.zeros(3)).tolist() == [0, 0, 0]
    assert wrong_label(np.zeros(2, np.uint8), np.array([0, 1]), 2, np.array([0.0, np.nextafter(1, 0)])).tolist() == [1, 1]


@pytest.mark.parametrize('confusion', ['present', 'uniform'])
def test_label_noise_hits_its_share_of_clicks_and_leaves_void(streets, make_request, confusion):
    streets.truth = {'a': np.where(streets.truth['a'] == 2, 1, streets.truth['a']).astype(np.uint8)}  # classes 0 and 1
    request = make_request({'a': np.ones(SIZE, bool)}, kind='points')
    clean, = answers(GroundTruthOracle(streets), request)
    noisy, = answers(GroundTruthOracle(streets, label_noise=0.25, confusion=confusion), request)
    known, changed = clean.answer != VOID, clean.answer != noisy.answer
    assert not changed[~known].any()
    assert changed[known].mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / known.sum()))
    assert set(np.unique(noisy.answer[changed])) == ({0, 1} if confusion == 'present' else {0, 1, 2})
    assert (noisy.points, noisy.clicks, noisy.seconds) == (clean.points, clean.clicks, clean.seconds)


def test_a_wrong_click_covers_its_whole_class_in_the_segment(streets, make_request):
    request = make_request({'a': np.ones(SIZE, bool)})
    clean, = answers(GroundTruthOracle(streets), request)
    noisy, = answers(GroundTruthOracle(streets, label_noise=1.0), request)
    for label in (0, 1, 2):
        said = np.unique(noisy.answer[clean.answer == label])
        assert len(said) == 1 and said[0] not in (label, VOID)
    assert noisy.clicks == clean.clicks == 4


def test_skipped_clicks_cost_nothing_and_unsure_ones_cost_as_usual(streets, make_request):
    request = make_request({'a': np.ones(SIZE, bool)}, kind='points')
    skipping, = answers(GroundTruthOracle(streets, skip_rate=0.4), request)
    made = int((skipping.answer != NONE).sum())
    assert made / skipping.answer.size == pytest.approx(0.6, abs=0.04)
    assert skipping.points == skipping.clicks == skipping.components == made
    assert skipping.seconds == pytest.approx(CostModel().seconds('points', made, skipping.answer.size))
    clean, = answers(GroundTruthOracle(streets), request)
    unsure, = answers(GroundTruthOracle(streets, unsure_rate=0.4), request)
    assert (unsure.answer[clean.answer != VOID] == VOID).mean() == pytest.approx(0.4, abs=0.04)
    assert unsure.seconds == clean.seconds and unsure.clicks == clean.clicks
    assert not (unsure.answer == NONE).any()
    nothing, = answers(GroundTruthOracle(streets, skip_rate=1.0), request)
    assert (nothing.answer == NONE).all() and (nothing.clicks, nothing.components, nothing.seconds) == (0, 0, 0.0)


def test_knobs_do_not_disturb_each_other(streets, make_request):
    request = make_request({'a': np.ones(SIZE, bool)}, kind='points')
    both, = answers(GroundTruthOracle(streets, skip_rate=0.3, label_noise=0.3), request)
    skip, = answers(GroundTruthOracle(streets, skip_rate=0.3), request)
    noise, = answers(GroundTruthOracle(streets, label_noise=0.3), request)
    assert np.array_equal(both.answer == NONE, skip.answer == NONE)
    assert np.array_equal(both.answer[both.answer != NONE], noise.answer[both.answer != NONE])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.5, 1.0, 2.0, 3.7]), st.integers(0, 99))
def test_displaced_labels_come_from_within_the_radius(height, width, radius, seed):
    truth = np.arange(height * width, dtype=np.int64).reshape(height, width)
    moved = displace(truth, radius, np.random.default_rng(seed))
    y, x = np.mgrid[:height, :width]
    reach = round(radius)
    assert (abs(moved // width - y) <= reach).all() and (abs(moved % width - x) <= reach).all()
    assert moved.dtype == truth.dtype and np.array_equal(displace(truth, 0.0, np.random.default_rng(seed)), truth)


def test_a_drawn_boundary_is_a_line_and_not_speckle(streets, make_request):
    truth = np.zeros((96, 96), np.uint8)
    truth[:, 48:] = 1
    streets.truth = {'a': truth}
    request = make_request({'a': np.ones((96, 96), bool)})
    drawn, = answers(GroundTruthOracle(streets, boundary_error=4.0), request)
    wrong = drawn.answer != truth
    assert wrong.any() and not wrong[:, :44].any() and not wrong[:, 52:].any()
    # One step from left to right in nearly every row, and it moves little from row to row: a hand, not noise.
    crossings = (np.diff(drawn.answer.astype(int), axis=1) != 0).sum(1)
    edge = (drawn.answer == 0).sum(1)
    assert (crossings == 1).mean() > 0.95 and abs(np.diff(edge)).mean() < 0.4 and edge.std() > 0.8
    points = make_request({'a': np.ones((96, 96), bool)}, kind='points', name='points')
    seen, = answers(GroundTruthOracle(streets, boundary_error=4.0), points)
    assert np.array_equal(seen.answer, truth)


EVERYTHING = dict(label_noise=0.2, boundary_error=2.0, skip_rate=0.2, unsure_rate=0.1, time_spread=0.5)


@pytest.mark.parametrize('assignment', ['all', 'split'])
@pytest.mark.parametrize('kind', ['segments', 'points'])
def test_the_order_of_images_and_a_resume_change_nothing(streets, make_request, assignment, kind):
    request = make_request(masks(), kind=kind)
    make = lambda seed=0: GroundTruthOracle(streets, annotators=3, assignment=assignment, seed=seed, **EVERYTHING)  # noqa: E731
    whole = as_dict(answers(make(), request))
    assert set(whole) == {(key, f'oracle_{i}') for key in 'abc' for i in (1, 2, 3)}
    assert as_dict(answers(make(), request, ['c', 'a', 'b'])) == whole
    oracle, parts = make(), {}
    for key in 'bca':
        parts |= as_dict(answers(oracle, request, [key]))
    assert parts == whole
    other_seed = as_dict(answers(make(1), request))
    other_request = as_dict(answers(make(), make_request(masks(), round=2, kind=kind)))
    for different in (other_seed, other_request):
        assert all(different[who] != whole[who] for who in whole)
    assert len({whole['a', f'oracle_{i}'][0] for i in (1, 2, 3)}) == 3


@pytest.mark.parametrize('knob', [dict(label_noise=0.5), dict(boundary_error=3.0), dict(skip_rate=0.5), dict(unsure_rate=0.5),
                                  dict(time_spread=0.5), dict(annotators=2, assignment='split')], ids=lambda knob: [*knob][0])
def test_every_knob_draws_anew_for_another_seed_request_image_and_person(streets, make_request, knob):
    streets.truth['b'] = streets.truth['a']
    asked = {key: np.ones(SIZE, bool) for key in 'ab'}
    if 'boundary_error' not in knob:
        asked = {key: np.indices(SIZE).sum(0) % 9 == 0 for key in 'ab'}
    kind = 'segments' if 'boundary_error' in knob else 'points'
    draws = []
    for number, seed, name in ((1, 0, 'ana'), (2, 0, 'ana'), (1, 1, 'ana'), (1, 0, 'bo')):
        request = make_request(asked, round=number, kind=kind)
        found = list(as_dict(answers(GroundTruthOracle(streets, seed=seed, name=name, **knob), request)).values())
        draws += [tuple(found[:len(found) // 2]), tuple(found[len(found) // 2:])]
    if 'annotators' in knob:  # who gets what does not depend on their names
        assert draws[6:] == draws[:2]
        draws = draws[:6]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize('kind', ['segments', 'points'])
def test_split_work_is_done_once_by_somebody(streets, make_request, kind):
    request = make_request(masks('a', share=0.15), kind=kind)
    one, = answers(GroundTruthOracle(streets), request)
    shares = answers(GroundTruthOracle(streets, annotators=['ana', 'bo', 'Žoë'], assignment='split'), request)
    assert [a.annotator for a in shares] == ['ana', 'bo', 'Žoë']
    given_by = np.stack([a.answer != NONE for a in shares])
    assert np.array_equal(given_by.sum(0), one.answer != NONE)
    region = request.regions('a')
    for number in np.unique(region[region > 0]):
        assert sum(given_by[:, region == number].any(1)) == 1
    for a in shares:
        assert np.array_equal(a.answer[a.answer != NONE], one.answer[a.answer != NONE])
        assert 0.15 < a.components / one.components < 0.55
    for field in ('clicks', 'components', 'points'):
        assert sum(getattr(a, field) for a in shares) == getattr(one, field)
    assert sum(a.seconds for a in shares) == pytest.approx(one.seconds)


def test_everybody_answers_everything_and_a_label_is_opened_once(streets, make_request):
    request = make_request(masks('ab') | {'flat': np.zeros(SIZE, bool)})
    oracle = GroundTruthOracle(streets, annotators=2, name='team')
    assert oracle.names == ('team_1', 'team_2') and GroundTruthOracle(streets).names == ('oracle', )
    found = answers(oracle, request)
    assert streets.opened == ['a', 'b']
    assert np.array_equal(found[0].answer, found[1].answer) and found[0].annotator != found[1].annotator


def test_time_spread_keeps_the_mean(streets, make_request):
    request = make_request({'a': np.ones(SIZE, bool)}, kind='points')
    oracle = GroundTruthOracle(streets, annotators=2000, time_spread=0.5, costs=dict(point_seconds=1.0))
    oracle._build()
    region, truth = np.zeros(SIZE, np.uint16), streets.truth['a']
    region[0, 20] = 1
    seconds = np.array([oracle._answer(request, 'a', region, truth, name, None).seconds for name in oracle.names])
    assert np.log(seconds).std() == pytest.approx(0.5, abs=0.04) and seconds.mean() == pytest.approx(1.0, abs=0.05)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_clicks_by_a_slow_reference(data):
    count = data.draw(st.integers(1, 25))
    item = np.array(data.draw(st.lists(st.integers(1, 5), min_size=count, max_size=count)), np.int64)
    label = np.array(data.draw(st.lists(st.sampled_from([0, 1, 2, VOID]), min_size=count, max_size=count)), np.uint8)
    kind = data.draw(st.sampled_from(['segments', 'regions']))
    error = HumanError(skip_rate=data.draw(st.sampled_from([0.0, 0.5, 1.0])), unsure_rate=0.3)
    seed = data.draw(st.integers(0, 99))
    found = click(item, label, kind, 3, np.arange(3), error, np.random.default_rng(seed))
    pixels = list(zip(item.tolist(), label.tolist()))
    if kind == 'regions':
        units = sorted(set(item.tolist()))
        named = [min((0, 1, 2, VOID), key=lambda c: (-pixels.count((u, c)), c)) for u in units]
        unit_of = [units.index(i) for i, _ in pixels]
    else:
        units = sorted(set(pixels))
        named = [c for _, c in units]
        unit_of = [units.index(p) for p in pixels]
    skip, unsure = np.random.default_rng(seed).random((4, len(units)))[:2]
    said = [NONE if s < error.skip_rate else VOID if u < 0.3 else n for n, s, u in zip(named, skip, unsure)]
    assert found.said.tolist() == [said[u] for u in unit_of]
    made = [u for u, s in zip(units, said) if s != NONE]
    assert found.clicks == len(made)
    assert found.items == len({u if kind == 'regions' else u[0] for u in made})


@pytest.mark.parametrize('settings_, message', [
    (dict(label_noise=1.5), r'label_noise is 1\.5.*\[0, 1\]'), (dict(skip_rate=-0.1), 'skip_rate'),
    (dict(unsure_rate=float('nan')), 'unsure_rate'), (dict(boundary_error=-1), 'boundary_error'),
    (dict(time_spread=float('inf')), 'time_spread'), (dict(confusion='near'), "'near'.*present"),
    (dict(assignment='half'), "'half'.*split"), (dict(annotators=0), 'annotators is 0'),
    (dict(annotators=['a', 'a']), 'different names'), (dict(annotators=[]), 'different names')])
def test_values_out_of_range_are_refused(streets, settings_, message):
    with pytest.raises(ValueError, match=message):
        GroundTruthOracle(streets, **settings_)


def test_an_unknown_knob_is_refused(streets):
    with pytest.raises(TypeError, match='label_nose'):
        GroundTruthOracle(streets, label_nose=0.1)


@pytest.mark.parametrize('assignment', ['all', 'split'])
def test_a_round_with_people_who_err_ends_and_resumes_to_the_same_ledger(campaign, tmp_path, monkeypatch, assignment):
    monkeypatch.setattr('udatools.active.campaign.BATCH', 2)

    def make():
        return GroundTruthOracle(campaign.dataset, annotators=3, assignment=assignment, name='team',
                                 **(EVERYTHING | dict(skip_rate=0.6)))

    def interrupted(request, keys):
        yield from islice(make().answer(request, keys), 4)
        raise KeyboardInterrupt

    ledgers = []
    for name in ('whole', 'broken'):
        root = tmp_path / name
        if name == 'broken':
            oracle = make()
            oracle.answer = interrupted
            with pytest.raises(KeyboardInterrupt):
                campaign.ask(root, annotator=oracle)
            with LabelLedger(root / 'ledger.sqlite') as ledger:
                assert 0 < len(list(ledger.rows())) <= 4
        result = campaign.ask(root, annotator=make())
        assert result.unanswered == 0
        with LabelLedger(root / 'ledger.sqlite', read_only=True) as ledger:
            ledgers.append((ledger.content_digest(), ledger.spent()))
            assert ledger.annotators() == ['team_1', 'team_2', 'team_3']
            assert 0 < ledger.spent()['pixels'] < sum(item.asked for item in result.request.items)
    assert ledgers[0] == ledgers[1]
