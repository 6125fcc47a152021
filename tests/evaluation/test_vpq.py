# SPDX-License-Identifier: Apache-2.0
"""VPQ against values by hand and against a literal evaluation, window by window and mask by mask."""
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_vpq import literal_vpq

from udatools.evaluation.vpq import (
    ClipScorer,
    Segments,
    VPQStats,
    count_frame,
    count_pairs,
    format_vpq_table,
    score_window,
    semantic_segments,
    summarise_vpq,
)


def segments(table):
    """``{id: (class, crowd)}`` with void."""
    rows = sorted([(0, 0, -1, False)] + [(number, number, *value) for number, value in table.items()])
    columns = [np.array(column, dtype=np.int64) for column in zip(*rows)]
    return Segments(columns[0], columns[1], columns[2], columns[3].astype(bool))


def score(gt, pred, gt_tables, pred_tables, classes, windows=(1, 2, 3, 4)):
    scorer = ClipScorer(classes, windows)
    for g, p, g_table, p_table in zip(gt, pred, gt_tables, pred_tables):
        scorer.add(count_frame(g, p, segments(g_table), segments(p_table)))
    return scorer.stats


def random_clip(seed, frames, noise, void, jump):
    """Blocks of ids that move, with void, crowds, ids that come and go, an empty class (4), and ids that change class."""
    rng = np.random.default_rng(seed)
    base = {number: (int(rng.integers(0, 4)), bool(rng.random() < 0.3)) for number in range(1, 8)}
    guess = {number: base[number][0] if rng.random() < 0.8 else int(rng.integers(0, 4)) for number in base}
    pattern = rng.integers(0, 8, (3, 6)).repeat(2, 0).repeat(2, 1)
    gt, pred, gt_tables, pred_tables = [], [], [], []
    for i in range(frames):
        g = np.roll(pattern, i, axis=1).copy()
        g[np.isin(g, rng.integers(1, 8, 2))] = rng.integers(0, 8) if rng.random() < 0.3 else 0  # some vanish for a frame
        p = np.where(rng.random(g.shape) < noise, rng.integers(0, 8, g.shape), np.roll(pattern, i, axis=1))
        g[rng.random(g.shape) < void] = 0
        gt.append(g)
        pred.append(p)
        gt_tables.append(base)
        pred_tables.append({number: (int(rng.integers(0, 4)) if rng.random() < jump else cls, False)
                            for number, cls in guess.items()})
    return gt, pred, gt_tables, pred_tables


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([0.0, 0.2, 0.5]), st.sampled_from([0.0, 0.3, 0.7]),
       st.sampled_from([0.0, 0.2]))
def test_exact_against_the_literal_evaluation(seed, frames, noise, void, jump):
    clip = random_clip(seed, frames, noise, void, jump)
    stats = score(*clip, classes=5)
    expected = literal_vpq(*clip, classes=5, windows=(1, 2, 3, 4))
    for w, (iou, tp, fp, fn) in enumerate(expected):
        assert stats.tp[w].tolist() == tp and stats.fp[w].tolist() == fp and stats.fn[w].tolist() == fn
        assert stats.iou[w] == pytest.approx(iou, abs=1e-12)
    assert stats.scored.tolist() == [max(0, frames - k + 1) for k in (1, 2, 3, 4)]
    assert math.isnan(stats.pq()[0, 4])


def test_the_literal_cases_occur():
    """The clips above would be worth little if they held no crowd, no void and no match."""
    totals = np.zeros(4)
    for seed in range(8):
        for row in literal_vpq(*random_clip(seed, 5, 0.2, 0.3, 0.2), classes=5, windows=(1, 4)):
            totals += [sum(part) for part in row]
    assert (totals > 5).all()


def by_hand(gt, pred, gt_table, pred_table):
    maps = [np.array([row]) for row in (gt, pred)]
    return score_window([count_frame(*maps, segments(gt_table), segments(pred_table))], 2)


def test_matching_by_hand():
    # gt 1 1 1 2 2 0, pred 1 1 2 2 2 2: tube 1: 2 / 3; tube 2: both 2, union 4 + 2 - 2 - 1 (void) = 3, so 2 / 3
    found = by_hand([1, 1, 1, 2, 2, 0], [1, 1, 2, 2, 2, 2], {1: (0, False), 2: (1, False)}, {1: (0, False), 2: (1, False)})
    assert found.iou.tolist() == [2 / 3, 2 / 3] and found.tp.tolist() == [1, 1] and found.fp.sum() == found.fn.sum() == 0


def test_one_half_is_no_match():
    found = by_hand([1, 1, 2, 2], [1, 2, 2, 2], {1: (0, False), 2: (1, False)}, {1: (0, False), 2: (1, False)})
    assert found.tp.tolist() == [0, 1] and found.fn.tolist() == [1, 0] and found.fp.tolist() == [1, 0]


def test_void_and_crowd_excuse_more_than_half():
    crowd = {1: (0, True), 2: (1, False)}
    one = {3: (0, False)}
    assert by_hand([0, 0, 2], [3, 3, 3], crowd, one).fp.tolist() == [0, 0]  # two thirds void
    assert by_hand([1, 0, 2], [3, 3, 3], crowd, one).fp.tolist() == [0, 0]  # void and crowd together
    assert by_hand([1, 2, 2, 0], [3, 3, 3, 3], crowd, one).fp.tolist() == [1, 0]  # half is not more than half
    assert by_hand([1, 1, 2], [3, 3, 3], crowd, {3: (1, False)}).fp.tolist() == [0, 1]  # a crowd of another class
    assert by_hand([1, 1, 2], [0, 0, 0], crowd, one).fn.tolist() == [0, 1]  # a crowd is never missed


def test_a_tube_lives_through_the_window():
    # The prediction swaps the ids of two cars in the second frame: perfect frame by frame, wrong as tubes.
    gt = [np.array([[1, 1, 2, 2]])] * 2
    swapped = [gt[0], 3 - gt[0]]
    table = {1: (0, False), 2: (0, False)}
    stats = score(gt, swapped, [table] * 2, [table] * 2, 1, (1, 2))
    assert stats.pq()[:, 0].tolist() == [1.0, 0.0]
    assert stats.fp[1, 0] == stats.fn[1, 0] == 2 and stats.scored.tolist() == [2, 1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 5))
def test_pairs_are_counted_literally(seed, size, values):
    first, second = np.random.default_rng(seed).integers(0, values, (2, 1, size)) * 70000
    expected = {}
    for pair in zip(first.ravel().tolist(), second.ravel().tolist()):
        expected[pair] = expected.get(pair, 0) + 1
    a, b, pixels = count_pairs(first.astype(np.uint32), second)
    assert list(zip(zip(a.tolist(), b.tolist()), pixels.tolist())) == sorted(expected.items())
    assert pixels.dtype == np.int64


def literal_vpqs(gt, pred, classes, length):
    """VPQ^s of one length from the sets of pixels of each class; labels 0..C-1, 255 = void."""
    iou, weight = np.zeros(classes), np.zeros(classes)
    for start in range(len(gt) - length + 1):
        g_all, p_all = np.stack(gt[start:start + length]), np.stack(pred[start:start + length])
        for c in range(classes):
            g, p, void = g_all == c, p_all == c, g_all == 255
            inter, union = (g & p).sum(), (g | (p & ~void)).sum()
            if union and inter / union > 0.5:
                iou[c] += inter / union
                weight[c] += 1
            else:
                weight[c] += 0.5 * g.any() + 0.5 * (p.any() and (p & void).sum() <= 0.5 * p.sum())
    return iou, weight


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 5), st.sampled_from([0.1, 0.4]))
def test_vpqs_against_sets_of_pixels(seed, frames, noise):
    rng = np.random.default_rng(seed)
    gt = list(rng.choice([0, 1, 2, 255], (frames, 2, 3)).repeat(2, 1).repeat(2, 2))
    pred = [np.where((g == 255) | (rng.random(g.shape) < noise), rng.integers(0, 4, g.shape), g) for g in gt]
    truth, guess = semantic_segments(range(4), 4), semantic_segments(range(4), 4, void=None)
    scorer = ClipScorer(4, (1, 3))
    for g, p in zip(gt, pred):
        scorer.add(count_frame(g, p, truth, guess))
    for w, length in enumerate((1, 3)):
        iou, weight = literal_vpqs(gt, pred, 4, length)
        assert scorer.stats.iou[w] == pytest.approx(iou)
        expected = np.divide(iou, weight, where=weight > 0, out=np.full(4, np.nan))
        assert scorer.stats.pq()[w] == pytest.approx(expected, nan_ok=True)


def test_what_is_not_reported_is_void_or_nothing():
    both = semantic_segments([0, 2, 1], 2)  # the second of three classes is not reported
    counts = count_frame(np.array([[0, 0, 1, 2, 255]]), np.array([[0, 1, 0, 0, 0]]), both, both)
    found = score_window([counts], 2)
    # class 0: |g| = 2, |p| = 4 of which 2 void, 1 shared: union 4 + 2 - 1 - 2 = 3; no match; 2 of 4 are void: false positive
    assert found.tp.tolist() == [0, 0] and found.fn.tolist() == [1, 1] and found.fp.tolist() == [1, 0]


def test_merging_does_not_depend_on_grouping():
    clips = [score(*random_clip(seed, 4, 0.2, 0.1, 0.0), classes=5) for seed in range(3)]
    left, right = (clips[0] + clips[1]) + clips[2], clips[0] + (clips[1] + clips[2])
    assert (left.tp == right.tp).all() and left.iou == pytest.approx(right.iou)
    assert left.clips == 3 and left.frames == 12 and left.scored.tolist() == [12, 9, 6, 3]
    assert (VPQStats.empty(5) + clips[0]).iou.tolist() == clips[0].iou.tolist()
    with pytest.raises(ValueError, match='cannot merge statistics of windows'):
        clips[0] + VPQStats.empty(5, (1, ))


def make_stats():
    stats = VPQStats.empty(3, (1, 2))
    stats.iou[:] = [[1.6, 0, 0], [0.8, 0, 0]]
    stats.tp[:] = [[2, 0, 0], [1, 0, 0]]
    stats.fp[:] = [[1, 1, 0], [0, 0, 0]]
    stats.fn[:] = [[1, 0, 0], [0, 0, 0]]
    stats.scored[:], stats.frames = [2, 1], 2
    return stats


def test_summary_by_hand():
    result = summarise_vpq(make_stats(), ['car', 'bus', 'sky'], things=[True, True, False])
    first = 100 * 1.6 / 3
    assert result['VPQ_1'] == pytest.approx(first / 2) and result['VPQ_2'] == pytest.approx(80)  # no bus in the second
    assert result['VPQ'] == pytest.approx((first / 2 + 80) / 2) == result['VPQ_things']
    assert result['PQ/car'] == pytest.approx((first + 80) / 2) and result['PQ/bus'] == 0
    assert math.isnan(result['PQ/sky']) and math.isnan(result['VPQ_stuff'])
    assert list(summarise_vpq(make_stats(), ['car', 'bus', 'sky'], 'VPQs'))[:4] == ['VPQs', 'VPQs_1', 'VPQs_2', 'PQs/car']


def test_table_says_what_is_left_out():
    table = format_vpq_table(make_stats(), ['car', 'bus', 'sky'], 'title', 'VPQs')
    assert 'car     66.67   53.33   80.00' in table and 'mean    53.33   26.67   80.00' in table
    assert 'left out of the mean: sky' in table and 'enough labelled frames' not in table
    stats = make_stats()
    stats.scored[1] = 0
    assert 'no clip has enough labelled frames for windows of 2' in format_vpq_table(stats, ['car', 'bus', 'sky'], 'title')


def test_errors():
    table = segments({1: (0, False)})
    good = np.ones((2, 3), dtype=np.int64)
    with pytest.raises(ValueError, match=r'shapes \(2, 3\) and \(3, 2\).*native resolution'):
        count_frame(good, good.T, table, table)
    with pytest.raises(ValueError, match='prediction: ids 7, 8 are in the label map, but not among the 2'):
        count_frame(good, np.array([[1, 7, 8]] * 2), table, table)
    with pytest.raises(ValueError, match='ground truth: ids 9 are'):
        count_frame(good * 9, good, table, table)
    for windows in ((), (0, ), (1, 1)):
        with pytest.raises(ValueError, match='expected different numbers of labelled frames'):
            ClipScorer(2, windows)
