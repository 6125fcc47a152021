# SPDX-License-Identifier: Apache-2.0
"""LRENT against a literal loop over pixels and classes; where its thresholds come from; what it refuses."""
import math

import pytest
import torch
from mmseg.registry import MODELS
from pseudo_labelled import THETA, make_domain

import udatools  # noqa: F401
from udatools.models.objectives.soft_pseudo_label import soft_pseudo_label
from udatools.models.segmentors import DomainBatch, UDABatch
from udatools.registry import OBJECTIVES


def make_batch(seed=0, **changes):
    return UDABatch(target=make_domain(seed, **changes))


def literal_loss(target, theta, alpha):
    total, count = 0.0, 0
    for b in range(2):
        for y in range(3):
            for x in range(4):
                if target.label[b, y, x] == 255:
                    continue
                weights = [(float(target.teacher_prob[b, c, y, x]) / theta[c])**(1 / alpha) for c in range(5)]
                scores = [math.exp(float(target.logits['main'][b, c, y, x])) for c in range(5)]
                total -= sum(weights[c] / sum(weights) * math.log(scores[c] / sum(scores)) for c in range(5))
                count += 1
    return total / max(count, 1)


@pytest.mark.parametrize('alpha', [0.25, 1.0])
def test_loss_equals_the_literal_loop(thresholds, alpha):
    batch = make_batch()
    objective = OBJECTIVES.build(dict(type='SoftPseudoLabelCE', thresholds=thresholds, alpha=alpha, loss_weight=0.5))
    losses = objective(batch, None)
    assert losses.keys() == {'loss_main'}
    assert losses['loss_main'].item() == pytest.approx(0.5 * literal_loss(batch.target, THETA, alpha), rel=1e-5)
    losses['loss_main'].backward()
    gradient = batch.target.logits['main'].grad
    assert (gradient[(batch.target.label == 255)[:, None].expand_as(gradient)] == 0).all() and gradient.abs().sum() > 0


@pytest.mark.distributed
def test_two_ranks_average_to_the_loss_of_the_whole_batch(thresholds, run_ranks):
    """With unequal numbers of labelled pixels."""
    batch = make_batch()
    batch.target.label[0, :2] = 255
    counts = (batch.target.label != 255).sum((1, 2)).tolist()
    assert 0 < counts[0] < counts[1]

    def work(rank):
        whole = batch.target
        half = DomainBatch(*(part[rank:rank + 1] for part in (whole.inputs, whole.label)), (),
                           {'main': whole.logits['main'].detach()[rank:rank + 1]}, whole.teacher_prob[rank:rank + 1])
        objective = OBJECTIVES.build(dict(type='SoftPseudoLabelCE', thresholds=thresholds))
        return objective(UDABatch(target=half), None)['loss_main'].item()

    results = run_ranks(work)
    assert [error for _, error in results] == [None, None]
    assert sum(value for value, _ in results) / 2 == pytest.approx(literal_loss(batch.target, THETA, 0.25), rel=1e-5)


def test_soft_label_by_hand_and_with_a_zero():
    prob = torch.tensor([0.6, 0.4, 0.0]).view(1, 3, 1, 1)
    soft = soft_pseudo_label(prob, torch.tensor([0.6, 0.2, 0.5]), 0.5)[0, :, 0, 0]  # ratios 1, 2, 0, squared
    torch.testing.assert_close(soft, torch.tensor([0.2, 0.8, 0.0]))
    assert soft_pseudo_label(prob, torch.tensor([0.6, 0.2, 0.5]), 0.01)[0, 1, 0, 0] == 1  # nearly the hard label


def test_nothing_labelled_gives_zero(thresholds):
    batch = make_batch(label=torch.full((2, 3, 4), 255))
    loss = OBJECTIVES.build(dict(type='SoftPseudoLabelCE', thresholds=thresholds))(batch, None)['loss_main']
    loss.backward()
    assert loss == 0 and (batch.target.logits['main'].grad == 0).all()


def test_thresholds_are_read_at_the_first_batch_and_stay_out_of_checkpoints(thresholds, tmp_path):
    objective = OBJECTIVES.build(dict(type='SoftPseudoLabelCE', thresholds=str(tmp_path / 'later.json')))
    with pytest.raises(FileNotFoundError, match=r'later\.json does not exist.*PseudoLabelHook'):
        objective(make_batch(), None)
    (tmp_path / 'later.json').write_text(open(thresholds).read())
    first = objective(make_batch(), None)
    (tmp_path / 'later.json').unlink()
    assert objective(make_batch(), None) == first and objective.state_dict() == {}


@pytest.mark.parametrize('changes, message', [(dict(label=None), 'no pseudo-labels'), (dict(teacher_prob=None), r'momentum=1\.0'),
                                              (dict(logits={}), r"heads \['main'\]"),
                                              (dict(teacher_prob=torch.ones(2, 4, 3, 4)), '5 classes, the model has 4')])
def test_refuses(thresholds, changes, message):
    with pytest.raises(ValueError, match=message):
        OBJECTIVES.build(dict(type='SoftPseudoLabelCE', thresholds=thresholds))(make_batch(**changes), None)
    with pytest.raises(ValueError, match='alpha'):
        OBJECTIVES.build(dict(type='SoftPseudoLabelCE', thresholds=thresholds, alpha=0))


def test_in_a_segmentor_the_teacher_gives_the_labels(segmentor_cfg, domain_batch, thresholds):
    torch.manual_seed(0)
    inputs, samples = domain_batch
    model = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, teacher=dict(momentum=1.0), objectives=[
        dict(type='SoftPseudoLabelCE', name='target', thresholds=thresholds, heads=dict(main=1.0, aux=0.5))]))
    model.teacher.copy_from(model.segmentor)
    model.train()
    losses = model({'target': inputs['target']}, {'target': samples['target']}, mode='loss')
    assert losses.keys() == {'target.loss_main', 'target.loss_aux'}
    sum(losses.values()).backward()
    with_gradient = [name for name, p in model.named_parameters() if p.requires_grad]
    assert with_gradient and all(dict(model.named_parameters())[name].grad is not None for name in with_gradient)
    assert all(p.grad is None for p in model.teacher.parameters())
