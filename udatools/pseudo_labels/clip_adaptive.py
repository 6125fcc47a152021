# SPDX-License-Identifier: Apache-2.0
"""Thresholds that follow a video clip by clip (Shin et al., Video DA, 2021, Eq. 11 and Algorithm 1).

The recursion of IAST with a clip as the instance: the winning probabilities of all its frames are counted together, the
thresholds take one step, and all its frames are labelled with them. The paper keeps a pixel strictly above its threshold; here,
as in IAST, the threshold itself is kept too, and probabilities are those of float16.
"""
from collections.abc import Sequence
from typing import Any, NamedTuple

from udatools.registry import PSEUDO_LABEL_POLICIES

from .policies import InstanceAdaptivePolicy


@PSEUDO_LABEL_POLICIES.register_module()
class ClipAdaptivePolicy(InstanceAdaptivePolicy):
    """Instance-adaptive thresholds whose instance is a clip.

    The generator is told which images make a clip; the labels are the same for any number of ranks.

    Args:
        args, kwargs: those of :class:`InstanceAdaptivePolicy`.
    """

    instance = 'clip'


class FramePosition(NamedTuple):
    """Where an image lies in a video.

    Attributes:
        clip (str): id of its clip.
        frame (int): its number in the clip's own numbering.
    """
    clip: str
    frame: int


def frame_positions(dataset: Any, keys: Sequence[str]) -> list[FramePosition]:
    """Clip and frame number of every image.

    Args:
        dataset (DomainDataset): one that knows time (``clip_of``).
        keys (Sequence[str]): identities of the images.

    Raises:
        ValueError: if the data set is no video, or two images are the same frame.
    """
    try:
        positions = [FramePosition(*dataset.clip_of(key)) for key in keys]
    except NotImplementedError as error:
        raise ValueError(f'{type(dataset).__name__} does not know which images make a clip; use a video data set (one with '
                         'clip_of, such as CityscapesVPSDomain), or a policy for images and no aggregation') from error
    if len(set(positions)) < len(positions):
        seen: dict[FramePosition, str] = {}
        for key, position in zip(keys, positions):
            if seen.setdefault(position, key) != key:
                raise ValueError(f'{seen[position]!r} and {key!r} are both frame {position.frame} of clip {position.clip!r}; '
                                 'remove one of the files')
    return positions


def group_clips(positions: Sequence[FramePosition]) -> dict[str, list[int]]:
    """Indices of the images of each clip in the order of time; clips in the order in which they appear."""
    clips: dict[str, list[int]] = {}
    for index, position in enumerate(positions):
        clips.setdefault(position.clip, []).append(index)
    return {clip: sorted(indices, key=lambda index: positions[index].frame) for clip, indices in clips.items()}
