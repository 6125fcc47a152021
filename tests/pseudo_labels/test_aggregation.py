# SPDX-License-Identifier: Apache-2.0
"""Temporally aggregated predictions (Eq. 10) against a literal loop, and what is predicted when."""
import math

import numpy as np
import pytest
import torch

from udatools.datasets.flow_io import flow_path, write_flow
from udatools.models.flow import FlowEstimator
from udatools.pseudo_labels import (
    AggregatedPredictor,
    ClassBalancedPolicy,
    ClipAdaptivePolicy,
    FramePosition,
    PseudoLabelStore,
    generate_pseudo_labels,
)
from udatools.pseudo_labels.aggregation import aggregate
from udatools.registry import FLOW_ESTIMATORS

ALPHA = 3.0
SIZE = (9, 11)
#: Frames 3, 4, 5 and 7 of clip a (6 is missing), and 0, 1, 2 of clip b.
POSITIONS = [FramePosition('a', 3), FramePosition('a', 4), FramePosition('a', 5), FramePosition('a', 7),
             *(FramePosition('b', i) for i in range(3))]
CLIPS = {'a': [0, 1, 2, 3], 'b': [4, 5, 6]}


class Frames:
    """Seven frames that resemble each other, with noise."""

    def __init__(self, keys):
        self.keys = keys
        rng = np.random.default_rng(0)
        base = rng.integers(0, 256, (3, *SIZE))
        self.images = [np.clip(base + rng.integers(-30, 31, base.shape), 0, 255).astype(np.uint8) for _ in keys]

    def native_image(self, index):
        return torch.from_numpy(self.images[index])


@pytest.fixture
def frames(keys):
    return Frames(keys)


@pytest.fixture
def flow_root(tmp_path, keys):
    """Flow of up to one pixel, in 64ths as the files hold it, unknown at a tenth of the pixels."""
    rng = np.random.default_rng(1)
    for key in keys:
        for offset in (-1, 1):
            flow = (rng.integers(-64, 65, (2, *SIZE)) / 64).astype(np.float32)
            write_flow(flow_path(tmp_path / 'flow', key, offset), flow, rng.random(SIZE) < 0.9)
    return tmp_path / 'flow'


def consistent(back, known, flow, x, y):
    """The rule of Sundaram et al. at a position between pixels, which must be known."""
    left, top = math.floor(x), math.floor(y)
    shares = {(yy, xx): (1 - abs(y - yy)) * (1 - abs(x - xx)) for yy in (top, top + 1) for xx in (left, left + 1)}
    shares = {at: share for at, share in shares.items() if share}
    if sum(share for at, share in shares.items() if not known[at]) >= 1e-3:
        return False
    returned = sum(share * back[(slice(None), *at)].astype(float) for at, share in shares.items())
    return ((flow + returned)**2).sum() < 0.01 * ((flow**2).sum() + (returned**2).sum()) + 0.5


def literal(index, predictions, frames, flow_root, visibility='photometric'):
    """Eq. 10 pixel by pixel, and how many neighbours were averaged in."""
    from udatools.datasets.flow_io import read_flow
    prob = predictions[index].double().numpy()
    out, count = prob.copy(), np.ones(SIZE)
    for offset in (-1, 1):
        at = FramePosition(POSITIONS[index].clip, POSITIONS[index].frame + offset)
        if at not in POSITIONS:
            continue
        j = POSITIONS.index(at)
        flow, known = read_flow(flow_path(flow_root, frames.keys[index], offset))
        back = read_flow(flow_path(flow_root, frames.keys[j], -offset))
        both = np.concatenate([predictions[j].double().numpy(), frames.images[j] / 255])
        for y, x in np.ndindex(*SIZE):
            px, py = x + float(flow[0, y, x]), y + float(flow[1, y, x])
            if not known[y, x] or not (0 <= px <= SIZE[1] - 1 and 0 <= py <= SIZE[0] - 1):
                continue
            left, top = math.floor(px), math.floor(py)
            value = np.zeros(len(both))
            for yy in (top, top + 1):
                for xx in (left, left + 1):
                    share = (1 - abs(py - yy)) * (1 - abs(px - xx))
                    if share:
                        value += share * both[:, yy, xx]
            if visibility == 'forward_backward':
                visible = consistent(*back, flow[:, y, x].astype(float), px, py)
            else:
                visible = math.exp(-ALPHA * np.linalg.norm(frames.images[index][:, y, x] / 255 - value[-3:])) > 0.7
            if visible:
                out[:, y, x] += value[:-3]
                count[y, x] += 1
    return out / count, count


def build(predictor, frames, flow_root, **kwargs):
    return AggregatedPredictor(predictor, frames, POSITIONS, flow=dict(type='PrecomputedFlow', root=str(flow_root)), alpha=ALPHA,
                               **kwargs)


@pytest.mark.parametrize('visibility', ['photometric', 'forward_backward'])
def test_equals_the_literal_loop(predictor, predictions, frames, flow_root, visibility):
    aggregated, averaged = build(predictor, frames, flow_root, visibility=visibility), set()
    for index in range(7):
        prob = aggregated.expand(aggregated.infer(index))
        expected, count = literal(index, predictions, frames, flow_root, visibility)
        np.testing.assert_allclose(prob.numpy(), expected, atol=2e-5)
        np.testing.assert_allclose(prob.sum(0).numpy(), 1, atol=1e-5)
        averaged |= set(count.ravel())
    assert averaged == {1, 2, 3}
    assert torch.equal(aggregated.expand(aggregated.infer(3)), predictions[3]), 'a frame alone between gaps'


def test_by_hand():
    """Two neighbours, one of them occluded: (0.6 + 0.2) / 2."""
    prob, first, second = (torch.tensor([value, 1 - value]).reshape(2, 1, 1) for value in (0.6, 0.2, 0.9))
    seen, hidden = torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool)
    result = aggregate(prob, [(first, seen), (second, hidden)])
    torch.testing.assert_close(result.flatten(), torch.tensor([0.4, 0.6]))
    torch.testing.assert_close(prob.flatten(), torch.tensor([0.6, 0.4]))  # left as it was
    assert aggregate(prob, []) is prob


def test_each_frame_is_predicted_once(tmp_path, predictor, frames, flow_root):
    aggregated, store = build(predictor, frames, flow_root), PseudoLabelStore(tmp_path / 'out')
    generate_pseudo_labels(aggregated, frames.keys, ClipAdaptivePolicy(), store, 4, clips=CLIPS)
    assert sorted(predictor.inferred) == list(range(7))
    assert sorted(predictor.expanded) == list(range(7))  # and is brought to native resolution once


def test_distant_neighbours_are_kept_until_they_are_needed(predictor, frames, keys):
    positions = [FramePosition('a', i) for i in range(7)]
    flow = dict(type='PrecomputedFlow', root='flow')
    aggregated = AggregatedPredictor(predictor, frames, positions, flow=flow, offsets=(-3, 3))
    windows = [aggregated.infer(i) for i in range(7)]
    assert sorted(predictor.inferred) == list(range(7))
    assert [[position for position, *_ in window.neighbours] for window in windows] == [[3], [4], [5], [0, 6], [1], [2], [3]]


@pytest.mark.distributed
@pytest.mark.parametrize('policy', [ClipAdaptivePolicy, ClassBalancedPolicy])
def test_files_do_not_depend_on_the_number_of_ranks(tmp_path, predictor, frames, flow_root, tree, run_ranks, policy):

    def generate(name):
        generate_pseudo_labels(build(predictor, frames, flow_root), frames.keys, policy(), PseudoLabelStore(tmp_path / name), 4,
                               clips=CLIPS)

    generate('one')
    results = run_ranks(lambda rank: generate('many'), 2)
    assert [error for _, error in results] == [None, None]
    assert tree(tmp_path / 'one') == tree(tmp_path / 'many')


def test_any_estimator_will_do(predictor, predictions, frames):
    with_names = []

    class Still(FlowEstimator):

        def estimate(self, image, reference):
            assert image.dtype == torch.uint8 and image.shape == (1, 3, *SIZE)
            with_names.append(next(i for i, one in enumerate(frames.images) if np.array_equal(one, reference[0].numpy())))
            flow = torch.zeros(1, 2, *SIZE)
            flow[..., 0, 0] = float('nan')
            return flow

    FLOW_ESTIMATORS.register_module(module=Still, name='StillOfATest', force=True)
    aggregated = AggregatedPredictor(predictor, frames, POSITIONS, flow=dict(type='StillOfATest'), alpha=1e-6)
    prob = aggregated.expand(aggregated.infer(1))
    expected = (predictions[0] + predictions[1] + predictions[2]) / 3
    expected[:, 0, 0] = predictions[1][:, 0, 0]
    torch.testing.assert_close(prob, expected)
    assert with_names == [0, 2]


def test_settings_follow_the_files_not_their_folder(predictor, frames, flow_root, tmp_path, keys):
    before = build(predictor, frames, flow_root).settings()
    assert str(tmp_path) not in str(before)
    assert build(predictor, frames, flow_root, threshold=0.8).settings() != before
    flow_root.rename(tmp_path / 'moved')
    assert build(predictor, frames, tmp_path / 'moved').settings() == before
    write_flow(flow_path(tmp_path / 'moved', keys[1], 1), np.zeros((2, *SIZE), np.float32))
    assert build(predictor, frames, tmp_path / 'moved').settings() != before


def test_settings_know_flow_of_the_same_size(predictor, frames, tmp_path, keys):
    """Constant flow to the right and to the left, two folders of files of the same sizes."""
    for name, value in (('right', 1), ('left', -1)):
        for key in keys:
            for offset in (-1, 1):
                write_flow(flow_path(tmp_path / name, key, offset), np.full((2, *SIZE), value, np.float32))
    sizes = [sorted(path.stat().st_size for path in (tmp_path / name).rglob('*.png')) for name in ('right', 'left')]
    assert sizes[0] == sizes[1]
    settings = [build(predictor, frames, tmp_path / name).settings() for name in ('right', 'left')]
    assert settings[0] != settings[1]


def test_settings_follow_the_flow_back_where_it_is_read(predictor, frames, flow_root, keys):
    """Offset -1 alone: only forward-backward consistency reads the files of +1."""
    arguments = [dict(offsets=(-1, ), visibility=visibility) for visibility in ('photometric', 'forward_backward')]
    before = [build(predictor, frames, flow_root, **one).settings() for one in arguments]
    write_flow(flow_path(flow_root, keys[0], 1), np.zeros((2, *SIZE), np.float32))
    after = [build(predictor, frames, flow_root, **one).settings() for one in arguments]
    assert before[0] == after[0] and before[1] != after[1]
    flow_path(flow_root, keys[0], 1).unlink()
    aggregated = build(predictor, frames, flow_root, **arguments[1])
    with pytest.raises(FileNotFoundError, match=r'\+1/.*frame_0\.png does not exist'):
        aggregated.expand(aggregated.infer(1))


def test_missing_and_wrong_flow_is_named(predictor, frames, flow_root, keys):
    path = flow_path(flow_root, keys[1], 1)
    aggregated = build(predictor, frames, flow_root)
    write_flow(path, np.zeros((2, 4, 4), np.float32))
    with pytest.raises(ValueError, match=r'frame_1\.png is 4x4, but the frame 11x9'):
        aggregated.expand(aggregated.infer(1))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r'frame_1\.png'):
        aggregated.expand(aggregated.infer(1))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r'frame_1\.png does not exist.*tools/compute_flow\.py'):
        aggregated.expand(aggregated.infer(1))


@pytest.mark.parametrize(('change', 'message'), [
    (dict(offsets=()), r'offsets is \[\]; expected one or more'),
    (dict(offsets=(0, 1)), 'not 0'),
    (dict(offsets=(1, 1)), 'each once'),
    (dict(positions=POSITIONS[1:]), '6 positions for 7 images'),
    (dict(visibility='both'), "visibility is 'both'; expected one of photometric, forward_backward"),
    (dict(flow=dict(type='DISFlow', root='flow')), 'flow has root, which DISFlow does not take .it takes preset.*_delete_=True'),
    (dict(flow=dict(root='flow')), 'expected the config of an estimator'),
])
def test_bad_arguments_are_named(predictor, frames, change, message):
    with pytest.raises(ValueError, match=message):
        AggregatedPredictor(**{'predictor': predictor, 'images': frames, 'positions': POSITIONS,
                               'flow': dict(type='PrecomputedFlow', root='flow'), **change})
