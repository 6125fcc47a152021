# SPDX-License-Identifier: Apache-2.0
"""The interface of a domain transform."""
from abc import ABC, abstractmethod

from torch import Tensor

DomainImages = dict[str, list[Tensor]]


class DomainTransform(ABC):
    """Changes the images of a training batch with both domains in view, before they are normalised.

    It runs on the device of the batch. Labels are not given: a transform keeps every pixel where it is. Batches that lack a
    domain (a stage without source, a validation set) never reach it.
    """

    @abstractmethod
    def __call__(self, images: DomainImages) -> DomainImages:
        """New images of both domains.

        Args:
            images (dict[str, list[Tensor]]): ``source`` and ``target``: raw images, float32, (3, H, W) each, 0..255,
                channels as the pipeline packs them (BGR). Not to be changed in place.

        Returns:
            dict[str, list[Tensor]]: the same domains, numbers and sizes of images.
        """
