# SPDX-License-Identifier: Apache-2.0
"""Backward warping by optical flow, what of it can be trusted, and flow under resizing and mirroring.

``flow`` goes from a key frame to a reference frame: what the key frame shows at pixel (x, y) lies in the reference at
(x + u, y + v), with u = ``flow[:, 0]`` to the right, v = ``flow[:, 1]`` downwards, in pixels of the resolution at hand, and
integers at pixel centres. So :func:`warp` brings the *reference* onto the key frame (the paper's W_{ref => key}).

Visibility: :func:`photometric_visibility` is the rule of the video adaptation paper (text before its Eq. 10, threshold 0.7);
:func:`forward_backward_visibility` is that of Sundaram, Brox and Keutzer (ECCV 2010). Both say nothing about positions outside
of the reference, which :func:`warp` reports.
"""
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

#: The paper gives no alpha. This one draws its line (at threshold 0.7) at an RGB distance of 0.085, 12 of 255 grey levels in
#: every channel: where exp(-50 ||.||^2) of Lai et al. (ECCV 2018), a rule of the same form, has it.
PHOTOMETRIC_ALPHA = 4.2

#: Rules of which pixels two frames both show.
VISIBILITIES = ('photometric', 'forward_backward')
#: What is unknown may have this share of a position, which is off by up to a tenth of that (see :func:`warp`).
UNKNOWN_SHARE = 1e-3


def _positions(size: tuple[int, int], flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each pixel lies in the reference: x and y, (N, H, W), 0 where it is outside; and whether it is inside."""
    height, width = size
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + flow[:, 0]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None] + flow[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)  # False for NaN
    return x.masked_fill(~inside, 0), y.masked_fill(~inside, 0), inside


def _check(values: Tensor, flow: Tensor) -> None:
    if values.dim() != 4 or flow.shape != (values.shape[0], 2, *values.shape[2:]):
        raise ValueError(f'got values of shape {tuple(values.shape)} and flow of shape {tuple(flow.shape)}; expected '
                         '(N, C, H, W) and (N, 2, H, W) of the same N, H and W (resize_flow brings flow to another size)')
    if not flow.is_floating_point():
        raise ValueError(f'flow has dtype {flow.dtype}; expected floating point numbers, in pixels')


def warp(values: Tensor, flow: Tensor, mode: str = 'bilinear') -> tuple[Tensor, Tensor]:
    r"""Samples the reference where each pixel of the key frame lies in it: :math:`W(V)(x) = V(x + f(x))`.

    Args:
        values (Tensor): (N, C, H, W), what the reference holds. Floating point for ``'bilinear'``, any dtype for ``'nearest'``.
        flow (Tensor): float, (N, 2, H, W), in pixels, from the key frame to the reference; NaN where it is unknown.
        mode (str): ``'bilinear'``, differentiable with respect to values and flow; or ``'nearest'``, exact copies, halves
            rounded up, differentiable with respect to values.

    Returns:
        tuple[Tensor, Tensor]: the values as the key frame sees them, (N, C, H, W), dtype of ``values``, 0 where the position
        is outside; and bool, (N, H, W), whether it lies inside, 0 <= x <= W - 1 and 0 <= y <= H - 1. NaN lies outside.
        Positions are kept in float32 (float64 for float64 values), whatever autocast says. The bilinear result of integer
        flow is an exact shift where H and W are powers of two; at other sizes positions are off by at most about 1e-4 pixels.

    Raises:
        ValueError: for shapes or dtypes that do not fit, or another mode.

    Example:
        >>> moved, inside = warp(torch.tensor([[[[1., 2., 3., 4.]]]]), torch.tensor([[[[.5] * 4], [[0.] * 4]]]))
        >>> moved.tolist(), inside.tolist()
        ([[[[1.5, 2.5, 3.5, 0.0]]]], [[[True, True, True, False]]])
    """
    _check(values, flow)
    size = (values.shape[2], values.shape[3])
    dtype = torch.float64 if values.dtype == torch.float64 else torch.float32
    x, y, inside = _positions(size, flow.to(dtype))
    if mode == 'nearest':
        index = ((y + 0.5).long() * size[1] + (x + 0.5).long()).flatten(1)[:, None]
        warped = values.flatten(2).gather(2, index.expand(-1, values.shape[1], -1)).view_as(values)
    elif mode == 'bilinear':
        if not values.is_floating_point():
            raise ValueError(f"values have dtype {values.dtype}, which mode='bilinear' cannot mix; convert them to float, or use "
                             "mode='nearest' for ids")
        # Of grid_sample's two conventions this is the one whose way to [-1, 1] and back is exact for powers of two.
        grid = torch.stack([(2 * x + 1) / size[1] - 1, (2 * y + 1) / size[0] - 1], -1)
        warped = grid_sample(values.to(dtype), grid, mode='bilinear', padding_mode='border', align_corners=False)
        warped = warped.to(values.dtype)
    else:
        raise ValueError(f"mode is {mode!r}; expected 'bilinear' or 'nearest'")
    return warped.masked_fill(~inside[:, None], 0), inside


def warp_labels(label: Tensor, flow: Tensor, fill: int = 255) -> Tensor:
    """Labels of the reference as the key frame sees them; ids are copied, never mixed.

    Args:
        label (Tensor): integer, (N, H, W).
        flow (Tensor): float, (N, 2, H, W), in pixels, from the key frame to the reference.
        fill (int): label of pixels that lie outside of the reference.

    Returns:
        Tensor: (N, H, W), dtype of ``label``.
    """
    warped, inside = warp(label[:, None], flow, mode='nearest')
    return warped[:, 0].masked_fill(~inside, fill)


def photometric_visibility(image: Tensor, warped: Tensor, alpha: float = PHOTOMETRIC_ALPHA, threshold: float = 0.7) -> Tensor:
    r"""Pixels that look the same in both frames, :math:`O = \exp(-\alpha \|x_i - W_{j \Rightarrow i}(x_j)\|_2) > th`.

    The norm is over the colours of a pixel, so ``alpha`` goes with their scale: a larger one keeps fewer pixels, and the line
    is at a distance of -log(threshold) / alpha. Images that are noisy, compressed or taken under flicker want a smaller one.

    Args:
        image (Tensor): float, (N, 3, H, W), RGB in [0, 1], the key frame.
        warped (Tensor): the same, the reference after :func:`warp`.
        alpha (float): > 0; see ``PHOTOMETRIC_ALPHA``.
        threshold (float): th in (0, 1).

    Returns:
        Tensor: bool, (N, H, W). Positions outside of the reference are for the caller to take out (``& inside``).

    Raises:
        ValueError: for shapes that differ, integer images, or numbers out of range.
    """
    if image.shape != warped.shape or image.dim() != 4:
        raise ValueError(f'got images of shapes {tuple(image.shape)} and {tuple(warped.shape)}; expected (N, 3, H, W), the same')
    if not (image.is_floating_point() and warped.is_floating_point()):
        raise ValueError(f'images have dtypes {image.dtype} and {warped.dtype}; expected floating point numbers in [0, 1]')
    if alpha <= 0 or not 0 < threshold < 1:
        raise ValueError(f'got alpha={alpha} and threshold={threshold}; expected alpha > 0 and a threshold in (0, 1)')
    distance = (image.float() - warped.float()).square().sum(1).sqrt()
    return (-alpha * distance).exp() > threshold


def forward_backward_visibility(flow: Tensor, back_flow: Tensor, back_known: Tensor | None = None, *, ratio: float = 0.01,
                                offset: float = 0.5) -> Tensor:
    r"""Pixels that the backward flow brings home, :math:`|f + b(x + f)|^2 < r (|f|^2 + |b(x + f)|^2) + o`.

    Args:
        flow (Tensor): float, (N, 2, H, W), f, in pixels, from the key frame to the reference.
        back_flow (Tensor): the same, b, from the reference to the key frame.
        back_known (Tensor, optional): bool, (N, H, W), where b is known; by default everywhere.
        ratio (float): r, of the squared lengths that may be missed. Default: 0.01, of Sundaram et al.
        offset (float): o, in squared pixels. Default: 0.5, of Sundaram et al.

    Returns:
        Tensor: bool, (N, H, W); False too where the position lies outside, flow is NaN, or b is unknown at pixels that make up a
        thousandth or more of the position.
    """
    if back_known is not None:
        back_flow = back_flow.masked_fill(~back_known[:, None], 0)
    returned, inside = warp(back_flow, flow)
    if back_known is not None:
        unknown, _ = warp((~back_known)[:, None].to(returned.dtype), flow)
        inside &= unknown[:, 0] < UNKNOWN_SHARE
    flow, returned = flow.float(), returned.float()
    missed = (flow + returned).square().sum(1)
    allowed = ratio * (flow.square().sum(1) + returned.square().sum(1)) + offset
    return inside & (missed < allowed)


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Flow at another resolution: resampled bilinearly, and its values scaled, since they are in pixels.

    Args:
        flow (Tensor): float, (N, 2, H, W).
        size (tuple[int, int]): height and width to go to.

    Returns:
        Tensor: ``(N, 2, *size)``, same dtype. Pixel (x, y) goes to ((x + 0.5) W' / W - 0.5, ...), as images do. NaN spreads.
    """
    u, v = interpolate(flow, size=tuple(size), mode='bilinear', align_corners=False).unbind(1)
    return torch.stack([u * (size[1] / flow.shape[3]), v * (size[0] / flow.shape[2])], 1)


def flip_flow(flow: Tensor) -> Tensor:
    """Flow of the mirrored frames (left to right): columns in reverse order and u negated; (..., 2, H, W)."""
    u, v = flow.flip(-1).unbind(-3)
    return torch.stack([-u, v], -3)
