# SPDX-License-Identifier: Apache-2.0
"""Losses against values worked out by hand and literal loops."""
import math

import pytest
import torch
import torch.nn.functional as F

from udatools.ops.losses import classifier_discrepancy, domain_classification_loss, segmentation_cross_entropy


def literal_cross_entropy(logits, label, ignore_index=255):
    terms = []
    for b in range(label.shape[0]):
        for y in range(label.shape[1]):
            for x in range(label.shape[2]):
                truth = int(label[b, y, x])
                if truth != ignore_index:
                    scores = [math.exp(float(value)) for value in logits[b, :, y, x]]
                    terms.append(-math.log(scores[truth] / sum(scores)))
    return sum(terms) / max(1, len(terms))


@pytest.mark.parametrize('ignored', [0.0, 0.5, 0.97])
def test_cross_entropy_is_the_mean_over_labelled_pixels(ignored):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 5, 4, 6, generator=generator)
    label = torch.randint(0, 5, (2, 4, 6), generator=generator)
    label[torch.rand(2, 4, 6, generator=generator) < ignored] = 255
    assert float(segmentation_cross_entropy(logits, label)) == pytest.approx(literal_cross_entropy(logits, label), rel=1e-5)


def test_cross_entropy_without_a_label_is_zero_with_zero_gradient():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = segmentation_cross_entropy(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert float(loss) == 0 and torch.count_nonzero(logits.grad) == 0


def test_cross_entropy_refuses_other_sizes():
    with pytest.raises(ValueError, match=r'\(1, 3, 2, 2\).*\(1, 4, 4\).*upsample'):
        segmentation_cross_entropy(torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, 4, dtype=torch.int64))


def test_discrepancy_by_hand():
    certain = torch.tensor([[[[100.0]], [[0.0]]]])
    even = torch.zeros(1, 2, 1, 1)
    assert float(classifier_discrepancy(certain, even)) == pytest.approx(1.0)  # |1 - .5| + |0 - .5|
    assert float(classifier_discrepancy(certain, certain.flip(1))) == pytest.approx(2.0)
    assert float(classifier_discrepancy(even, even)) == 0


@pytest.mark.parametrize('is_target', [False, True])
def test_domain_loss_by_hand(is_target):
    score = torch.tensor([[[[0.3, -1.2]]]])
    truth = float(is_target)
    bce = [-(truth * math.log(1 / (1 + math.exp(-s))) + (1 - truth) * math.log(1 - 1 / (1 + math.exp(-s)))) for s in (0.3, -1.2)]
    assert float(domain_classification_loss(score, is_target)) == pytest.approx(sum(bce) / 2, rel=1e-5)
    squares = [(s - truth)**2 for s in (0.3, -1.2)]
    assert float(domain_classification_loss(score, is_target, 'ls')) == pytest.approx(sum(squares) / 2, rel=1e-5)


@pytest.mark.parametrize('mode', ['bce', 'ls'])
def test_domain_loss_weighs_pixels_and_divides_by_their_number(mode):
    score, weight = torch.tensor([[[[0.3, -1.2]]]]), torch.tensor([[[[2.0, 0.5]]]])
    alone = [float(domain_classification_loss(score[..., i:i + 1], True, mode)) for i in range(2)]
    ours = float(domain_classification_loss(score, True, mode, weight))
    assert ours == pytest.approx((2.0 * alone[0] + 0.5 * alone[1]) / 2, rel=1e-6)


def test_domain_loss_refuses_an_unknown_mode():
    with pytest.raises(ValueError, match="'wgan'.*'bce' or 'ls'"):
        domain_classification_loss(torch.zeros(1, 1, 1, 1), True, 'wgan')


def test_gradient_matches_finite_differences():
    logits = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    label = torch.tensor([[[0, 255], [2, 1]]])
    # The loss computes in float32 on purpose (AMP); compare with torch's own float64 mean.
    segmentation_cross_entropy(logits, label).backward()
    reference = logits.detach().clone().requires_grad_()
    F.cross_entropy(reference, label, ignore_index=255).backward()
    torch.testing.assert_close(logits.grad, reference.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('gamma', [1.0, 3.0])
def test_focal_loss_equals_its_formula(gamma, weighted):
    generator = torch.Generator().manual_seed(0)
    logits, label = torch.randn(2, 3, 2, 4, generator=generator), torch.randint(0, 3, (2, 2, 4), generator=generator)
    label[0, 0, :2] = 255
    class_weight, pixel_weight = torch.tensor([1.0, 2.0, 0.5]), torch.rand(2, 2, 4, generator=generator)
    kwargs = dict(class_weight=class_weight, pixel_weight=pixel_weight) if weighted else {}
    total, count = 0.0, 0
    for b, y, x in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(4)).tolist():
        truth = int(label[b, y, x])
        if truth != 255:
            p = float(logits[b, :, y, x].softmax(0)[truth])
            factor = float(class_weight[truth] * pixel_weight[b, y, x]) if weighted else 1.0
            total -= factor * (1 - p)**gamma * math.log(p)
            count += 1
    assert float(segmentation_cross_entropy(logits, label, gamma=gamma, **kwargs)) == pytest.approx(total / count, rel=1e-5)


def test_focal_loss_of_nothing_and_of_certain_pixels_has_a_finite_gradient():
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 0] = 200.0
    for label in (torch.full((1, 1, 2), 255), torch.zeros(1, 1, 2, dtype=torch.long)):
        own = logits.clone().requires_grad_()
        segmentation_cross_entropy(own, label, gamma=1.0).backward()
        assert torch.isfinite(own.grad).all()
    with pytest.raises(ValueError, match='gamma is 0.5'):
        segmentation_cross_entropy(logits, label, gamma=0.5)
