# SPDX-License-Identifier: Apache-2.0
"""LabOR-PPL against the algorithm written as loops over classes and pixels."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from udatools.active import LabORPPLSelector


def predictions(seed, size=(9, 12), classes=4):
    generator = torch.Generator().manual_seed(seed)
    return {name: (2 * torch.randn(classes, *size, generator=generator)).softmax(0) for name in ('prob', 'prob1', 'prob2')}


def select_pt(outputs, class_from, distance, points, min_distance):
    """[(class, order, flat index)] as Algorithm 1 says it: D^(k), mu^(k), nearest."""
    p, p1, p2 = (outputs[name].double().numpy() for name in ('prob', 'prob1', 'prob2'))
    num_classes, height, width = p.shape
    picks = []
    for k in range(num_classes):
        region = []
        for y in range(height):
            for x in range(width):
                owner = p[:, y, x] if class_from == 'main' else p1[:, y, x] + p2[:, y, x]
                if p1[:, y, x].argmax() != p2[:, y, x].argmax() and owner.argmax() == k:
                    region.append((y, x))
        if not region:
            continue
        mu = sum(p[:, y, x] for y, x in region) / len(region)
        chosen = []
        for order in range(points):
            best = None
            for y, x in region:
                if (y, x) in chosen or any((y - v)**2 + (x - u)**2 < min_distance**2 for v, u in chosen):
                    continue
                a, b = p[:, y, x], mu
                value = {'l1': np.abs(a - b).sum(), 'l2': np.sqrt(((a - b)**2).sum()),
                         'cosine': 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)}[distance]
                if best is None or value < best[0]:
                    best = value, (y, x)
            if best is None:
                break
            chosen.append(best[1])
            picks.append((k, order, best[1][0] * width + best[1][1]))
    return picks


@given(st.integers(0, 10**6), st.sampled_from(['main', 'selector']), st.sampled_from(['l1', 'l2', 'cosine']), st.integers(1, 3),
       st.sampled_from([0, 3]))
@settings(max_examples=30, deadline=None)
def test_points_equal_the_literal_algorithm(seed, class_from, distance, points, min_distance):
    outputs = predictions(seed)
    selector = LabORPPLSelector(class_from, distance=distance, points_per_class=points, min_distance=min_distance)
    found = selector.candidates(outputs, 'a', np.random.default_rng(0))
    expected = select_pt(outputs, class_from, distance, points, min_distance)
    assert found.flat_index.tolist() == sorted(i for _, _, i in expected) and found.region is None
    # First picks of all classes before any second one; inside an order by the L1 distance of the classifiers.
    l1 = (outputs['prob1'] - outputs['prob2']).abs().sum(0).flatten()
    score = dict(zip(found.flat_index.tolist(), found.score.astype(float).tolist()))
    ranked = sorted(expected, key=lambda pick: (pick[1], -float(l1[pick[2]])))
    values = [score[i] for _, _, i in ranked]
    assert values == sorted(values, reverse=True)
    for (_, order, _), (_, after, _), value, next_value in zip(ranked, ranked[1:], values, values[1:]):
        assert order == after or value > next_value


def test_at_most_one_point_a_class_by_default():
    outputs = predictions(1)
    found = LabORPPLSelector().candidates(outputs, 'a', np.random.default_rng(0))
    classes = outputs['prob'].argmax(0).flatten()[found.flat_index].tolist()
    assert sorted(classes) == [0, 1, 2, 3] and LabORPPLSelector().kind == 'points'


def test_thirty_orders_keep_apart_and_a_full_discrepancy_stays_in_its_order():
    prob = torch.tensor([.8, .2]).view(2, 1, 1).expand(2, 1, 40)
    certain = torch.tensor([1., 0.]).view(2, 1, 1).expand(2, 1, 40)
    found = LabORPPLSelector(points_per_class=30).candidates(
        dict(prob=prob, prob1=certain, prob2=certain.flip(0)), 'a', np.random.default_rng(0))
    assert found.flat_index.tolist() == list(range(30))
    assert (np.diff(found.score.astype(float)) < 0).all() and np.isfinite(found.score).all()
    weak = dict(prob=prob, prob1=torch.tensor([.51, .49]).view(2, 1, 1).expand(2, 1, 40).clone(),
                prob2=torch.tensor([.49, .51]).view(2, 1, 1).expand(2, 1, 40))
    weak['prob1'][:, 0, 1:] = certain[:, 0, 1:]  # a first pick with hardly any distance, a second one with much
    score = LabORPPLSelector(points_per_class=2).candidates(weak, 'a', np.random.default_rng(0)).score
    assert score[0] > score[1]


def test_small_components_of_the_mask_can_be_left_out():
    outputs = predictions(4, size=(14, 15))
    mask = (outputs['prob1'].argmax(0) != outputs['prob2'].argmax(0)).numpy() & (np.indices((14, 15)).sum(0) % 3 > 0)
    for name in ('prob1', 'prob2'):  # thin the mask out: where it is left out the classifiers agree
        outputs[name] = torch.where(torch.from_numpy(mask), outputs[name], outputs['prob'])
    part, _ = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(part.ravel())
    least = int(np.sort(sizes[1:])[-1])
    found = LabORPPLSelector(min_size=least).candidates(outputs, 'a', np.random.default_rng(0))
    assert len(found.flat_index) and (sizes[part.ravel()[found.flat_index]] >= least).all()
    assert sizes[1:].min() < least
    assert LabORPPLSelector(min_size=least + 1).candidates(outputs, 'a', np.random.default_rng(0)).flat_index.size == 0


def test_an_excluded_pixel_is_replaced_by_the_next_nearest():
    outputs = predictions(5)
    first = LabORPPLSelector().candidates(outputs, 'a', np.random.default_rng(0))
    excluded = torch.zeros(9, 12, dtype=torch.bool)
    excluded.view(-1)[torch.from_numpy(first.flat_index).long()] = True
    again = LabORPPLSelector().candidates(dict(outputs, excluded=excluded), 'a', np.random.default_rng(0))
    second = [i for _, order, i in select_pt(outputs, 'main', 'l2', 2, 0) if order == 1]
    assert again.flat_index.tolist() == sorted(second) and len(second) == 4


@pytest.mark.parametrize('arguments, message', [
    (dict(class_from='truth'), 'class_from'), (dict(distance='l3'), 'distance'), (dict(points_per_class=0), 'points_per_class'),
    (dict(points_per_class=31), '1 to 30'), (dict(min_distance=-1), 'min_distance'), (dict(min_size=-1), 'min_size')])
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LabORPPLSelector(**arguments)
