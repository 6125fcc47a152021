# SPDX-License-Identifier: Apache-2.0
"""How far apart the frames of clips are, and where frames are missing."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Step(NamedTuple):
    """Two frames of a clip that follow one another."""
    clip: str
    before: int
    after: int

    @property
    def length(self) -> int:
        """In frame numbers."""
        return self.after - self.before


def find_steps(places: Iterable[tuple[str, int]]) -> list[Step]:
    """All steps from a frame to the next of its clip.

    Args:
        places (Iterable[tuple[str, int]]): Clip and number of each frame, in any order.
    """
    return [Step(clip, before, after) for (clip, before), (other, after) in pairwise(sorted(places)) if clip == other]


def common_gaps(places: Iterable[tuple[str, int]]) -> str:
    """The commonest distances between frames that follow one another, such as '2 or 4'; '' where every clip has one frame."""
    lengths = Counter(step.length for step in find_steps(places))
    return ' or '.join(str(length) for length, _ in lengths.most_common(2))


def describe_gaps(places: Iterable[tuple[str, int]], shown: int = 3) -> str | None:
    """Where clips have larger steps than most.

    Args:
        places (Iterable[tuple[str, int]]): Clip and number of each frame, in any order.
        shown (int): Gaps that are named.

    Returns:
        str | None: Such as ``'1 gap in clips whose frames are mostly 5 apart: 109 to 119 of 0001'``; None without one.
    """
    steps = find_steps(places)
    if not steps:
        return None
    usual = Counter(step.length for step in steps).most_common(1)[0][0]
    gaps = [step for step in steps if step.length > usual]
    if not gaps:
        return None
    named = ', '.join(f'{gap.before} to {gap.after} of {gap.clip}' for gap in gaps[:shown])
    return (f'{len(gaps)} gap{"s" if len(gaps) > 1 else ""} in clips whose frames are mostly {usual} apart: {named}'
            f'{", ..." if len(gaps) > shown else ""}')
