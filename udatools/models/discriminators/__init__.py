# SPDX-License-Identifier: Apache-2.0
"""Domain discriminators."""
from .image_discriminator import ImageDiscriminator
from .patch_discriminator import PatchDiscriminator

__all__ = ['ImageDiscriminator', 'PatchDiscriminator']
