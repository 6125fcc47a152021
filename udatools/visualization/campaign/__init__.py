# SPDX-License-Identifier: Apache-2.0
"""The page of one or several labelling campaigns: cost, classes, gains, worst images, next questions."""

from .data import Campaign, load_campaigns
from .page import write_campaign

__all__ = ['Campaign', 'load_campaigns', 'write_campaign']
