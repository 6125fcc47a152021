# SPDX-License-Identifier: Apache-2.0
"""Dice of tubes: by hand, against literal loops, and what classes and pixels without a label do."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.tubes import tube_dice, tube_matching_loss


def random_clip(seed, b=2, t=2, c=4, h=3, w=5, ignored=0.2):
    generator = torch.Generator().manual_seed(seed)
    prob = (3 * torch.randn(b, t, c, h, w, generator=generator)).softmax(2)
    label = torch.randint(0, c - 1, (b, t, h, w), generator=generator)  # class c - 1 is never shown
    label[torch.rand(label.shape, generator=generator) < ignored] = 255
    return prob, label


def literal_dice(prob, label, k):
    """Eq. 7 over the pixels of one tube, (T, C, H, W) and (T, H, W); None for a class that is not shown."""
    overlap = p_size = q_size = 0.0
    for t in range(label.shape[0]):
        for y in range(label.shape[1]):
            for x in range(label.shape[2]):
                if label[t, y, x] == 255:
                    continue
                p, q = float(prob[t, k, y, x]), float(label[t, y, x] == k)
                overlap, p_size, q_size = overlap + p * q, p_size + p * p, q_size + q * q
    return 2 * overlap / (p_size + q_size) if q_size else None


def literal_loss(prob, label, mode, reduction):
    tubes = []
    for b in range(len(label)):
        frames = [slice(None)] if mode == 'tube' else [slice(t, t + 1) for t in range(label.shape[1])]
        tubes += [(prob[b, part], label[b, part]) for part in frames]
    total = 0.0
    for p, q in tubes:
        dice = [d for k in range(p.shape[1]) if (d := literal_dice(p, q, k)) is not None]
        errors = sum(1 - d for d in dice)
        total += errors if reduction == 'sum' else errors / max(1, len(dice))
    return total / len(tubes)


def test_by_hand():
    """Two frames of one pixel, labels 0 and 1: dice_0 = 2 * 0.8 / (0.64 + 0.36 + 1), dice_1 = 2 * 0.4 / (0.04 + 0.16 + 1)."""
    prob = torch.tensor([[0.8, 0.2], [0.6, 0.4]]).reshape(1, 2, 2, 1, 1)
    label = torch.tensor([0, 1]).reshape(1, 2, 1, 1)
    dice, shown = tube_dice(prob, label)
    torch.testing.assert_close(dice, torch.tensor([[0.8, 0.8 / 1.2]]))
    assert shown.all()
    torch.testing.assert_close(tube_matching_loss(prob, label), torch.tensor(0.2 + 0.4 / 1.2))
    # Single frames: dice 1.6 / 1.64 of class 0 in the first, 0.8 / 1.16 of class 1 in the second.
    torch.testing.assert_close(tube_matching_loss(prob, label, mode='single'),
                               torch.tensor((2 - 1.6 / 1.64 - 0.8 / 1.16) / 2))


@pytest.mark.parametrize('mode', ['tube', 'single'])
@pytest.mark.parametrize('reduction', ['sum', 'mean'])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), ignored=st.sampled_from([0.0, 0.4, 1.0]))
def test_equals_the_literal_loop(mode, reduction, seed, ignored):
    prob, label = random_clip(seed, ignored=ignored, h=2, w=3)
    value = tube_matching_loss(prob, label, mode=mode, reduction=reduction)
    assert float(value) == pytest.approx(literal_loss(prob, label, mode, reduction), abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_dice_lies_in_0_1_and_the_truth_has_1(seed):
    prob, label = random_clip(seed)
    dice, _ = tube_dice(prob, label)
    assert (dice >= 0).all() and (dice <= 1).all()
    truth = (label[:, :, None] == torch.arange(4)[:, None, None]).float()
    torch.testing.assert_close(tube_dice(truth, label)[0], torch.ones(2, 4))
    assert float(tube_matching_loss(truth, label)) == 0


def test_the_order_of_frames_does_not_matter():
    prob, label = random_clip(1, ignored=0)
    torch.testing.assert_close(tube_matching_loss(prob.flip(1), label.flip(1)), tube_matching_loss(prob, label))


def test_an_absent_class_adds_nothing_and_moves_nothing():
    """Eq. 7 as it stands gives it a loss of 1 for any prediction: the gradient is the same."""
    prob, label = random_clip(2)
    logits = prob.log().requires_grad_()
    loss = tube_matching_loss(logits.softmax(2), label)
    gradient, = torch.autograd.grad(loss, logits)
    p = logits.softmax(2)
    q = (label[:, :, None] == torch.arange(4)[:, None, None]).float()
    known = (label != 255)[:, :, None]
    literal = (1 - 2 * (p * q).sum((1, 3, 4)) / ((p**2 * known).sum((1, 3, 4)) + q.sum((1, 3, 4)))).sum(1).mean()
    assert float(literal.detach() - loss.detach()) == pytest.approx(1, abs=1e-5)  # one class is absent in both clips
    torch.testing.assert_close(gradient, torch.autograd.grad(literal, logits)[0])


def test_pixels_without_a_label_are_out_of_both():
    prob, label = random_clip(3)
    other = torch.where((label == 255)[:, :, None], torch.rand_like(prob), prob)
    torch.testing.assert_close(tube_dice(other, label)[0], tube_dice(prob, label)[0], rtol=0, atol=0)


def test_nothing_labelled_is_a_zero_with_a_zero_gradient():
    logits = torch.randn(1, 2, 3, 2, 2, requires_grad=True)
    for reduction in ('sum', 'mean'):
        loss = tube_matching_loss(logits.softmax(2), torch.full((1, 2, 2, 2), 255), reduction=reduction)
        loss.backward()
        assert float(loss.detach()) == 0 and (logits.grad == 0).all()


def test_a_class_predicted_with_probability_zero_has_a_finite_gradient():
    prob = torch.zeros(1, 1, 2, 1, 1, requires_grad=True)
    tube_matching_loss(prob, torch.zeros(1, 1, 1, 1, dtype=torch.int64)).backward()
    assert prob.grad.isfinite().all() and float(prob.grad[0, 0, 0]) == pytest.approx(-2)


def test_half_precision_is_summed_in_single():
    prob, label = random_clip(4, h=40, w=60)
    value = tube_matching_loss(prob.bfloat16(), label)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, tube_matching_loss(prob.bfloat16().float(), label))


@pytest.mark.parametrize(('change', 'message'), [
    (dict(mode='clip'), "mode is 'clip'; expected 'tube' or 'single'"),
    (dict(reduction='none'), "reduction is 'none'; expected 'sum' or 'mean'"),
    (dict(label=torch.zeros(1, 2, 3, 5)), r'do not describe the same pixels; expected \(B, T, C, H, W\)'),
])
def test_bad_arguments_are_named(change, message):
    prob, label = random_clip(0)
    with pytest.raises(ValueError, match=message):
        tube_matching_loss(**{'prob': prob, 'label': label, **change})
