# SPDX-License-Identifier: Apache-2.0
"""The prediction regularizer against literal loops: regions, denominators, image-wise weights, ranks."""
import math

import pytest
import torch

from udatools.models.objectives import PredictionRegularizer
from udatools.models.segmentors import DomainBatch, UDABatch

PIXEL = {
    'entropy': lambda p: -sum(q * math.log(q) for q in p) / math.log(len(p)),
    'entropy_nats': lambda p: -sum(q * math.log(q) for q in p),
    'kld': lambda p: -sum(math.log(q) for q in p) / len(p),
    'max_squares': lambda p: -sum(q * q for q in p) / 2,
    'charbonnier_entropy': lambda p: ((sum(q * math.log(q) for q in p) / math.log(len(p)))**2 + 0.001**2)**2,
}


def make_batch(label='mixed', classes=4):
    generator = torch.Generator().manual_seed(1)
    logits = {head: 2 * torch.randn(2, classes, 3, 5, generator=generator) for head in ('main', 'aux')}
    labels = torch.randint(0, classes, (2, 3, 5), generator=generator)
    if label == 'mixed':
        labels[torch.rand(2, 3, 5, generator=generator) < 0.6] = 255
    elif label == 'void':
        labels.fill_(255)
    labels = None if label is None else labels
    return UDABatch(target=DomainBatch(torch.zeros(2, 3, 3, 5), labels, (), logits))


def literal(batch, measure, region, normalisation, head='main', ratio=None):
    logits, label = batch.target.logits[head], batch.target.label
    b_size, classes, height, width = logits.shape
    prob = logits.softmax(1).tolist()
    total, inside = 0.0, 0
    for b in range(b_size):
        pixels = [(y, x) for y in range(height) for x in range(width)
                  if region == 'all' or (label[b, y, x] != 255) == (region == 'labelled')]
        vectors = {p: [prob[b][c][p[0]][p[1]] for c in range(classes)] for p in pixels}
        winner = {p: max(range(classes), key=lambda c, v=vectors[p]: v[c]) for p in pixels}
        for p in pixels:
            count = sum(other == winner[p] for other in winner.values())
            weight = 1.0 if ratio is None else len(pixels) / (count**ratio * len(pixels)**(1 - ratio))
            total += weight * PIXEL[measure](vectors[p])
        inside += len(pixels)
    if normalisation == 'pixels':
        return total / max(inside, 1)
    return total / (b_size * height * width * classes)


@pytest.mark.parametrize('normalisation', ['pixels', 'pixels_classes'])
@pytest.mark.parametrize('region', ['all', 'labelled', 'ignored'])
@pytest.mark.parametrize('measure', PIXEL)
def test_value_is_the_literal_sum(measure, region, normalisation):
    batch = make_batch()
    objective = PredictionRegularizer(measure, region=region, normalisation=normalisation, heads=dict(main=0.5, aux=0.1),
                                      loss_weight=3.0)
    values = objective(batch, None)
    assert set(values) == {'loss_main', 'loss_aux', f'{measure}_main', f'{measure}_aux'}
    for head, weight in (('main', 1.5), ('aux', 0.3)):
        expected = literal(batch, measure, region, normalisation, head)
        assert float(values[f'loss_{head}']) == pytest.approx(weight * expected, rel=1e-5)
        assert float(values[f'{measure}_{head}']) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('region', ['all', 'labelled', 'ignored'])
@pytest.mark.parametrize('ratio', [0.0, 0.2, 1.0])
def test_image_wise_weights_are_of_the_pixels_predicted_class(region, ratio):
    batch = make_batch()
    objective = PredictionRegularizer('max_squares', image_wise=True, ratio=ratio, region=region)
    expected = literal(batch, 'max_squares', region, 'pixels', ratio=ratio)
    assert float(objective(batch, None)['loss_main']) == pytest.approx(expected, rel=1e-5)
    if ratio == 0:
        plain = PredictionRegularizer('max_squares', region=region)(batch, None)
        assert float(plain['loss_main']) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('measure', PIXEL)
def test_an_empty_region_is_zero_with_a_zero_gradient(measure):
    batch = make_batch('void')
    logits = batch.target.logits['main'].requires_grad_()
    for normalisation in ('pixels', 'pixels_classes'):
        loss = PredictionRegularizer(measure, region='labelled', normalisation=normalisation)(batch, None)['loss_main']
        loss.backward()
        assert float(loss) == 0 and torch.count_nonzero(logits.grad) == 0


@pytest.mark.parametrize(('measure', 'sign'), [('entropy', 1), ('max_squares', 1), ('charbonnier_entropy', 1), ('kld', -1)])
def test_descending_makes_predictions_certain_and_kld_makes_them_even(measure, sign):
    logits = torch.tensor([1.0, 0.5, 0.0, -0.5]).view(1, 4, 1, 1).requires_grad_()
    batch = UDABatch(target=DomainBatch(torch.zeros(1, 3, 1, 1), None, (), {'main': logits}))
    PredictionRegularizer(measure)(batch, None)['loss_main'].backward()
    assert sign * float(logits.grad[0, 0]) < 0 < sign * float(logits.grad[0, 3])


def test_no_gradient_through_the_class_weights():
    batch = make_batch()
    logits = batch.target.logits['main'].requires_grad_()
    objective = PredictionRegularizer('max_squares', image_wise=True)
    objective(batch, None)['loss_main'].backward()
    fixed = objective._relative_weights(logits.detach(), None)
    ours, logits.grad = logits.grad, None
    ((-logits.softmax(1).square().sum(1) / 2) * fixed).mean().backward()
    torch.testing.assert_close(logits.grad, ours)


def test_source_domain_and_choices_are_checked():
    batch = UDABatch(source=make_batch().target)
    assert 'loss_main' in PredictionRegularizer('entropy', domain='source')(batch, None)
    with pytest.raises(ValueError, match="domain 'target'"):
        PredictionRegularizer('entropy')(batch, None)
    with pytest.raises(ValueError, match=r"\['second'\].*\['aux', 'main'\]"):
        PredictionRegularizer('entropy', domain='source', heads=dict(second=1.0))(batch, None)
    with pytest.raises(ValueError, match="region='ignored'.*label_dir"):
        PredictionRegularizer('entropy', region='ignored')(make_batch(None), None)
    with pytest.raises(ValueError, match="measure is 'gini'.*'max_squares'"):
        PredictionRegularizer('gini')
    with pytest.raises(ValueError, match='normalisation'):
        PredictionRegularizer('kld', normalisation='classes')
    with pytest.raises(ValueError, match='ratio is 2'):
        PredictionRegularizer('max_squares', ratio=2)
    with pytest.raises(TypeError, match=r"'entropy' does not take \['eta'\]"):
        PredictionRegularizer('entropy', eta=2.0)


@pytest.mark.distributed
@pytest.mark.parametrize('normalisation', ['pixels', 'pixels_classes'])
def test_two_ranks_average_to_the_mean_over_the_global_batch(run_ranks, normalisation):
    batch = make_batch()
    batch.target.label[0] = 255  # rank 0 holds no labelled pixel
    batch.target.label[0, 0, 0] = 1

    def work(rank):
        part = DomainBatch(batch.target.inputs[rank:rank + 1], batch.target.label[rank:rank + 1], (),
                           {'main': batch.target.logits['main'][rank:rank + 1]})
        objective = PredictionRegularizer('entropy_nats', region='labelled', normalisation=normalisation)
        return float(objective(UDABatch(target=part), None)['loss_main'])

    results = run_ranks(work)
    assert [error for _, error in results] == [None, None]
    expected = literal(batch, 'entropy_nats', 'labelled', normalisation)
    assert sum(value for value, _ in results) / 2 == pytest.approx(expected, rel=1e-5)
