# SPDX-License-Identifier: Apache-2.0
"""What an estimator of optical flow is."""
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class FlowEstimator(ABC):
    """Says where the pixels of a frame lie in another one. Never trained here, so it gives no gradient."""

    @abstractmethod
    def estimate(self, image: Tensor, reference: Tensor) -> Tensor:
        """Estimates flow from images to references.

        Args:
            image (Tensor): uint8, (B, 3, H, W), RGB, the frames that the flow starts from.
            reference (Tensor): the same shape, the frames that it leads to.

        Returns:
            Tensor: float32, (B, 2, H, W), u to the right and v down, in pixels, on the device of ``image``. What
            ``image[b, :, y, x]`` shows lies at (x + u, y + v) in ``reference[b]``.

        Raises:
            ValueError: for images of other shapes or dtypes.
        """

    def between(self, image: Tensor, reference: Tensor, pairs: Sequence[tuple[str, int]]) -> tuple[Tensor, Tensor]:
        """As :meth:`estimate`, of frames known by name, so that an estimator may look their flow up.

        Args:
            image (Tensor): as of :meth:`estimate`.
            reference (Tensor): as of :meth:`estimate`.
            pairs (Sequence[tuple[str, int]]): for each of the B pairs the key of the image, and the offset of the
                reference in frame numbers of the clip.

        Returns:
            tuple[Tensor, Tensor]: flow as of :meth:`estimate`; and bool, (B, H, W), where it is known.
        """
        flow = self.estimate(image, reference)
        return flow, flow.isfinite().all(1)

    @staticmethod
    def check_images(image: Tensor, reference: Tensor) -> None:
        """Raises a ValueError unless both are uint8 of the same shape (B, 3, H, W)."""
        if image.shape != reference.shape or image.dim() != 4 or image.shape[1] != 3:
            raise ValueError(f'got images of shape {tuple(image.shape)} and references of shape {tuple(reference.shape)}; '
                             'expected (B, 3, H, W), the same: frames of one clip have one size')
        if image.dtype != torch.uint8 or reference.dtype != torch.uint8:
            raise ValueError(f'got images of dtype {image.dtype} and references of dtype {reference.dtype}; expected uint8, '
                             'RGB as in the files, before any normalisation')
