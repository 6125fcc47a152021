# SPDX-License-Identifier: Apache-2.0
"""What a codec found in a file that people answered with, before anything is validated against the ledger or stored."""
import unicodedata
from dataclasses import dataclass, field

import numpy as np

from .request import Answer


@dataclass(frozen=True)
class Problem:
    """An item of a file that was left out.

    Attributes:
        where (str): file, image and shape, as a person would look for it.
        what (str): what was got, what was expected, and what was done with it.
    """
    where: str
    what: str

    def __str__(self) -> str:
        return f'{self.where}: {self.what}'


@dataclass(frozen=True, eq=False)
class TakenBack:
    """Pixels that a person answered once and left open in the end.

    Attributes:
        key (str): the image.
        annotator (str): who.
        pixels (np.ndarray): bool, (H, W).
    """
    key: str
    annotator: str
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Submission:
    """Answers of one file or folder.

    Attributes:
        request_id (str | None): the request that the file says it answers; None if the format cannot carry it. If it
            is another than the one it was read for, there are no answers.
        answers (list[Answer]): at most one an image and person, with at least one answered pixel, or tags; possibly
            partial. Only asked pixels are answered. ``annotator`` is ``''`` where the file does not say who answered.
        problems (list[Problem]): what was left out, and why.
        taken_back (list[TakenBack]): of formats that keep what was undone; an earlier import may have stored it.
    """
    request_id: str | None
    answers: list[Answer]
    problems: list[Problem] = field(default_factory=list)
    taken_back: list[TakenBack] = field(default_factory=list)


def person_name(name: str) -> str:
    """Who answered, as it is stored: composed (NFC) and without blanks around it, so that one person is not two."""
    return unicodedata.normalize('NFC', name).strip()
