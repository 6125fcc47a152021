# SPDX-License-Identifier: Apache-2.0
"""How much of a request is answered, in the units that people are asked: points, or regions.

A region counts when all of its pixels are answered: half a region is half-finished work. A question about an image counts when
anything is said to it.
"""
from dataclasses import dataclass

import numpy as np

from .image_questions import IMAGE_KINDS
from .ledger_reader import LedgerReader
from .request import Request


@dataclass(frozen=True)
class Progress:
    """State of a request.

    Attributes:
        unit (str): ``'points'``, ``'regions'`` or ``'images'``.
        asked (int): units asked.
        answered (int): units answered, by anybody; void is an answer.
        images (int): images with something asked.
        done (int): images of which everything is answered.
    """
    unit: str
    asked: int
    answered: int
    images: int
    done: int

    @property
    def open(self) -> int:
        """Units without an answer."""
        return self.asked - self.answered

    @property
    def share(self) -> float:
        """Answered share in [0, 1]; 1 where nothing is asked."""
        return self.answered / self.asked if self.asked else 1.0


def unit_of(kind: str) -> str:
    """What the units of a kind of request are called."""
    if kind in IMAGE_KINDS:
        return 'images'
    return 'points' if kind == 'points' else 'regions'


def units_asked(request: Request, key: str) -> int:
    """Points or regions asked in one image, 1 for a question about it."""
    item = request[key]
    return item.asked if request.kind == 'points' else item.components


def units_answered(request: Request, key: str, answered: np.ndarray) -> int:
    """Points or regions of one image that are answered.

    Args:
        request (Request): what was asked.
        key (str): the image.
        answered (np.ndarray): bool, (H, W).
    """
    if request.kind in IMAGE_KINDS:
        return int(answered.any())
    region = request.regions(key)
    open_ = region[(region > 0) & ~answered]
    return units_asked(request, key) - (open_.size if request.kind == 'points' else int(np.unique(open_).size))


def request_progress(ledger: LedgerReader, request: Request) -> Progress:
    """Count what the ledger holds of a request."""
    keys = request.asked_keys()
    touched = ledger.answered_keys(request.request_id)
    asked = answered = done = 0
    for key in keys:
        of_image = units_asked(request, key)
        asked += of_image
        mask = ledger.answered_mask(key) if key in touched else None
        if request.kind in IMAGE_KINDS:
            found = int(key in touched and ledger.tags(key, round=request.round) is not None)
            answered, done = answered + found, done + found
        elif mask is not None:
            found = units_answered(request, key, mask)
            answered += found
            done += found == of_image
    return Progress(unit_of(request.kind), asked, answered, len(keys), done)
