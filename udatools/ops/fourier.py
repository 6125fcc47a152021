# SPDX-License-Identifier: Apache-2.0
"""Style transfer in the Fourier domain (FDA: Yang and Soatto, CVPR 2020, Eq. 3), and how well a translation keeps phases (PCEDA:
Yang, Lao, Sundaramoorthi, Soatto, CVPR 2020).

Low-frequency amplitudes carry illumination and colour, phases carry the content: the amplitudes in a small window around
frequency 0 come from the target, all else stays the source's. The window is the square of the authors' code, ``2b + 1``
frequencies wide with ``b = floor(beta * min(H, W))``; the text of the paper has ``beta H`` by ``beta W``. Unlike the
authors' code, ``beta=0`` is the unchanged source, as the paper says, and images of two sizes are taken: the target is resized.
"""
import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def window_half_size(size: tuple[int, int], beta: float) -> int:
    """``floor(beta * min(H, W))``: frequencies on each side of 0 that are exchanged.

    Args:
        size (tuple[int, int]): (H, W).
        beta (float): in [0, 0.5].

    Raises:
        ValueError: for a ``beta`` outside of its range.
    """
    if not 0 <= beta <= 0.5:
        raise ValueError(f'beta is {beta}; expected a share of the spectrum in [0, 0.5], such as 0.01')
    return math.floor(beta * min(size))


@torch.no_grad()
def fourier_style_transfer(source_bchw: Tensor, target_bchw: Tensor, beta: float) -> Tensor:
    r"""Gives each source image the low-frequency amplitudes of its target image.

    .. math:: x^{s \to t} = F^{-1}(M_\beta |F(x^t)| + (1 - M_\beta) |F(x^s)|, \angle F(x^s))

    Args:
        source_bchw (Tensor): (B, C, H, W), raw images (not normalised), any real dtype.
        target_bchw (Tensor): (B, C, h, w), paired with the source; resized bilinearly to (H, W) where the size differs.
        beta (float): half-size of the window in units of ``min(H, W)``, in [0, 0.5]; the paper has 0.01, 0.05, 0.09. 0 is
            the source itself; where ``beta * min(H, W) < 1`` only the mean of each channel is exchanged.

    Returns:
        Tensor: float32, (B, C, H, W), on the source's device. Not clipped: values may leave the range of the inputs, as in
        the authors' code, which goes on in float.

    Raises:
        ValueError: when the two do not pair, or ``beta`` is out of range.
    """
    if source_bchw.ndim != 4 or target_bchw.ndim != 4 or source_bchw.shape[:2] != target_bchw.shape[:2]:
        raise ValueError(f'got source {tuple(source_bchw.shape)} and target {tuple(target_bchw.shape)}; expected (B, C, H, W) '
                         'and (B, C, h, w) with the same B and C: pair the images first')
    height, width = source_bchw.shape[2:]
    half = window_half_size((height, width), beta)
    source = source_bchw.float()
    if beta == 0:
        return source.clone() if source is source_bchw else source
    target = target_bchw.to(source.device).float()
    if target.shape[2:] != source.shape[2:]:
        target = interpolate(target, (height, width), mode='bilinear', align_corners=False)
    spectrum, other = torch.fft.rfft2(source), torch.fft.rfft2(target)
    # Real images have symmetric spectra, so half of the columns suffices; rows wrap: 0..b and H-b..H-1.
    columns = slice(0, half + 1)
    for rows in (slice(0, half + 1), slice(height - half, height)):
        window = (..., rows, columns)
        spectrum[window] = torch.polar(other[window].abs(), spectrum[window].angle())
    return torch.fft.irfft2(spectrum, s=(height, width))


def phase_consistency(translated_bchw: Tensor, original_bchw: Tensor) -> Tensor:
    r"""Mean cosine between the phases of two images, over frequencies and channels.

    .. math:: \frac{1}{C H W} \sum_{c, j} \frac{\langle F(y)_{cj}, F(x)_{cj} \rangle}{|F(y)_{cj}|\,|F(x)_{cj}|}

    with complex numbers as vectors of the plane. PCEDA trains its translator with the negative of it. It is 1 where phases are
    kept, as by :func:`fourier_style_transfer`, 0 on average where they have nothing to do with each other, and blind to
    amplitudes: light, colour, contrast.

    Args:
        translated_bchw (Tensor): float, (B, C, H, W); gradients flow.
        original_bchw (Tensor): float, (B, C, H, W).

    Returns:
        Tensor: float32, (B,), in [-1, 1]; a frequency that one of the two lacks counts as 0.

    Raises:
        ValueError: when the shapes differ.
    """
    if translated_bchw.shape != original_bchw.shape or translated_bchw.ndim != 4:
        raise ValueError(f'got {tuple(translated_bchw.shape)} and {tuple(original_bchw.shape)}; expected two batches of one '
                         'shape (B, C, H, W): translate at the size of the originals')
    one, two = torch.fft.fft2(translated_bchw.float()), torch.fft.fft2(original_bchw.float())
    cosine = torch.nn.functional.cosine_similarity(torch.view_as_real(one), torch.view_as_real(two), dim=-1, eps=1e-6)
    return cosine.mean((1, 2, 3))
