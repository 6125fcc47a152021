# SPDX-License-Identifier: Apache-2.0
"""Fourier style transfer against the formula written out in numpy with a shifted spectrum."""
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.fourier import fourier_style_transfer, phase_consistency, window_half_size


def images(shape, seed):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 255


def reference(source, target, beta):
    """One channel at a time, complex128, zero frequency in the middle, the window cut out by slicing."""
    result = np.empty(source.shape)
    height, width = source.shape[2:]
    half = math.floor(beta * min(height, width))
    top, left = height // 2 - half, width // 2 - half
    rows, columns = slice(max(0, top), top + 2 * half + 1), slice(max(0, left), left + 2 * half + 1)
    for image in range(source.shape[0]):
        for channel in range(source.shape[1]):
            own = np.fft.fftshift(np.fft.fft2(source[image, channel].double().numpy()))
            other = np.fft.fftshift(np.fft.fft2(target[image, channel].double().numpy()))
            amplitude = np.abs(own)
            amplitude[rows, columns] = np.abs(other)[rows, columns]
            mixed = np.fft.ifft2(np.fft.ifftshift(amplitude * np.exp(1j * np.angle(own))))
            assert np.abs(mixed.imag).max() < 1e-6  # the window is symmetric, so the image is real
            result[image, channel] = mixed.real
    return result


@pytest.mark.parametrize('size', [(128, 256), (33, 47), (32, 47), (33, 48), (180, 240), (1, 7), (9, 1)])
@pytest.mark.parametrize('beta', [0.01, 0.05, 0.09, 0.3, 0.49])
def test_equals_the_formula(size, beta):
    source, target = images((2, 3, *size), 0), images((2, 3, *size), 1)
    np.testing.assert_allclose(fourier_style_transfer(source, target, beta).numpy(), reference(source, target, beta), atol=2e-3)


@pytest.mark.parametrize('size', [(8, 8), (8, 12), (7, 7)])
def test_the_largest_window(size):
    source, target = images((1, 1, *size), 0), images((1, 1, *size), 1)
    result = fourier_style_transfer(source, target, 0.5)
    np.testing.assert_allclose(result.numpy(), reference(source, target, 0.5), atol=1e-3)
    if size[0] == size[1]:  # the whole spectrum
        torch.testing.assert_close(torch.fft.fft2(result).abs(), torch.fft.fft2(target).abs(), atol=1e-2, rtol=1e-4)


def test_half_size_is_of_the_shorter_side_rounded_down():
    assert [window_half_size((512, 1024), beta) for beta in (0.01, 0.05, 0.09)] == [5, 25, 46]
    assert [window_half_size((1024, 512), beta) for beta in (0.01, 0.05, 0.09)] == [5, 25, 46]
    assert window_half_size((64, 99), 0.01) == 0


def test_phase_is_kept_and_amplitudes_are_exchanged_inside_of_the_window_only():
    source, target = images((1, 3, 40, 60), 0), images((1, 3, 40, 60), 1)
    half = window_half_size((40, 60), 0.1)
    before, other, after = (torch.fft.fftshift(torch.fft.fft2(x), dim=(2, 3)) for x in
                            (source, target, fourier_style_transfer(source, target, 0.1)))
    turned = torch.angle(after * before.conj())
    assert turned.abs().max() < 1e-3
    inside = torch.zeros(40, 60, dtype=torch.bool)
    inside[20 - half:21 + half, 30 - half:31 + half] = True
    assert inside.sum() == (2 * half + 1)**2 == 81
    torch.testing.assert_close(after.abs()[..., inside], other.abs()[..., inside], rtol=1e-3, atol=1e-1)
    torch.testing.assert_close(after.abs()[..., ~inside], before.abs()[..., ~inside], rtol=1e-3, atol=1e-1)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 24), width=st.integers(1, 24), beta=st.floats(0, 0.5), seed=st.integers(0, 9))
def test_an_image_in_its_own_style_is_itself(height, width, beta, seed):
    source = images((1, 2, height, width), seed)
    torch.testing.assert_close(fourier_style_transfer(source, source, beta), source, atol=1e-3, rtol=0)


def test_beta_0_is_the_source_in_a_new_tensor():
    source = images((1, 3, 6, 8), 0)
    result = fourier_style_transfer(source, images((1, 3, 6, 8), 1), 0)
    assert torch.equal(result, source) and result.data_ptr() != source.data_ptr()


def test_a_window_of_one_frequency_exchanges_the_means():
    source, target = images((2, 3, 20, 30), 0), images((2, 3, 20, 30), 1)
    result = fourier_style_transfer(source, target, 0.01)
    expected = source - source.mean((2, 3), keepdim=True) + target.mean((2, 3), keepdim=True)
    torch.testing.assert_close(result, expected, atol=1e-3, rtol=0)


def test_constant_images_and_black_ones():
    grey, black = torch.full((1, 1, 9, 12), 100.0), torch.zeros(1, 1, 9, 12)
    torch.testing.assert_close(fourier_style_transfer(black, grey, 0.2), grey, atol=1e-4, rtol=0)  # no amplitude has phase 0
    torch.testing.assert_close(fourier_style_transfer(grey, black, 0.2), black, atol=1e-4, rtol=0)


def test_a_target_of_another_size_is_resized_to_the_source():
    source, target = images((1, 3, 24, 36), 0), images((1, 3, 15, 50), 1)
    resized = torch.nn.functional.interpolate(target, (24, 36), mode='bilinear', align_corners=False)
    result = fourier_style_transfer(source, target, 0.1)
    assert result.shape == source.shape
    np.testing.assert_allclose(result.numpy(), reference(source, resized, 0.1), atol=1e-3)


def test_takes_bytes_and_changes_nothing_in_place():
    source, target = images((1, 3, 12, 16), 0).to(torch.uint8), images((1, 3, 12, 16), 1).to(torch.uint8)
    copies = source.clone(), target.clone()
    result = fourier_style_transfer(source, target, 0.1)
    assert result.dtype == torch.float32
    assert torch.equal(source, copies[0]) and torch.equal(target, copies[1])
    assert torch.equal(result, fourier_style_transfer(source.float(), target.float(), 0.1))


def test_is_not_clipped():
    source = torch.zeros(1, 1, 8, 8)
    source[..., :4] = 255
    bright = torch.full((1, 1, 8, 8), 255.0)
    assert fourier_style_transfer(source, bright, 0.01).max() > 300


@pytest.mark.parametrize('beta', [-0.1, 0.51, float('nan')])
def test_beta_out_of_range(beta):
    with pytest.raises(ValueError, match=r'expected a share of the spectrum in \[0, 0.5\]'):
        fourier_style_transfer(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), beta)


@pytest.mark.parametrize('shape', [(2, 3, 4, 4), (1, 1, 4, 4), (3, 4, 4)])
def test_images_that_do_not_pair(shape):
    with pytest.raises(ValueError, match='pair the images first'):
        fourier_style_transfer(torch.zeros(1, 3, 4, 4), torch.zeros(shape), 0.1)


@pytest.mark.parametrize('size', [(8, 12), (7, 9)])
def test_phase_consistency_is_the_mean_cosine_of_phase_differences(size):
    one, two = images((3, 2, *size), 5), images((3, 2, *size), 6)

    def phase(image):
        return np.angle(np.fft.fft2(image.double().numpy()))

    expected = [np.mean([np.cos(phase(one[b, c]) - phase(two[b, c])) for c in range(2)]) for b in range(3)]
    torch.testing.assert_close(phase_consistency(one, two), torch.tensor(expected, dtype=torch.float32), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(phase_consistency(one, one), torch.ones(3))


def test_phases_are_blind_to_amplitudes_and_see_content():
    source, target = images((1, 3, 32, 48), 0), images((1, 3, 32, 48), 1)
    moved = fourier_style_transfer(source, target, 0.3)
    assert float(phase_consistency(moved, source)) > 0.999  # FDA's transfer keeps phases, PCEDA's criterion is met
    torch.testing.assert_close(phase_consistency(0.5 * source + 30, source), torch.ones(1))  # light and contrast
    assert float(phase_consistency(255 - source, source)) < -0.99  # all phases turned, but for the mean
    assert abs(float(phase_consistency(target, source))) < 0.1
    assert float(phase_consistency(source.roll(5, 3), source)) < 0.2


def test_phase_consistency_trains_a_translator():
    source = images((1, 3, 16, 16), 0)
    translated = images((1, 3, 16, 16), 1).requires_grad_()
    before = phase_consistency(translated, source)
    gradient, = torch.autograd.grad(before.sum(), translated)
    assert gradient.isfinite().all() and phase_consistency(translated + 20 * gradient / gradient.abs().max(), source) > before
    assert float(phase_consistency(torch.zeros(1, 1, 4, 4), torch.rand(1, 1, 4, 4))) == 0
    with pytest.raises(ValueError, match='translate at the size of the originals'):
        phase_consistency(source, source[..., :8])
