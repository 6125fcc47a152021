# SPDX-License-Identifier: Apache-2.0
"""Which frame of a clip is the neighbour of another."""
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.datasets.clips import FrameIndex


class Numbered:
    """Just frames: what an index asks of a data set."""

    def __init__(self, numbers):
        self.keys = [str(number) for number in numbers]

    def clip_of(self, key):
        return 'clip', int(key)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 12), min_size=1), st.integers(-6, 6).filter(bool))
def test_clamping_is_the_nearest_frame_on_the_way(numbers, offset):
    index = FrameIndex([Numbered(sorted(numbers))])
    for number in numbers:
        found = index.neighbour(index['clip', number], offset, 'clamp')
        between = [other for other in numbers if min(number, number + offset) <= other <= max(number, number + offset)]
        assert found.number == min(between, key=lambda other: abs(number + offset - other))
        exact = index.neighbour(index['clip', number], offset, 'invalid')
        assert (exact.number if exact else None) == (number + offset if number + offset in numbers else None)


def test_frames_named_twice_are_refused():
    with pytest.raises(ValueError, match=r"'7' and '07' are both frame 7 of clip 'clip'"):
        FrameIndex([Numbered(['7', '07'])])
