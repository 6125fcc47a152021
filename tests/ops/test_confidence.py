# SPDX-License-Identifier: Apache-2.0
"""Certainty maps against literal loops over pixels, at hand-picked values, and at logits where a naive formula breaks."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.confidence import (
    charbonnier_entropy_map,
    entropy_map,
    image_wise_class_weights,
    kld_to_uniform_map,
    max_squares_map,
    weighted_self_information,
)

MAPS = (entropy_map, kld_to_uniform_map, max_squares_map, charbonnier_entropy_map, weighted_self_information)


def random_logits(seed=0, shape=(2, 5, 3, 4), scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def literal(logits, measure):
    """``measure(list of probabilities)`` at every pixel."""
    out = torch.zeros(logits.shape[0], *logits.shape[2:], dtype=torch.float64)
    for b in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                scores = [math.exp(float(v)) for v in logits[b, :, y, x]]
                out[b, y, x] = measure([s / sum(scores) for s in scores])
    return out


def shannon(prob):
    return -sum(p * math.log(p) for p in prob)


REFERENCES = {
    'entropy': (entropy_map, lambda p: shannon(p) / math.log(len(p))),
    'nats': (lambda z: entropy_map(z, normalised=False), shannon),
    'bits over log2 C': (entropy_map, lambda p: -sum(q * math.log2(q) for q in p) / math.log2(len(p))),
    'kld': (kld_to_uniform_map, lambda p: -sum(math.log(q) for q in p) / len(p)),
    'kld is the divergence plus log C': (
        kld_to_uniform_map, lambda p: math.log(len(p)) + sum(math.log(1 / len(p) / q) for q in p) / len(p)),
    'max squares': (max_squares_map, lambda p: -sum(q * q for q in p) / 2),
    'charbonnier': (lambda z: charbonnier_entropy_map(z, eta=1.5),
                    lambda p: ((shannon(p) / math.log(len(p)))**2 + 0.001**2)**1.5),
}


@pytest.mark.parametrize('name', REFERENCES)
def test_maps_equal_their_formula_pixel_by_pixel(name):
    ours, formula = REFERENCES[name]
    logits = random_logits()
    torch.testing.assert_close(ours(logits), literal(logits, formula), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(ours(logits.float()), literal(logits, formula).float(), rtol=1e-4, atol=1e-6)


def test_self_information_is_the_share_of_each_class_in_the_entropy():
    logits = random_logits(1)
    maps = weighted_self_information(logits)
    assert maps.shape == logits.shape
    for c in range(5):
        torch.testing.assert_close(maps[:, c], literal(logits, lambda p, c=c: -p[c] * math.log(p[c]) / math.log(5)))
    torch.testing.assert_close(maps.sum(1), entropy_map(logits))


def test_uniform_and_certain_predictions_by_hand():
    even, certain = torch.zeros(1, 4, 1, 1), torch.tensor([1e4, 0, 0, 0]).view(1, 4, 1, 1)
    assert float(entropy_map(even)) == pytest.approx(1.0) and float(entropy_map(certain)) == 0
    assert float(entropy_map(even, normalised=False)) == pytest.approx(math.log(4))
    assert float(kld_to_uniform_map(even)) == pytest.approx(math.log(4))
    assert float(kld_to_uniform_map(certain)) == pytest.approx(7500.0)
    assert float(max_squares_map(even)) == pytest.approx(-1 / 8) and float(max_squares_map(certain)) == -0.5
    assert float(charbonnier_entropy_map(certain, eta=2.0)) == pytest.approx(1e-12)


@pytest.mark.parametrize('measure', MAPS, ids=lambda f: f.__name__)
@pytest.mark.parametrize('size', [1e4, 3e4])
def test_extreme_logits_of_half_precision_give_finite_values_and_gradients(measure, size):
    logits = torch.tensor([[size, -size, 0.0], [size, size, -size]]).T.view(1, 3, 1, 2).half().requires_grad_()
    value = measure(logits)
    assert value.dtype == torch.float32 and value.isfinite().all()
    value.sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize('measure', MAPS, ids=lambda f: f.__name__)
def test_gradients_match_finite_differences(measure):
    assert torch.autograd.gradcheck(measure, random_logits(2, (1, 3, 2, 2), 1.0).requires_grad_())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 30), st.integers(2, 20))
def test_bounds_and_shift(seed, scale, classes):
    logits = random_logits(seed, (1, classes, 2, 3), scale)
    tiny = 1e-9
    for measure, low, high in ((entropy_map, 0, 1), (max_squares_map, -0.5, -0.5 / classes),
                               (kld_to_uniform_map, math.log(classes), math.inf)):
        value = measure(logits)
        assert (value >= low - tiny).all() and (value <= high + tiny).all()
        torch.testing.assert_close(measure(logits + 7.0), value)
        torch.testing.assert_close(measure(logits.flip(1)), value)


@pytest.mark.parametrize('measure', MAPS, ids=lambda f: f.__name__)
def test_other_shapes_are_refused(measure):
    for shape in ((3, 2, 2), (1, 1, 2, 2)):
        with pytest.raises(ValueError, match=r'expected \(B, C, H, W\)'):
            measure(torch.zeros(shape))


def literal_weights(prediction, num_classes, ratio, region):
    weights = torch.zeros(len(prediction), num_classes)
    for b, image in enumerate(prediction):
        inside = [int(image[y, x]) for y in range(image.shape[0]) for x in range(image.shape[1]) if region[b, y, x]]
        for c in set(inside):
            weights[b, c] = 1 / (inside.count(c)**ratio * len(inside)**(1 - ratio))
    return weights


@pytest.mark.parametrize('ratio', [0.0, 0.2, 1.0])
@pytest.mark.parametrize('share', [1.0, 0.5, 0.0])
def test_image_wise_weights_count_each_image_alone(ratio, share):
    generator = torch.Generator().manual_seed(4)
    prediction = torch.randint(0, 4, (3, 4, 5), generator=generator)
    prediction[1] = 2  # a constant image
    prediction[2, 0, 0], prediction[2, 1:] = 3, 0  # a class of few pixels, another of none
    region = torch.rand(3, 4, 5, generator=generator) < share
    ours = image_wise_class_weights(prediction, 6, ratio=ratio, region=region)
    torch.testing.assert_close(ours, literal_weights(prediction, 6, ratio, region))
    if share == 1.0:
        torch.testing.assert_close(image_wise_class_weights(prediction, 6, ratio=ratio), ours)


def test_image_wise_weights_by_hand():
    prediction = torch.tensor([[[0, 0, 0, 1]]])
    weights = image_wise_class_weights(prediction, 3, ratio=0.2)
    expected = [1 / (3**0.2 * 4**0.8), 1 / 4**0.8, 0.0]
    assert weights[0].tolist() == pytest.approx(expected)
