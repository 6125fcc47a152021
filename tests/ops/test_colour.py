# SPDX-License-Identifier: Apache-2.0
"""Random colours: one gain and shift a channel of an image, a blur of some images, nothing beyond the limits."""
import torch

from udatools.ops.colour import random_colour


def test_without_jitter_and_blur_nothing_changes():
    images = torch.randn(2, 3, 4, 5)
    assert torch.equal(random_colour(images, jitter=0.0, blur_sigma_px=0), images)


def test_each_channel_has_a_gain_and_a_shift_within_the_limits():
    torch.manual_seed(0)
    images = torch.randn(20, 3, 4, 5)
    changed = random_colour(images, jitter=0.2, blur_sigma_px=0)
    gain = (changed[..., 0, 0] - changed[..., 0, 1]) / (images[..., 0, 0] - images[..., 0, 1])
    shift = changed[..., 0, 0] - gain * images[..., 0, 0]
    torch.testing.assert_close(images * gain[..., None, None] + shift[..., None, None], changed, rtol=1e-3, atol=1e-4)
    for drawn, centre in ((gain, 1.0), (shift, 0.0)):
        assert (drawn - centre).abs().max() <= 0.2 + 1e-4 and (drawn - centre).abs().max() > 0.15
        assert len(drawn.unique()) == 60


def test_about_half_of_the_images_are_blurred():
    torch.manual_seed(0)
    images = torch.zeros(100, 1, 7, 7)
    images[:, :, 3, 3] = 1
    changed = random_colour(images, jitter=0.0, blur_sigma_px=1.0)
    sharp = changed[:, 0, 3, 3] == 1
    assert 35 < int(sharp.sum()) < 65
    kernel = torch.exp(-torch.arange(-2, 3) ** 2 / 2.0)
    expected = torch.zeros(7, 7)
    expected[1:6, 1:6] = torch.outer(kernel, kernel) / kernel.sum() ** 2
    torch.testing.assert_close(changed[~sharp][0, 0], expected)
