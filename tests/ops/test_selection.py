# SPDX-License-Identifier: Apache-2.0
"""The inconsistency mask and the scores against pixel loops."""
import numpy as np
import pytest
import torch

from udatools.ops.selection import (
    entropy,
    inconsistency_mask,
    l1_discrepancy,
    least_confidence,
    margin_uncertainty,
    mcdal_discrepancy,
    predicted_class,
)


def test_mask_and_scores_equal_pixel_loops():
    generator = torch.Generator().manual_seed(0)
    prob, prob1, prob2 = (torch.randn(4, 5, 6, generator=generator).softmax(0) for _ in range(3))
    mask, l1 = inconsistency_mask(prob1, prob2), l1_discrepancy(prob1, prob2)
    mcdal, ent = mcdal_discrepancy(prob, prob1, prob2), entropy(prob)
    margin, confidence = margin_uncertainty(prob), least_confidence(prob)
    assert mask.shape == l1.shape == mcdal.shape == ent.shape == margin.shape == confidence.shape == (5, 6)
    assert mask.dtype == torch.bool and mask.any() and not mask.all()
    for y in range(5):
        for x in range(6):
            p, p1, p2 = (t[:, y, x].double().numpy() for t in (prob, prob1, prob2))
            assert mask[y, x] == (p1.argmax() != p2.argmax())
            assert l1[y, x] == pytest.approx(np.abs(p1 - p2).sum(), rel=1e-5)
            expected = sum(np.abs(a - b).sum() for a, b in ((p1, p2), (p, p1), (p, p2)))
            assert mcdal[y, x] == pytest.approx(expected, rel=1e-5)
            assert ent[y, x] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)
            second, best = sorted(p)[-2:]
            assert margin[y, x] == pytest.approx(1 - (best - second), rel=1e-5)
            assert confidence[y, x] == pytest.approx(1 - best, rel=1e-5)


def test_of_equal_classes_the_first_is_predicted():
    generator = torch.Generator().manual_seed(0)
    prob = torch.randint(0, 3, (5, 40, 50), generator=generator).float()
    assert np.array_equal(predicted_class(prob).numpy(), prob.numpy().argmax(0))


def test_entropy_of_a_certain_pixel_is_zero():
    assert entropy(torch.tensor([1.0, 0.0]).view(2, 1, 1)) == 0


@pytest.mark.parametrize('prob, expected', [((0.5, 0.5), 1.0), ((0.0, 1.0), 0.0), ((0.25, 0.125, 0.625), 0.625), ((1.0, ), 0.0)])
def test_margin_by_hand(prob, expected):
    assert margin_uncertainty(torch.tensor(prob).view(-1, 1, 1)).item() == expected
