# SPDX-License-Identifier: Apache-2.0
"""Temporal consistency on pictures whose motion is known."""
import math

import cv2
import numpy as np
import pytest
import torch

from udatools.datasets.flow_io import flow_path, write_flow
from udatools.evaluation import TemporalConsistencyMetric
from udatools.evaluation.temporal_consistency import consistency_confusion
from udatools.registry import METRICS

CLASSES = ['road', 'car', 'sky']
SHAPE = (24, 32)


def texture(seed=0):
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return cv2.resize(coarse, SHAPE[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def clip(tmp_path):
    """Three frames that move 2 pixels to the left a frame, numbered 0, 5, 10, their exact flow, and samples that move along."""
    picture = texture()
    label = np.random.default_rng(1).integers(0, 3, (6, 8)).repeat(4, 0).repeat(4, 1)
    samples = []
    for i, frame in enumerate((0, 5, 10)):
        path = tmp_path / f'{frame}.png'
        cv2.imwrite(str(path), np.roll(picture, -2 * i, axis=1))
        flow = np.zeros((2, *SHAPE), np.float32)
        flow[0] = 2  # the frame before shows it two pixels further right
        write_flow(flow_path(tmp_path / 'flow', f'a/{frame}', -5), flow)
        pred = torch.from_numpy(np.roll(label, -2 * i, axis=1))[None]
        samples.append(dict(pred_sem_seg=dict(data=pred), img_path=str(path), key=f'a/{frame}', clip='a', frame=frame))
    return tmp_path / 'flow', samples


def run(samples, flow, **kwargs):
    metric = TemporalConsistencyMetric(dict(name='own', classes=CLASSES), flow=flow, **kwargs)
    metric.dataset_meta = dict(classes=CLASSES)
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def precomputed(clip):
    return dict(type='PrecomputedFlow', root=str(clip[0]))


def test_a_prediction_that_moves_along_is_consistent(clip):
    result = run(clip[1], precomputed(clip))
    assert result['mTC'] == 100 and result['TC/car'] == 100
    assert result['TC_visible'] == pytest.approx(100 * 30 / 32)  # two columns come from outside
    still = [dict(one, pred_sem_seg=clip[1][0]['pred_sem_seg']) for one in clip[1]]
    assert run(still, precomputed(clip))['mTC'] < 90


def test_against_a_literal_loop(clip):
    rng = np.random.default_rng(2)
    noisy = [dict(one, pred_sem_seg=dict(data=torch.from_numpy(rng.integers(0, 3, (1, *SHAPE))))) for one in clip[1]]
    hits, sums = np.zeros(3), np.zeros(3)
    for before, after in zip(noisy, noisy[1:]):
        p, q = (one['pred_sem_seg']['data'][0].numpy() for one in (before, after))
        for y in range(SHAPE[0]):
            for x in range(SHAPE[1] - 2):
                hits[q[y, x]] += p[y, x + 2] == q[y, x]
                sums[q[y, x]] += 1
                sums[p[y, x + 2]] += 1
    result = run(noisy, precomputed(clip))
    assert [result[f'TC/{name}'] for name in CLASSES] == pytest.approx((100 * hits / (sums - hits)).tolist())


def test_changed_pixels_are_left_out():
    image = torch.zeros(3, 4, 4)
    before = image.clone()
    before[:, 0] = 0.5  # something else was there
    pred, previous = torch.zeros(4, 4, dtype=torch.long), torch.ones(4, 4, dtype=torch.long)
    flow = torch.zeros(2, 4, 4)
    flow[:, 3] = math.nan
    conf = consistency_confusion(pred, previous, flow, image, before, 2)
    assert conf.tolist() == [[0, 0], [8, 0]]  # rows of the map: 1 changed, 2 seen, 1 of unknown flow
    assert consistency_confusion(pred, previous, flow, image, before, 2, alpha=0.1).tolist() == [[0, 0], [12, 0]]


def test_dis_is_the_default_and_finds_the_motion(clip):
    result = run(clip[1], None)
    assert result['mTC'] > 90 and result['TC_visible'] > 60


def test_clips_are_not_compared_with_each_other(clip):
    other = [dict(one, clip='b') for one in clip[1][:1]]
    result = run([*clip[1], *other], precomputed(clip))
    assert result == run(clip[1], precomputed(clip))
    alone = run(clip[1][:1], precomputed(clip))
    assert math.isnan(alone['mTC']) and math.isnan(alone['TC_visible'])


def test_ranks_are_summed_and_split_clips_noticed(clip):
    metric = METRICS.build(dict(type='TemporalConsistencyMetric', protocol=dict(name='own', classes=CLASSES), prefix='val',
                                flow=precomputed(clip)))
    metric.dataset_meta = dict(classes=CLASSES)
    none = dict(frames=0, pairs=0, pixels=0, clips=set(), confusion=None)
    conf = torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    part = dict(frames=3, pairs=2, pixels=12, clips={'a'}, confusion=conf)
    found = metric.compute_metrics([part, none, dict(part, clips={'b'})])
    assert found['TC/road'] == pytest.approx(75) and found['TC_visible'] == pytest.approx(50)
    with pytest.raises(ValueError, match='6 frames of 1 clips make 5 pairs, but 4 were compared.*ClipSampler'):
        metric.compute_metrics([part, part])
    metric.process({}, clip[1])
    assert metric.evaluate(3)['val/mTC'] == 100


def test_errors(clip, tmp_path):
    flow, samples = precomputed(clip), clip[1]
    with pytest.raises(ValueError, match='frame 0 of clip .a. came after frame 5.*ClipSampler'):
        run([samples[1], samples[0]], flow)
    with pytest.raises(ValueError, match='came after frame 5'):
        run([samples[1], samples[1]], flow)
    with pytest.raises(FileNotFoundError, match='compute_flow'):
        run([samples[0], samples[2]], flow)
    with pytest.raises(ValueError, match='native resolution'):
        run([dict(samples[0], pred_sem_seg=dict(data=torch.zeros(1, 2, 2)))], flow)
    with pytest.raises(ValueError, match='comes without clip and frame'):
        run([{key: value for key, value in samples[0].items() if key != 'frame'}], flow)
    small = tmp_path / 'small.png'
    cv2.imwrite(str(small), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match='one size within a clip'):
        run([samples[0], dict(samples[1], img_path=str(small), pred_sem_seg=dict(data=torch.zeros(1, 4, 4)))], flow)
