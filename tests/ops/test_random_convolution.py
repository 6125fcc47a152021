# SPDX-License-Identifier: Apache-2.0
"""Random textures: the filter written out, what stays, and what is drawn."""
import pytest
import torch

from udatools.ops.random_convolution import draw_kernel, random_convolution


def picture(height=9, width=11, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * 200 + 20


def test_equals_the_sums_written_out():
    image, kernel = picture(), torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    mean, deviation = image.double().mean(), image.double().std(unbiased=False)
    centred = (image.double() - mean) / deviation
    expected = torch.empty(3, 9, 11, dtype=torch.float64)
    for o in range(3):
        for y in range(9):
            for x in range(11):
                total = 0.0
                for c in range(3):
                    for v in range(3):
                        for u in range(3):
                            row, column = abs(y + v - 1), abs(x + u - 1)  # reflected, the border not twice
                            row, column = 16 - row if row > 8 else row, 20 - column if column > 10 else column
                            total += float(kernel[o, c, v, u]) * float(centred[c, row, column])
                expected[o, y, x] = 0.25 * centred[o, y, x] + 0.75 * total
    expected = (expected - expected.mean()) / expected.std(unbiased=False) * deviation + mean
    torch.testing.assert_close(random_convolution(image, kernel, 0.25).double(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('size', [1, 3, 7])
def test_light_stays_and_the_share_of_the_image_is_the_image(size):
    image, kernel = picture(40, 50), draw_kernel((size, ), torch.Generator().manual_seed(2))
    assert kernel.shape == (3, 3, size, size)
    changed = random_convolution(image, kernel, 0.0)
    torch.testing.assert_close(changed.mean(), image.mean())
    torch.testing.assert_close(changed.std(), image.std())
    assert (changed - image).abs().mean() > 10
    torch.testing.assert_close(random_convolution(image, kernel, 1.0), image, rtol=1e-4, atol=1e-3)


def test_edges_stay_where_they_are():
    """Left and right half differ before and after, and within a half nothing changes a filter's reach away from the edge."""
    image = torch.full((3, 20, 40), 50.0)
    image[:, :, 20:] = torch.tensor([200.0, 150.0, 100.0])[:, None, None]
    changed = random_convolution(image, draw_kernel((5, ), torch.Generator().manual_seed(0)), 0.0)
    for half in (changed[:, :, :18], changed[:, :, 22:]):
        torch.testing.assert_close(half, half[:, :1, :1].expand_as(half), rtol=1e-4, atol=1e-2)
    assert (changed[:, 0, 0] - changed[:, 0, -1]).abs().max() > 20


def test_small_and_constant_images():
    assert random_convolution(picture(2, 3), draw_kernel((7, ), torch.Generator().manual_seed(0)), 0.0).shape == (3, 2, 3)
    constant = torch.full((3, 6, 6), 77.0)
    torch.testing.assert_close(random_convolution(constant, draw_kernel((3, )), 0.3), constant)


def test_kernels_have_unit_gain_and_every_size():
    generator = torch.Generator().manual_seed(0)
    kernels = [draw_kernel((1, 3, 5), generator) for _ in range(300)]
    sizes = [kernel.shape[-1] for kernel in kernels]
    assert all(70 < sizes.count(size) < 130 for size in (1, 3, 5))
    gain = torch.stack([kernel.square().sum() / 3 for kernel in kernels]).mean()  # of an output channel, for white noise
    assert 0.9 < float(gain) < 1.1
