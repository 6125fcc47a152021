# SPDX-License-Identifier: Apache-2.0
"""Domain discriminators."""
from .category_discriminators import CategoryDiscriminators
from .image_discriminator import ImageDiscriminator
from .patch_discriminator import PatchDiscriminator
from .sequence_discriminator import SequenceDiscriminator

__all__ = ['CategoryDiscriminators', 'ImageDiscriminator', 'PatchDiscriminator', 'SequenceDiscriminator']
