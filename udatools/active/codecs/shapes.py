# SPDX-License-Identifier: Apache-2.0
"""The units of a request: what one click answers, as pixels, and answers taken apart into shapes of one unit each."""
from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np

from ..request import MAX_REGION, NOT_ANSWERED, VOID, Answer, Request, RequestItem

#: Unit, label and ascending row-major pixel indices, int64 (N,).
UnitShape = tuple[int, int, np.ndarray]


def unit_map(request: Request, key: str) -> np.ndarray:
    """Number of the unit of every pixel: int32, (H, W), 0 = not asked, units 1, 2, ...

    A unit is a pixel for points, else a region. Regions that share the last id of the mask are told apart by
    8-connectivity.
    """
    region = request.regions(key).astype(np.int32)
    asked = region > 0
    if request.kind == 'points':
        region[asked] = np.arange(1, np.count_nonzero(asked) + 1)
    elif request[key].components >= MAX_REGION and (region == MAX_REGION).any():
        shared = region == MAX_REGION
        _, component = cv2.connectedComponents(shared.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
        region[shared] = MAX_REGION - 1 + component[shared]
    return region


def representative_pixels(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One pixel of every unit, as deep inside it as there is.

    Args:
        unit (np.ndarray): int32, (H, W), 0 = none.

    Returns:
        tuple: unit numbers, ascending, and row-major pixel indices, both int64, (N,).
    """
    padded = np.pad(unit, 1)
    inside = unit > 0
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inside &= padded[dy:dy + unit.shape[0], dx:dx + unit.shape[1]] == unit
    depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L1, 3).ravel()
    pixels = np.flatnonzero(unit)
    numbers = unit.ravel()[pixels]
    order = np.lexsort((pixels, -depth[pixels], numbers))
    found, first = np.unique(numbers[order], return_index=True)
    return found.astype(np.int64), pixels[order][first]


def unit_shapes(unit: np.ndarray, answer: np.ndarray | None) -> list[UnitShape]:
    """The asked pixels as shapes of one unit and one label.

    Args:
        unit (np.ndarray): int32, (H, W), 0 = not asked.
        answer (np.ndarray | None): uint8, (H, W); None = nothing is answered.

    Returns:
        list[UnitShape]: ordered by unit and label; the label of pixels without an answer is 255.
    """
    pixels = np.flatnonzero(unit)
    label = np.full(pixels.size, NOT_ANSWERED, np.int64) if answer is None else answer.ravel()[pixels].astype(np.int64)
    kind = unit.ravel()[pixels].astype(np.int64) * 256 + label
    order = np.argsort(kind, kind='stable')
    kinds, first = np.unique(kind[order], return_index=True)
    return [(int(k) // 256, int(k) % 256, part) for k, part in zip(kinds, np.split(pixels[order], first[1:]))]


def check_answers(request: Request, answers: Sequence[Answer], *, people: bool = False) -> dict[str, list[Answer]]:
    """Answers that may be written, by image.

    Args:
        request (Request): what was asked.
        answers (Sequence[Answer]): what was answered.
        people (bool): whether the format holds answers of several people to one image.

    Returns:
        dict: answers of every image with any.

    Raises:
        ValueError: if they do not fit the request, or there are several to an image and the format holds one.
    """
    by_key: dict[str, list[Answer]] = {}
    for given in answers:
        if given.key not in request:
            raise ValueError(f'{given.key!r} is not in request {request.request_id[:12]}; answers of another one?')
        item, answer = request[given.key], given.answer
        if answer.dtype != np.uint8 or answer.shape != (item.height, item.width):
            raise ValueError(f'answer to {given.key!r} is {answer.dtype} {answer.shape}; expected uint8 '
                             f'{(item.height, item.width)}')
        unit = unit_map(request, given.key)
        outside = int(np.count_nonzero((unit == 0) & (answer != NOT_ANSWERED)))
        unknown = int(np.count_nonzero((answer >= request.num_classes) & (answer < VOID)))
        if outside or unknown:
            raise ValueError(f'answer to {given.key!r} has {outside} pixels outside the request and {unknown} of '
                             f'unknown classes; expected asked pixels with 0..{request.num_classes - 1}, {VOID} or '
                             f'{NOT_ANSWERED}')
        if request.kind == 'regions':
            shapes = unit_shapes(unit, answer)
            if len({number for number, _, _ in shapes}) != len(shapes):
                raise ValueError(f'answer to {given.key!r} gives one region several labels; regions are asked for one')
        by_key.setdefault(given.key, []).append(given)
    several = next((key for key, given in by_key.items() if len(given) > 1), None)
    if several is not None and not people:
        raise ValueError(f'{several!r} has {len(by_key[several])} answers; this format holds one an image: write the '
                         'answers of each person into a folder of their own')
    return by_key


def asked_shapes(request: Request, answers: Mapping[str, Sequence[Answer]]
                 ) -> Iterator[tuple[RequestItem, Answer | None, list[UnitShape]]]:
    """Every image with asked pixels: its item, its first answer or None, and its shapes.

    Args:
        request (Request): what was asked.
        answers (Mapping): from :func:`check_answers`; empty = nothing is answered.
    """
    for key in request.asked_keys():
        given = answers[key][0] if key in answers else None
        yield request[key], given, unit_shapes(unit_map(request, key), None if given is None else given.answer)
