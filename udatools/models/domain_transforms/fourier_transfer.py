# SPDX-License-Identifier: Apache-2.0
"""Source images in the style of the target (FDA: Yang and Soatto, CVPR 2020).

Differs from the authors' code, which transfers on the CPU before batching: here on the device of the batch, each source
image with the target image that the batch pairs it with.
"""
from udatools.ops.fourier import fourier_style_transfer, window_half_size
from udatools.registry import DOMAIN_TRANSFORMS

from .base import DomainImages, DomainTransform


@DOMAIN_TRANSFORMS.register_module()
class FourierTransfer(DomainTransform):
    """Source images take the low-frequency amplitudes of target images; the target stays as it is.

    Args:
        beta (float): half-size of the window in units of the shorter side, in [0, 0.5], see
            :func:`udatools.ops.fourier.fourier_style_transfer`. 0 changes nothing.

    Raises:
        ValueError: for a ``beta`` outside of its range.
    """

    def __init__(self, beta: float = 0.01) -> None:
        window_half_size((1, 1), beta)
        self.beta = float(beta)

    def __call__(self, images: DomainImages) -> DomainImages:
        """Pairs in order; with fewer target images than source images the target starts over."""
        source, target = images['source'], images['target']
        partners = [target[i % len(target)] for i in range(len(source))]
        changed = [fourier_style_transfer(image[None], partner[None], self.beta)[0]
                   for image, partner in zip(source, partners, strict=True)]
        return dict(images, source=changed)
