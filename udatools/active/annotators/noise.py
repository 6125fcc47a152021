# SPDX-License-Identifier: Apache-2.0
"""How people err when they label: pure functions from the truth at asked pixels to what somebody would have said.

The unit of every error is one click: a point, a region, or one class of a segment. Each kind of error draws from the
generator whether it is switched on or not, so switching one on leaves the others where they were.
"""
from dataclasses import dataclass
from math import ceil, isfinite
from typing import NamedTuple

import cv2
import numpy as np

from ..request import NOT_ANSWERED, VOID

CONFUSIONS = ('present', 'uniform')


@dataclass(frozen=True)
class HumanError:
    """How often and how far a simulated person errs; the default never does.

    Attributes:
        label_noise (float): probability, in [0, 1], that a click names a wrong class. Void stays void.
        confusion (str): where a wrong class comes from, each with the same probability: ``'present'``, the other
            classes of the image (all others if it has one class only); ``'uniform'``, all other classes.
        boundary_error (float): native pixels, >= 0: along each axis the labels of segments are read at most about this
            far from where they belong, by a smooth displacement, so that outlines look drawn by hand. Points and
            regions, which nobody outlines, are read where they are.
        skip_rate (float): probability, in [0, 1], that a click is not made; it costs nothing and stays unanswered.
        unsure_rate (float): probability, in [0, 1], that a click says void ("unsure"); it costs like any other.
        time_spread (float): standard deviation, >= 0, of the logarithm of the seconds an image takes; the mean stays
            that of the cost model.

    Raises:
        ValueError: if a field has another value.
    """
    label_noise: float = 0.0
    confusion: str = 'present'
    boundary_error: float = 0.0
    skip_rate: float = 0.0
    unsure_rate: float = 0.0
    time_spread: float = 0.0

    def __post_init__(self) -> None:
        for name in ('label_noise', 'skip_rate', 'unsure_rate'):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f'{name} is {getattr(self, name)}; expected a probability in [0, 1]')
        for name in ('boundary_error', 'time_spread'):
            if not (isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ValueError(f'{name} is {getattr(self, name)}; expected a finite number >= 0')
        if self.confusion not in CONFUSIONS:
            raise ValueError(f'confusion is {self.confusion!r}; expected one of {CONFUSIONS}')


class Clicks(NamedTuple):
    """What one person says about the pixels asked of one image.

    Attributes:
        said (np.ndarray): uint8, (N,), train id, 254 = void, 255 = not answered.
        clicks (int): clicks made.
        items (int): points or regions with at least one click.
    """
    said: np.ndarray
    clicks: int
    items: int


def displace(truth: np.ndarray, radius_px: float, generator: np.random.Generator) -> np.ndarray:
    """Read every label a little off, by a displacement that changes slowly: boundaries wander, interiors stay.

    Args:
        truth (np.ndarray): uint8, (H, W).
        radius_px (float): >= 0; a label is read at most ``round(radius_px)`` rows and columns away, never outside.
        generator (np.random.Generator): of the person and image.

    Returns:
        np.ndarray: uint8, (H, W).
    """
    if radius_px <= 0:
        return truth
    height, width = truth.shape
    # A hand wanders over about four times what it is off by.
    step = max(4.0, 4.0 * radius_px)
    grid = (ceil(height / step) + 1, ceil(width / step) + 1)
    angle, length = generator.uniform(0, 2 * np.pi, grid), radius_px * np.sqrt(generator.random(grid))
    # Linear interpolation stays within the disk that the corners are drawn from.
    shift_y, shift_x = (cv2.resize((length * wave).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
                        for wave in (np.sin(angle), np.cos(angle)))
    y = np.clip(np.arange(height)[:, None] + np.rint(shift_y).astype(np.int64), 0, height - 1)
    x = np.clip(np.arange(width)[None, :] + np.rint(shift_x).astype(np.int64), 0, width - 1)
    return truth[y, x]


def majority_label(item: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most frequent label of every region; of equally frequent ones the smallest value.

    Args:
        item (np.ndarray): int, (N,), region of every pixel.
        label (np.ndarray): uint8, (N,), train id or 254.

    Returns:
        tuple: uint8 labels of the regions in ascending order of ``item``, and int64, (N,), which of them a pixel has.
    """
    _, inverse = np.unique(item, return_inverse=True)
    pairs, counts = np.unique(inverse.astype(np.int64) * 256 + label, return_counts=True)
    order = np.lexsort((pairs % 256, -counts, pairs // 256))
    first = np.unique(pairs[order] // 256, return_index=True)[1]
    return (pairs[order][first] % 256).astype(np.uint8), inverse


def wrong_label(label: np.ndarray, present: np.ndarray, num_classes: int, draw: np.ndarray) -> np.ndarray:
    """Another class for each label, all of ``present`` (or of all classes) alike.

    Args:
        label (np.ndarray): uint8, (U,), train ids of ``present``, or 254, which stays.
        present (np.ndarray): int, (K,), the classes to choose from, ascending; one alone means all classes.
        num_classes (int): C.
        draw (np.ndarray): float, (U,), uniform in [0, 1).

    Returns:
        np.ndarray: uint8, (U,); ``label`` itself where there is no other class.
    """
    choices = present if len(present) > 1 else np.arange(num_classes)
    if len(choices) < 2:
        return label
    place = np.minimum((draw * (len(choices) - 1)).astype(np.int64), len(choices) - 2)
    place += place >= np.searchsorted(choices, label)
    return np.where(label == VOID, label, choices[place]).astype(np.uint8)


def click(item: np.ndarray, label: np.ndarray, kind: str, num_classes: int, present: np.ndarray, error: HumanError,
          generator: np.random.Generator) -> Clicks:
    """Answer the asked pixels of one image, click by click.

    Args:
        item (np.ndarray): int64, (N,), point or region that each pixel belongs to.
        label (np.ndarray): uint8, (N,), what is there: train id or 254.
        kind (str): ``'points'`` (an item has one pixel), ``'regions'`` (one label an item: its majority) or
            ``'segments'`` (an item takes one click a class).
        num_classes (int): C.
        present (np.ndarray): int, (K,), classes of the image, ascending.
        error (HumanError): how often the person errs.
        generator (np.random.Generator): of the person and image.
    """
    if kind == 'regions':
        named, unit = majority_label(item, label)
        items = np.unique(item)
    else:
        pairs, unit = np.unique(item * 256 + label, return_inverse=True)
        named, items = (pairs % 256).astype(np.uint8), pairs // 256
    skip, unsure, noise, choice = generator.random((4, len(named)))
    others = present if error.confusion == 'present' else np.arange(num_classes)
    named = np.where(noise < error.label_noise, wrong_label(named, others, num_classes, choice), named)
    named = np.where(unsure < error.unsure_rate, VOID, named)
    skipped = skip < error.skip_rate
    said = np.where(skipped, NOT_ANSWERED, named).astype(np.uint8)
    return Clicks(said[unit], int((~skipped).sum()), int(np.unique(items[~skipped]).size))
