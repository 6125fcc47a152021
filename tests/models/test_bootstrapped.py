# SPDX-License-Identifier: Apache-2.0
"""TPLD's loss against a literal loop over pixels and classes, its gradient against differences, and what it refuses."""
import math

import pytest
import torch
from mmseg.registry import MODELS
from pseudo_labelled import THETA, make_domain

import udatools  # noqa: F401
from udatools.models.segmentors import DomainBatch, UDABatch
from udatools.ops.losses import segmentation_cross_entropy
from udatools.registry import OBJECTIVES


def build(thresholds, **arguments):
    return OBJECTIVES.build(dict(type='BootstrappedCE', thresholds=thresholds, **arguments))


def literal_loss(domain, beta, gamma):
    """The formula with lists; gamma None leaves pixels without a label out."""
    total, count = 0.0, 0
    for b in range(len(domain.label)):
        for y in range(3):
            for x in range(4):
                label = int(domain.label[b, y, x])
                if label == 255 and gamma is None:
                    continue
                scores = [math.exp(domain.logits['main'][b, c, y, x].item()) for c in range(5)]
                ratio = [score / sum(scores) / theta for score, theta in zip(scores, THETA)]
                if label != 255:
                    pseudo = [float(c == label) for c in range(5)]
                else:
                    pseudo = [(float(domain.teacher_prob[b, c, y, x]) / THETA[c])**gamma for c in range(5)]
                total -= sum((beta * pseudo[c] + (1 - beta) * ratio[c]) * math.log(ratio[c]) for c in range(5))
                count += 1
    return total / max(count, 1)


@pytest.mark.parametrize('domain', ['source', 'target'])
@pytest.mark.parametrize('beta', [0.0, 0.6, 1.0])
@pytest.mark.parametrize('gamma', [None, 2.0, 0.5])
def test_loss_equals_the_literal_loop(thresholds, domain, beta, gamma):
    part = make_domain()
    losses = build(thresholds, domain=domain, beta=beta, soft_exponent=gamma, loss_weight=0.5)(UDABatch(**{domain: part}), None)
    assert losses.keys() == {'loss_main'}
    assert losses['loss_main'].item() == pytest.approx(0.5 * literal_loss(part, beta, gamma), rel=1e-5)
    losses['loss_main'].backward()
    gradient = part.logits['main'].grad
    unlabelled = (part.label == 255)[:, None].expand_as(gradient)
    assert gradient.abs().sum() > 0
    assert (gradient[unlabelled] != 0).any() == (gamma is not None)


def test_alone_the_pseudo_label_gives_the_gradient_of_cross_entropy(thresholds):
    part, other = make_domain(), make_domain()
    build(thresholds, beta=1.0)(UDABatch(target=part), None)['loss_main'].backward()
    segmentation_cross_entropy(other.logits['main'], other.label).backward()
    torch.testing.assert_close(part.logits['main'].grad, other.logits['main'].grad)


def test_the_gradient_flows_through_the_models_own_prediction(thresholds):
    """Against differences of the literal loss: with a constant own prediction it would be another one."""
    part = make_domain()
    build(thresholds, beta=0.3)(UDABatch(target=part), None)['loss_main'].backward()
    b, y, x = (part.label != 255).nonzero()[0].tolist()
    for c in range(5):
        ends = []
        for step in (1e-3, -1e-3):
            moved = make_domain()
            moved.logits = {'main': moved.logits['main'].detach().double()}
            moved.logits['main'][b, c, y, x] += step
            ends.append(literal_loss(moved, 0.3, None))
        assert part.logits['main'].grad[b, c, y, x].item() == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=1e-3, abs=1e-6)


@pytest.mark.distributed
@pytest.mark.parametrize('gamma', [None, 2.0])
def test_two_ranks_average_to_the_loss_of_the_whole_batch(thresholds, run_ranks, gamma):
    """With unequal numbers of labelled pixels."""
    whole = make_domain()
    whole.label[0, :2] = 255

    def work(rank):
        one = slice(rank, rank + 1)
        half = DomainBatch(whole.inputs[one], whole.label[one], (), {'main': whole.logits['main'].detach()[one]},
                           whole.teacher_prob[one])
        return build(thresholds, soft_exponent=gamma)(UDABatch(target=half), None)['loss_main'].item()

    results = run_ranks(work)
    assert [error for _, error in results] == [None, None]
    assert sum(value for value, _ in results) / 2 == pytest.approx(literal_loss(whole, 0.95, gamma), rel=1e-5)


def test_nothing_labelled_gives_zero(thresholds):
    part = make_domain(label=torch.full((2, 3, 4), 255))
    loss = build(thresholds)(UDABatch(target=part), None)['loss_main']
    loss.backward()
    assert loss == 0 and (part.logits['main'].grad == 0).all()


def test_thresholds_are_read_at_the_first_batch_and_stay_out_of_checkpoints(thresholds, tmp_path):
    objective = build(str(tmp_path / 'later.json'))
    with pytest.raises(FileNotFoundError, match=r'later\.json does not exist; BootstrappedCE needs'):
        objective(UDABatch(target=make_domain()), None)
    (tmp_path / 'later.json').write_text(open(thresholds).read())
    first = objective(UDABatch(target=make_domain()), None)
    (tmp_path / 'later.json').unlink()
    assert objective(UDABatch(target=make_domain()), None) == first and objective.state_dict() == {}


@pytest.mark.parametrize('changes, message', [
    (dict(label=None), 'no pseudo-labels on the target'), (dict(teacher_prob=None), r"momentum=1\.0, domain='target'"),
    (dict(logits={'aux': torch.ones(2, 5, 3, 4)}), r"heads \['main'\]"),
    (dict(logits={'main': torch.ones(2, 4, 3, 4)}), '5 classes, the model has 4')])
def test_refuses(thresholds, changes, message):
    with pytest.raises(ValueError, match=message):
        build(thresholds, soft_exponent=2.0)(UDABatch(target=make_domain(**changes)), None)


@pytest.mark.parametrize('arguments, message', [(dict(beta=1.2), 'beta is 1.2'), (dict(soft_exponent=0), 'soft_exponent is 0'),
                                                (dict(domain='mixed'), "domain is 'mixed'")])
def test_refuses_values_out_of_range(thresholds, arguments, message):
    with pytest.raises(ValueError, match=message):
        build(thresholds, **arguments)


def test_in_a_segmentor_the_teacher_sees_the_source(segmentor_cfg, domain_batch, thresholds):
    torch.manual_seed(0)
    inputs, samples = domain_batch
    for sample in samples['source']:
        sample.gt_sem_seg.data[:, :16] = 255
    model = MODELS.build(dict(
        type='UDASegmentor', segmentor=segmentor_cfg, teacher=dict(momentum=1.0, domain='source'),
        objectives=[dict(type='BootstrappedCE', name='easy', domain='source', soft_exponent=2.0, thresholds=thresholds)]))
    model.teacher.copy_from(model.segmentor)
    seen = []
    model.objectives['easy'].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    model.train()
    model(inputs, samples, mode='loss')['easy.loss_main'].backward()
    torch.testing.assert_close(seen[0].source.teacher_prob, model.teacher.predict_prob(inputs['source']))
    assert seen[0].target.teacher_prob is None
    assert model.segmentor.decode_head.branches[0].weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.teacher.parameters())
    with pytest.raises(ValueError, match="domain is 'mixed'"):
        MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, teacher=dict(domain='mixed')))
