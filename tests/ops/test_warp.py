# SPDX-License-Identifier: Apache-2.0
"""Warping against a loop over pixels, at borders and by hand; visibility against its formulas; flow under resize and flip."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.warp import flip_flow, forward_backward_visibility, photometric_visibility, resize_flow, warp, warp_labels

DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU'))]


def literal_warp(values, flow, mode):
    """One pixel at a time, four taps written out."""
    count, channels, height, width = values.shape
    out = torch.zeros_like(values)
    inside = torch.zeros(count, height, width, dtype=torch.bool)
    for n in range(count):
        for y in range(height):
            for x in range(width):
                px, py = x + float(flow[n, 0, y, x]), y + float(flow[n, 1, y, x])
                if not (0 <= px <= width - 1 and 0 <= py <= height - 1):
                    continue
                inside[n, y, x] = True
                if mode == 'nearest':
                    out[n, :, y, x] = values[n, :, math.floor(py + 0.5), math.floor(px + 0.5)]
                    continue
                left, top = math.floor(px), math.floor(py)
                for row, row_weight in ((top, 1 - (py - top)), (top + 1, py - top)):
                    for column, column_weight in ((left, 1 - (px - left)), (left + 1, px - left)):
                        if row_weight * column_weight:
                            out[n, :, y, x] += row_weight * column_weight * values[n, :, row, column]
    return out, inside


def random_case(seed, size=(5, 7), channels=3, reach=3.0, steps=64):
    """Values in [0, 1] and flow in multiples of 1 / steps, some of it outside, some of it exactly at the border."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(2, channels, *size, generator=generator)
    flow = (reach * steps * torch.randn(2, 2, *size, generator=generator)).round() / steps
    return values, flow


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('mode', ['bilinear', 'nearest'])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 6), width=st.integers(1, 6), steps=st.sampled_from([1, 2, 64]))
def test_warp_equals_a_loop_over_pixels(mode, device, seed, height, width, steps):
    values, flow = random_case(seed, (height, width), steps=steps)
    ours, inside = (part.cpu() for part in warp(values.to(device), flow.to(device), mode))
    expected, expected_inside = literal_warp(values, flow, mode)
    assert ours.dtype == torch.float32 and torch.equal(inside, expected_inside)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 if mode == 'bilinear' else 0)


def test_the_flow_points_from_the_key_frame_to_the_reference():
    reference = torch.arange(8.0).view(1, 1, 2, 4)
    right = torch.zeros(1, 2, 2, 4)
    right[:, 0] = 1  # what the key frame has at x lies at x + 1 in the reference
    warped, inside = warp(reference, right)
    assert warped[0, 0].tolist() == [[1, 2, 3, 0], [5, 6, 7, 0]]
    assert inside[0].tolist() == [[True, True, True, False]] * 2
    up = torch.zeros(1, 2, 2, 4)
    up[:, 1] = -1
    assert warp(reference, up)[0][0, 0].tolist() == [[0, 0, 0, 0], [0, 1, 2, 3]]
    half = torch.full((1, 2, 2, 4), 0.5)
    assert warp(reference, half)[0][0, 0].tolist() == [[2.5, 3.5, 4.5, 0], [0, 0, 0, 0]]
    assert warp(reference, half, 'nearest')[0][0, 0].tolist() == [[5, 6, 7, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize(('size', 'tolerance'), [((64, 128), 0), ((90, 121), 2e-5)])
def test_integer_flow_is_a_shift(size, tolerance, device):
    values = torch.rand(1, 2, *size, generator=torch.Generator().manual_seed(0)).to(device)
    flow = torch.zeros(1, 2, *size, device=device)
    flow[:, 0], flow[:, 1] = 3, -2
    warped, inside = warp(values, flow)
    expected = torch.zeros_like(values)
    expected[..., 2:, :-3] = values[..., :-2, 3:]
    torch.testing.assert_close(warped, expected, rtol=0, atol=tolerance)
    assert int(inside.sum()) == (size[0] - 2) * (size[1] - 3)
    assert torch.equal(warp(values, flow, 'nearest')[0], expected)


def test_the_border_belongs_to_the_image_and_nothing_beyond():
    values = torch.arange(1.0, 5.0).view(1, 1, 1, 4)
    for shift, last in ((0.0, True), (1e-3, False), (-1e-3, True)):
        flow = torch.zeros(1, 2, 1, 4)
        flow[:, 0] = shift
        warped, inside = warp(values, flow)
        assert bool(inside[0, 0, 3]) == last and bool(inside[0, 0, 0]) == (shift >= 0)
        assert (warped[0, 0, 0, 3] > 3.9) == last and (warped[0, 0, 0, 0] > 0.9) == (shift >= 0)


@pytest.mark.parametrize('mode', ['bilinear', 'nearest'])
def test_unknown_and_endless_flow_lies_outside_and_sends_no_gradient(mode):
    values = torch.ones(1, 1, 2, 4, requires_grad=True)
    flow = torch.zeros(1, 2, 2, 4)
    flow[0, 0, 0, 0], flow[0, 1, 0, 1], flow[0, 0, 1, 2] = math.nan, math.inf, -1e30
    flow.requires_grad_(mode == 'bilinear')
    warped, inside = warp(values, flow, mode)
    assert inside[0].tolist() == [[False, False, True, True], [True, True, False, True]]
    assert warped[0, 0].tolist() == [[0, 0, 1, 1], [1, 1, 0, 1]]
    warped.sum().backward()
    assert values.grad.tolist() == [[[[0, 0, 1, 1], [1, 1, 0, 1]]]]
    assert flow.grad is None or torch.isfinite(flow.grad).all()


def test_gradients_with_respect_to_values_and_flow():
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    # Between pixel centres, where bilinear interpolation has a derivative.
    flow = torch.randint(-1, 2, (1, 2, 4, 5), generator=generator) + 0.2 + 0.6 * torch.rand(1, 2, 4, 5, generator=generator)
    flow = flow.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v, f: warp(v, f)[0], (values, flow))
    assert torch.autograd.gradcheck(lambda v: warp(v, flow.detach(), 'nearest')[0], (values, ))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_positions_keep_their_precision_in_half_types_and_under_autocast(dtype):
    values = torch.rand(1, 2, 3, 700, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(1, 2, 3, 700)
    flow[:, 0] = 0.25  # neither 699.25 nor the grid exists in 8 or 11 bits
    exact = warp(values, flow)
    for device in ('cpu', 'cuda')[:1 + torch.cuda.is_available()]:
        with torch.autocast(device, dtype):
            warped, inside = warp(values.to(device), flow.to(device))
        torch.testing.assert_close(warped.cpu(), exact[0], rtol=0, atol=1e-4)
    warped, inside = warp(values.to(dtype), flow.to(dtype))
    assert warped.dtype == dtype and torch.equal(inside, exact[1])
    torch.testing.assert_close(warped.float(), exact[0], rtol=0, atol=2**-7)


@pytest.mark.parametrize('device', DEVICES)
def test_labels_are_copied_never_mixed(device):
    label = torch.tensor([[[0, 18, 255, 7]]], device=device)
    flow = torch.zeros(1, 2, 1, 4, device=device)
    flow[0, 0, 0] = torch.tensor([0.6, -1.0, 0.4, 0.1])
    assert warp_labels(label, flow).tolist() == [[[18, 0, 255, 255]]]
    assert warp_labels(label, flow, fill=254).tolist() == [[[18, 0, 255, 254]]]
    large = torch.full((1, 2, 2), 2**40 + 1, device=device)  # no float32 holds it
    assert torch.equal(warp_labels(large, torch.zeros(1, 2, 2, 2, device=device)), large)
    assert warp_labels(label.to(torch.uint8), flow).dtype == torch.uint8


@pytest.mark.parametrize('device', DEVICES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), alpha=st.sampled_from([0.5, 4.2, 20.0]), threshold=st.sampled_from([0.3, 0.7, 0.95]))
def test_photometric_visibility_is_the_formula_of_the_paper(device, seed, alpha, threshold):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(1, 3, 3, 4, generator=generator)
    noise = torch.randn(1, 3, 3, 4, generator=generator) * torch.rand(1, 1, 3, 4, generator=generator)
    warped = (image + 0.3 * noise).clamp(0, 1)
    ours = photometric_visibility(image.to(device), warped.to(device), alpha, threshold).cpu()
    for y in range(3):
        for x in range(4):
            distance = math.sqrt(sum((float(image[0, c, y, x]) - float(warped[0, c, y, x]))**2 for c in range(3)))
            visible = math.exp(-alpha * distance)
            if abs(visible - threshold) > 1e-5:
                assert bool(ours[0, y, x]) == (visible > threshold)


def test_the_default_line_is_at_twelve_grey_levels():
    image = torch.full((1, 3, 1, 2), 0.5)
    warped = image + torch.tensor([12.0, 13.0]).view(1, 1, 1, 2) / 255
    assert photometric_visibility(image, warped).tolist() == [[[True, False]]]
    assert photometric_visibility(image, image, alpha=1e6).all()


@pytest.mark.parametrize('device', DEVICES)
def test_forward_backward_visibility_against_a_loop_and_an_occlusion(device):
    _, flow = random_case(3, (4, 6), reach=0.7)
    _, back = random_case(4, (4, 6), reach=0.7)
    back = torch.where(torch.rand(2, 1, 4, 6, generator=torch.Generator().manual_seed(5)) < 0.5, -flow, back)
    ours = forward_backward_visibility(flow.to(device), back.to(device)).cpu()
    returned, inside = literal_warp(back, flow, 'bilinear')
    for n in range(2):
        for y in range(4):
            for x in range(6):
                f, b = flow[n, :, y, x].double(), returned[n, :, y, x].double()
                allowed = 0.01 * float((f**2).sum() + (b**2).sum()) + 0.5
                assert bool(ours[n, y, x]) == (bool(inside[n, y, x]) and float(((f + b)**2).sum()) < allowed)
    assert 0 < int(ours.sum()) < int(inside.sum())
    # A thing moved by 3 onto what the key frame shows at x = 4: the ground there comes back as the thing.
    flow, back = torch.zeros(1, 2, 1, 8), torch.zeros(1, 2, 1, 8)
    flow[0, 0, 0, 1], back[0, 0, 0, 4] = 3, -3
    flow[0, 0, 0, 7] = math.nan
    assert forward_backward_visibility(flow, back)[0, 0].tolist() == [True, True, True, True, False, True, True, False]
    assert forward_backward_visibility(flow, back, offset=9.1)[0, 0, 4]
    assert forward_backward_visibility(flow, back, ratio=1.1)[0, 0, 4]


def test_unknown_backward_flow_is_invisible():
    """At x = 2 it is unknown, NaN or not: the pixel that leads there, and the one that leads between 2 and 3, are invisible."""
    flow = torch.zeros(1, 2, 1, 5)
    flow[0, 0, 0, 3] = -0.5
    known = torch.tensor([[[True, True, False, True, True]]])
    for value in (0.0, float('nan')):
        back = torch.zeros(1, 2, 1, 5).masked_fill(~known[:, None], value)
        assert forward_backward_visibility(flow, back, known)[0, 0].tolist() == [True, True, False, False, True]
    assert forward_backward_visibility(flow, torch.zeros(1, 2, 1, 5)).all()


def smooth_scene(size):
    """A scene without sharp edges, seen at ``size``, and seen from elsewhere: (key, reference, flow) with flow in pixels."""
    y, x = (((torch.arange(length, dtype=torch.float64) + 0.5) / length) for length in size)
    u, v = 0.04 + 0.02 * torch.sin(3 * x)[None].expand(size), -0.03 * torch.cos(2 * y)[:, None].expand(size)
    x, y = x[None].expand(size), y[:, None].expand(size)

    def reference(x, y):
        return torch.sin(7 * x + 2 * y) + torch.cos(5 * y - x)

    flow = torch.stack([u * size[1], v * size[0]])[None]
    return reference(x + u, y + v)[None, None], reference(x, y)[None, None], flow


@pytest.mark.parametrize('size', [(60, 80), (30, 40), (45, 100), (120, 60)])
def test_resized_flow_warps_the_resized_reference_onto_the_resized_key_frame(size):
    flow = resize_flow(smooth_scene((60, 80))[2], size)
    key, reference, _ = smooth_scene(size)
    warped, inside = warp(reference, flow)
    assert flow.shape == (1, 2, *size) and inside.float().mean() > 0.85
    assert (warped - key)[:, 0][inside].abs().max() < 0.02
    unscaled = flow * torch.tensor([80 / size[1], 60 / size[0]]).view(1, 2, 1, 1)
    assert size == (60, 80) or (warp(reference, unscaled)[0] - key)[:, 0][inside].abs().max() > 0.05


def test_flipped_flow_warps_the_mirrored_reference_onto_the_mirrored_key_frame():
    key, reference, flow = smooth_scene((30, 40))
    warped, inside = warp(reference, flow)
    mirrored, mirrored_inside = warp(reference.flip(-1), flip_flow(flow))
    torch.testing.assert_close(mirrored, warped.flip(-1))
    assert torch.equal(mirrored_inside, inside.flip(-1))
    assert torch.equal(flip_flow(flip_flow(flow)), flow)
    assert flip_flow(torch.ones(3, 4, 2, 5, 6)).shape == (3, 4, 2, 5, 6)


@pytest.mark.parametrize(('values', 'flow', 'mode', 'message'), [
    (torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 5, 4), 'bilinear', 'resize_flow'),
    (torch.zeros(2, 3, 4, 5), torch.zeros(1, 2, 4, 5), 'bilinear', r'\(N, 2, H, W\)'),
    (torch.zeros(3, 4, 5), torch.zeros(1, 2, 4, 5), 'bilinear', r'\(N, C, H, W\)'),
    (torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 4, 5, dtype=torch.long), 'nearest', 'in pixels'),
    (torch.zeros(1, 3, 4, 5, dtype=torch.uint8), torch.zeros(1, 2, 4, 5), 'bilinear', 'convert them to float'),
    (torch.zeros(1, 3, 4, 5), torch.zeros(1, 2, 4, 5), 'bicubic', "'bilinear' or 'nearest'"),
])
def test_warp_refuses_what_does_not_fit(values, flow, mode, message):
    with pytest.raises(ValueError, match=message):
        warp(values, flow, mode)


@pytest.mark.parametrize(('warped', 'kwargs'), [
    (torch.zeros(1, 3, 2, 3), {}), (torch.zeros(1, 3, 2, 2, dtype=torch.uint8), {}), (torch.zeros(1, 3, 2, 2), dict(alpha=0)),
    (torch.zeros(1, 3, 2, 2), dict(threshold=1.0)),
])
def test_photometric_visibility_refuses_what_does_not_fit(warped, kwargs):
    with pytest.raises(ValueError, match='expected'):
        photometric_visibility(torch.zeros(1, 3, 2, 2), warped, **kwargs)
