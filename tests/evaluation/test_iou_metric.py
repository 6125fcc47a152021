# SPDX-License-Identifier: Apache-2.0
"""IoU against hand-worked values and a literal slow reference."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.datasets.taxonomies import get_class_set
from udatools.evaluation import ProtocolIoUMetric, confusion_matrix, get_protocol, iou_from_confusion
from udatools.evaluation.iou import apply_protocol, format_table, summarise
from udatools.registry import METRICS

CITYSCAPES = list(get_class_set('cityscapes19').classes)


def samples(pred, label):
    return dict(
        pred_sem_seg=dict(data=torch.as_tensor(pred)[None]), gt_sem_seg=dict(data=torch.as_tensor(label)[None]),
        img_path='a.png')


def run(pairs, classes=CITYSCAPES, **kwargs):
    metric = ProtocolIoUMetric(**kwargs)
    metric.dataset_meta = dict(classes=classes)
    for pred, label in pairs:
        metric.process({}, [samples(pred, label)])
    return metric.evaluate(len(pairs))


def reference(pairs, members, classes, outside):
    """IoU of each reported class by sets of pixels."""
    out = {}
    reported = {name for names in members.values() for name in names}
    for name, names in members.items():
        ids = [classes.index(n) for n in names if n in classes]
        intersection = union = 0
        for pred, label in pairs:
            for p, g in zip(np.ravel(pred).tolist(), np.ravel(label).tolist()):
                if g == 255 or (outside == 'ignore' and classes[g] not in reported):
                    continue
                intersection += p in ids and g in ids
                union += p in ids or g in ids
        out[name] = 100 * intersection / union if union else math.nan
    return out


def test_hand_values():
    # labels     0 0 1 1 2 255      IoU 0: hits 1 of {0,0 | pred 0 at #0} -> 1/2; 1: hits 2, one false -> 2/3; 2: 0/1
    # predicted  0 1 1 1 3 2        class 3: one false positive -> 0; class 4 absent -> nan
    conf = confusion_matrix(torch.tensor([0, 1, 1, 1, 3, 2]), torch.tensor([0, 0, 1, 1, 2, 255]), 5)
    assert conf.dtype == torch.int64
    assert conf.tolist() == [[1, 1, 0, 0, 0], [0, 2, 0, 0, 0], [0, 0, 0, 1, 0], [0] * 5, [0] * 5]
    iou = iou_from_confusion(conf)
    assert iou[:4].tolist() == pytest.approx([1 / 2, 2 / 3, 0, 0]) and math.isnan(iou[4])


def test_metric_hand_values():
    label = np.array([[0, 0, 1, 1, 2, 255]])
    pred = np.array([[0, 1, 1, 1, 3, 2]])
    result = run([(pred, label)])
    assert result['IoU/road'] == pytest.approx(50) and result['IoU/sidewalk'] == pytest.approx(200 / 3)
    assert result['IoU/building'] == result['IoU/wall'] == 0 and math.isnan(result['IoU/sky'])
    assert result['mIoU'] == pytest.approx((50 + 200 / 3) / 4)  # four classes occur
    assert result['aAcc'] == pytest.approx(60) and result['mAcc'] == pytest.approx((50 + 100 + 0) / 3)
    assert set(result) == {'mIoU', 'mAcc', 'aAcc', *(f'IoU/{name}' for name in CITYSCAPES)}
    assert all(type(value) is float for value in result.values())


images = st.integers(1, 3).flatmap(lambda n: st.lists(
    st.tuples(st.lists(st.integers(0, 18), min_size=12, max_size=12),
              st.lists(st.one_of(st.integers(0, 18), st.just(255)), min_size=12, max_size=12)),
    min_size=n, max_size=n))


@settings(max_examples=60, deadline=None)
@given(images, st.sampled_from(['cityscapes19', 'synthia16', 'synthia13', 'viper15', 'davsn15']),
       st.sampled_from(['ignore', 'count']))
def test_against_the_slow_reference(images, protocol, outside):
    pairs = [(np.array(p).reshape(3, 4), np.array(g).reshape(3, 4)) for p, g in images]
    result = run(pairs, protocol=protocol, outside=outside)
    expected = reference(pairs, get_protocol(protocol).members, CITYSCAPES, outside)
    assert {name: result[f'IoU/{name}'] for name in expected} == pytest.approx(expected, nan_ok=True)
    present = [value for value in expected.values() if not math.isnan(value)]
    assert result['mIoU'] == pytest.approx(sum(present) / len(present) if present else math.nan, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(images)
def test_agrees_with_mmseg_where_both_apply(images):
    from mmseg.evaluation import IoUMetric
    pairs = [(np.array(p).reshape(3, 4), np.array(g).reshape(3, 4)) for p, g in images]
    areas = [IoUMetric.intersect_and_union(torch.tensor(p), torch.tensor(g), 19, 255) for p, g in pairs]
    intersect, union = (sum(area[i] for area in areas).double() for i in (0, 1))
    result = run(pairs)
    ours = torch.tensor([result[f'IoU/{name}'] for name in CITYSCAPES], dtype=torch.double)
    assert torch.allclose(ours, 100 * intersect / union, equal_nan=True)


def test_prediction_outside_of_the_protocol_is_a_miss_and_no_false_positive():
    # terrain (9) is not in synthia16: predicted where road is, it costs road; as ground truth it is not counted.
    road, terrain, sky = 0, 9, 10
    pred = np.array([[road, terrain, road, sky]])
    label = np.array([[road, road, terrain, sky]])
    result = run([(pred, label)], protocol='synthia16')
    assert result['IoU/road'] == pytest.approx(50) and result['mIoU'] == pytest.approx(75)
    assert 'IoU/terrain' not in result
    counted = run([(pred, label)], protocol='synthia16', outside='count')
    assert counted['IoU/road'] == pytest.approx(100 / 3)  # the road predicted on terrain is a false positive now


def test_merged_classes_are_one():
    person, rider = 11, 12
    pairs = [(np.array([[person, rider, rider, 0]]), np.array([[rider, person, rider, 0]]))]
    assert run(pairs, protocol='davsn15')['IoU/person'] == 100
    assert run(pairs)['IoU/rider'] == pytest.approx(100 / 3)


def test_a_16_class_model_under_its_protocols():
    classes = list(get_class_set('synthia16').classes)
    wall = classes.index('wall')
    pairs = [(np.array([[0, wall, 1]]), np.array([[0, 0, wall]]))]
    assert run(pairs, classes=classes, protocol='synthia13')['IoU/road'] == pytest.approx(50)
    with pytest.raises(ValueError, match='16 classes lacks: terrain, truck, train; choose one of: synthia16'):
        run(pairs, classes=classes)


def test_shape_and_range_errors_name_the_image():
    good = np.zeros((2, 3), int)
    with pytest.raises(ValueError, match=r'cannot score a.png.*\(2, 3\).*\(3, 2\).*native'):
        run([(good, good.T)])
    with pytest.raises(ValueError, match='predictions reach from 0 to 19; expected 0..18'):
        run([(np.array([[0, 19]]), np.array([[0, 0]]))])
    with pytest.raises(ValueError, match='labels reach from -1 to 0'):
        run([(np.array([[0, 0]]), np.array([[0, -1]]))])
    metric = ProtocolIoUMetric()
    metric.dataset_meta = dict(classes=CITYSCAPES)
    with pytest.raises(ValueError, match='a.png comes without ground truth'):
        metric.process({}, [dict(pred_sem_seg=dict(data=torch.zeros(1, 2, 2)), img_path='a.png')])
    with pytest.raises(ValueError, match='no dataset_meta'):
        ProtocolIoUMetric().process({}, [])
    with pytest.raises(KeyError, match="'cityscapes20'; choose one of"):
        ProtocolIoUMetric('cityscapes20')
    with pytest.raises(ValueError, match="outside='both'"):
        ProtocolIoUMetric(outside='both')


def test_all_ignored_and_empty():
    result = run([(np.zeros((2, 2), int), np.full((2, 2), 255))])
    assert math.isnan(result['mIoU']) and math.isnan(result['aAcc'])
    assert math.isnan(run([])['mIoU'])


def test_repeated_images_are_noticed():
    metric = ProtocolIoUMetric()
    metric.dataset_meta = dict(classes=CITYSCAPES)
    image = samples(np.zeros((2, 2), int), np.zeros((2, 2), int))
    metric.process({}, [image, image, image])
    with pytest.raises(ValueError, match='scored 3 images of a data set of 2.*round_up=False'):
        metric.evaluate(2)


def test_state_is_reset_between_evaluations():
    metric = METRICS.build(dict(type='ProtocolIoUMetric', prefix='x', per_class_acc=True))
    metric.dataset_meta = dict(classes=CITYSCAPES)
    zero, one = np.zeros((2, 2), int), np.ones((2, 2), int)
    metric.process({}, [samples(one, zero)])
    assert metric.evaluate(1)['x/mIoU'] == 0
    metric.process({}, [samples(zero, zero)])
    result = metric.evaluate(1)
    assert result['x/mIoU'] == 100 and result['x/Acc/road'] == 100 and math.isnan(result['x/IoU/sidewalk'])


def test_counts_are_exact_where_float32_would_round():
    conf = torch.full((2, 2), 2**24 + 1, dtype=torch.int64)
    assert int(apply_protocol(conf, [0, 0], 1).sum()) == 4 * (2**24 + 1)


def test_table_says_what_is_left_out():
    conf = apply_protocol(torch.tensor([[3, 1], [0, 0]]), [0, 1], 2)
    table = format_table(summarise(conf, ['road', 'sky']), ['road', 'sky'], 'title')
    assert 'road    75.00   75.00' in table
    table = format_table(summarise(apply_protocol(torch.tensor([[3, 0], [0, 0]]), [0, 1], 2), ['road', 'sky']),
                         ['road', 'sky'], 'title')
    assert 'left out of the mean: sky' in table and '100.00' in table


def test_prediction_may_come_as_uint8():
    label = torch.tensor([[0, 255]], dtype=torch.uint8)
    assert confusion_matrix(torch.tensor([[0, 1]], dtype=torch.uint8), label, 19)[0, 0] == 1
