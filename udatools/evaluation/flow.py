# SPDX-License-Identifier: Apache-2.0
"""How good flow is: against exact flow by its end-point error, and without any by what warping leaves between two images.

Sums are kept, not means, so that the numbers of several pairs of frames, or of several ranks, add up to those of the set.
"""
from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TypeVar

import torch
from torch import Tensor

from udatools.ops.warp import PHOTOMETRIC_ALPHA, photometric_visibility, warp

OUTLIER_PIXELS = 3.0
_S = TypeVar('_S', bound='_Sums')


def _mean(total: float, count: int) -> float:
    return total / count if count else math.nan


@dataclass
class _Sums:
    """Base of dataclasses whose fields are sums."""

    def merge(self: _S, other: _S) -> _S:
        """Adds the sums of another one."""
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))
        return self


@dataclass
class EndPointError(_Sums):
    r"""End-point error :math:`\|f - f^*\|_2` over the pixels whose exact flow is known.

    Attributes:
        total (float): sum of the errors, in pixels.
        outliers (int): pixels with an error above 3 pixels.
        pixels (int): pixels that count.
    """
    total: float = 0.0
    outliers: int = 0
    pixels: int = 0

    def add(self, flow: Tensor, exact: Tensor, valid: Tensor) -> EndPointError:
        """Counts in some pairs of frames.

        Args:
            flow (Tensor): float, (..., 2, H, W), in pixels, finite where ``valid``.
            exact (Tensor): the same shape.
            valid (Tensor): bool, (..., H, W), where both are known.

        Raises:
            ValueError: for shapes that do not fit, or flow that is not finite on a valid pixel.
        """
        if flow.shape != exact.shape or flow.shape[-3] != 2 or valid.shape != flow.shape[:-3] + flow.shape[-2:]:
            raise ValueError(f'got flow of shape {tuple(flow.shape)}, exact flow of shape {tuple(exact.shape)} and a mask of '
                             f'shape {tuple(valid.shape)}; expected (..., 2, H, W) twice and (..., H, W)')
        error = (flow.double() - exact.double()).square().sum(-3).sqrt()[valid]
        if not error.isfinite().all():
            raise ValueError('flow is not finite on a pixel that counts as valid; take such pixels out of the mask')
        self.total += float(error.sum())
        self.outliers += int((error > OUTLIER_PIXELS).sum())
        self.pixels += error.numel()
        return self

    @property
    def mean(self) -> float:
        """Mean error in pixels; NaN without pixels."""
        return _mean(self.total, self.pixels)

    @property
    def outlier_share(self) -> float:
        """Share of pixels with an error above 3 pixels, in [0, 1]; NaN without pixels."""
        return _mean(self.outliers, self.pixels)

    def summary(self) -> dict[str, float | int]:
        """JSON-able: the sums, ``mean`` and ``outlier_share``."""
        return asdict(self) | dict(mean=self.mean, outlier_share=self.outlier_share)


@dataclass
class PhotometricError(_Sums):
    """What is left between an image and the warped reference, on pixels whose position lies inside of the reference.

    It needs no exact flow, but flow that follows every noise leaves less than the true one, and what is occluded leaves
    much under any: good for finding flow that is broken or turned around, poor for ranking two good estimators.

    Attributes:
        total (float): sum over pixels of the mean absolute difference of the colours, in [0, 1].
        visible (int): pixels that the photometric rule calls visible.
        inside (int): pixels that count.
        pixels (int): all of them.
    """
    total: float = 0.0
    visible: int = 0
    inside: int = 0
    pixels: int = 0

    def add(self, image: Tensor, reference: Tensor, flow: Tensor, known: Tensor, *, alpha: float = PHOTOMETRIC_ALPHA,
            threshold: float = 0.7) -> PhotometricError:
        """Counts in some pairs of frames.

        Args:
            image (Tensor): float, (N, 3, H, W), RGB in [0, 1].
            reference (Tensor): the same.
            flow (Tensor): float, (N, 2, H, W), from image to reference, in pixels.
            known (Tensor): bool, (N, H, W), where the flow is known.
            alpha (float): of :func:`udatools.ops.warp.photometric_visibility`.
            threshold (float): the same.
        """
        warped, inside = warp(reference, flow)
        inside = inside & known
        self.total += float((image - warped).abs().mean(1, dtype=torch.float64)[inside].sum())
        self.visible += int((photometric_visibility(image, warped, alpha, threshold) & inside).sum())
        self.inside += int(inside.sum())
        self.pixels += inside.numel()
        return self

    @property
    def mean(self) -> float:
        """Mean absolute difference in [0, 1]; NaN without pixels."""
        return _mean(self.total, self.inside)

    @property
    def visible_share(self) -> float:
        """Share of all pixels that are visible, in [0, 1]; NaN without pixels."""
        return _mean(self.visible, self.pixels)

    def summary(self) -> dict[str, float | int]:
        """JSON-able: the sums, ``mean`` and ``visible_share``."""
        return asdict(self) | dict(mean=self.mean, visible_share=self.visible_share)
