# SPDX-License-Identifier: Apache-2.0
"""Domain discriminators."""
from .image_discriminator import ImageDiscriminator

__all__ = ['ImageDiscriminator']
