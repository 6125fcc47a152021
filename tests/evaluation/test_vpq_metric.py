# SPDX-License-Identifier: Apache-2.0
"""VPQ^s as a metric: the numbers of a literal evaluation, whatever the order and the number of ranks."""
import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from udatools.datasets.taxonomies import get_class_set
from udatools.evaluation import VPQMetric, get_protocol, vpq_metric
from udatools.registry import METRICS

CITYSCAPES = get_class_set('cityscapes19').classes
FRAMES = [('b', 5), ('a', 0), ('b', 0), ('a', 5), ('a', 10), ('c', 7), ('b', 20)]


def sample(clip, frame, pred, label):
    data = lambda value: dict(data=torch.as_tensor(np.asarray(value))[None])  # noqa: E731
    return dict(pred_sem_seg=data(pred), gt_sem_seg=data(label), img_path=f'{clip}/{frame}.png', clip=clip, frame=frame)


@pytest.fixture
def printed(monkeypatch):
    said = []
    monkeypatch.setattr(vpq_metric, 'print_log', lambda message, **kwargs: said.append(message))
    return said


def random_sample(clip, frame):
    rng = np.random.default_rng([ord(clip), frame])
    label = rng.choice([0, 1, 11, 12, 3, 255], (3, 4)).repeat(3, 0).repeat(3, 1)
    pred = np.where((label == 255) | (rng.random(label.shape) < 0.2), rng.integers(0, 19, label.shape), label)
    return sample(clip, frame, pred, label)


def run(samples, **kwargs):
    metric = VPQMetric(**kwargs)
    metric.dataset_meta = dict(classes=CITYSCAPES)
    for one in samples:
        metric.process({}, [one])
    return metric.evaluate(len(samples))


def literal(samples, protocol, lengths=(1, 2, 3, 4)):
    """VPQ^s of each length from sets of pixels of each reported class, clip by clip, frames by number."""
    members = [[CITYSCAPES.index(name) for name in names] for names in get_protocol(protocol).members.values()]
    known = [one for names in members for one in names]
    clips = {}
    for one in sorted(samples, key=lambda one: one['frame']):
        clips.setdefault(one['clip'], []).append((one['gt_sem_seg']['data'][0].numpy(), one['pred_sem_seg']['data'][0].numpy()))
    found = []
    for length in lengths:
        iou, weight = np.zeros(len(members)), np.zeros(len(members))
        for frames in clips.values():
            for start in range(len(frames) - length + 1):
                gt, pred = (np.stack([frame[i] for frame in frames[start:start + length]]) for i in (0, 1))
                void = ~np.isin(gt, known)
                for c, ids in enumerate(members):
                    g, p = np.isin(gt, ids), np.isin(pred, ids)
                    union = (g | (p & ~void)).sum()
                    if union and (g & p).sum() / union > 0.5:
                        iou[c] += (g & p).sum() / union
                        weight[c] += 1
                    else:
                        weight[c] += 0.5 * g.any() + 0.5 * (p.any() and (p & void).sum() <= p.sum() / 2)
        found.append(100 * np.mean(iou[weight > 0] / weight[weight > 0]))
    return found


@pytest.mark.parametrize('protocol', ['cityscapes19', 'viper15', 'synthia13'])
def test_against_sets_of_pixels(protocol):
    samples = [random_sample(*one) for one in FRAMES]
    result = run(samples, protocol=protocol, windows=(1, 2, 3))
    expected = literal(samples, protocol, (1, 2, 3))
    assert [result[f'VPQs_{k}'] for k in (1, 2, 3)] == pytest.approx(expected)
    assert result['VPQs'] == pytest.approx(np.mean(expected))
    assert {key[len('PQs/'):] for key in result if key.startswith('PQs/')} == set(get_protocol(protocol).classes)


def test_missing_frames_are_said(printed):
    metric = VPQMetric()
    metric.dataset_meta = dict(classes=CITYSCAPES)
    metric.process({}, [random_sample('a', 0)])
    metric.evaluate(2)
    assert 'scored 1 frames of a data set of 2' in printed[0]


def test_order_changes_nothing():
    samples = [random_sample(*one) for one in FRAMES]
    first, other = run(samples), run(samples[::-1])
    assert list(first) == list(other)
    np.testing.assert_array_equal(list(first.values()), list(other.values()))  # bit by bit


def test_merged_classes_are_one_segment():
    person, rider = 11, 12
    label = np.array([[person, rider, rider, 0]])
    one = sample('a', 0, [[rider, person, rider, 0]], label)
    merged = dict(name='own', classes=['road', 'person'])
    assert run([one], protocol='cityscapes19')['PQs/person'] == 0
    assert get_protocol('davsn15').members['person'] == ('person', 'rider')
    assert run([one], protocol='davsn15')['PQs/person'] == 100
    assert run([one], protocol=merged)['PQs/person'] == 0  # the rider is void here, and predicts nothing


def test_a_clip_that_is_too_short_is_said(printed):
    result = run([random_sample('a', 0), random_sample('a', 1)])
    assert not math.isnan(result['VPQs_2']) and math.isnan(result['VPQs_3'])
    assert result['VPQs'] == pytest.approx((result['VPQs_1'] + result['VPQs_2']) / 2)
    assert 'no clip has enough labelled frames for windows of 3, 4' in printed[0]
    assert math.isnan(run([])['VPQs'])


def test_table_and_prefix(printed):
    metric = METRICS.build(dict(type='VPQMetric', protocol='viper15', prefix='val'))
    metric.dataset_meta = dict(classes=CITYSCAPES)
    metric.process({}, [random_sample(*one) for one in FRAMES])
    result = metric.evaluate(len(FRAMES))
    assert list(result)[:5] == ['val/VPQs', *(f'val/VPQs_{k}' for k in (1, 2, 3, 4))]
    assert 'VPQs, protocol viper15, 3 clips, 7 labelled frames, percent' in printed[0]
    metric.process({}, [sample('a', 0, [[0]], [[0]])])
    assert metric.evaluate(1)['val/VPQs'] == 100  # nothing is left of the evaluation before


def test_errors():
    one = random_sample('a', 0)
    with pytest.raises(ValueError, match="frame 0 of clip 'a' was scored twice.*round_up=False"):
        run([one, one])
    with pytest.raises(ValueError, match='comes without clip and frame.*meta_keys'):
        run([{key: value for key, value in one.items() if key != 'clip'}])
    with pytest.raises(ValueError, match='a/0.png comes without ground truth'):
        run([{key: value for key, value in one.items() if key != 'gt_sem_seg'}])
    with pytest.raises(ValueError, match=r'cannot score a/0.png.*\(1, 2\) and \(1, 1\)'):
        run([sample('a', 0, [[0]], [[0, 0]])])
    with pytest.raises(ValueError, match='cannot score a/0.png: prediction: ids 255'):
        run([sample('a', 0, [[255]], [[255]])])
    with pytest.raises(ValueError, match='ground truth: ids 19'):
        run([sample('a', 0, [[0]], [[19]])])
    with pytest.raises(ValueError, match='no dataset_meta'):
        VPQMetric().process({}, [one])
    with pytest.raises(ValueError, match='windows'):
        VPQMetric(windows=(0, ))
    with pytest.raises(ValueError, match='lacks'):
        VPQMetric('cityscapes19').dataset_meta = dict(classes=['road'])


def worker(rank, folder):
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=2)
    torch.save([run_share(FRAMES[rank::2], len(FRAMES)), run_share(FRAMES[:1][rank:], 1)], f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def run_share(share, size):
    metric = VPQMetric('viper15')
    metric.dataset_meta = dict(classes=CITYSCAPES)
    metric.process({}, [random_sample(*one) for one in share])
    return metric.evaluate(size)


@pytest.mark.distributed
def test_two_ranks_equal_one(tmp_path):
    mp.spawn(worker, args=(str(tmp_path), ), nprocs=2)
    expected = [run_share(FRAMES, len(FRAMES)), run_share(FRAMES[:1], 1)]  # the second rank has no frame
    for rank in range(2):
        for found, right in zip(torch.load(tmp_path / f'{rank}.pth', weights_only=False), expected):
            assert list(found) == list(right)
            np.testing.assert_array_equal(list(found.values()), list(right.values()))
