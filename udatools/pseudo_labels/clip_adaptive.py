# SPDX-License-Identifier: Apache-2.0
"""Thresholds that follow a video clip by clip (Shin et al., Video DA, 2021, Eq. 11 and Algorithm 1).

The recursion of IAST with a clip as the instance: the winning probabilities of all its frames are counted together, the
thresholds take one step, and all its frames are labelled with them. The paper keeps a pixel strictly above its threshold; here,
as in IAST, the threshold itself is kept too, and probabilities are those of float16.

The clips of the paper have 30 frames. In a recording of an hour thresholds would take one step for all of it, so longer ones are
cut into pieces of about equal length, each an instance. Neighbours in time, of aggregation and refinement, are found across
these cuts.
"""
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from udatools.registry import PSEUDO_LABEL_POLICIES

from .policies import InstanceAdaptivePolicy


@PSEUDO_LABEL_POLICIES.register_module()
class ClipAdaptivePolicy(InstanceAdaptivePolicy):
    """Instance-adaptive thresholds whose instance is a clip.

    The generator is told which images make a clip; the labels are the same for any number of ranks.

    Args:
        alpha: as all others but the last, that of :class:`InstanceAdaptivePolicy`.
        clip_length (int): frames of an instance at most; longer clips are cut, see :func:`group_clips`. Default: 30, the
            length of the paper's clips.

    Raises:
        ValueError: if a value is outside its range.
    """

    instance = 'clip'

    def __init__(self, alpha: float | Sequence[float] = 0.2, *, clip_length: int = InstanceAdaptivePolicy.clip_length,
                 **others: Any) -> None:
        super().__init__(alpha, **others)
        if clip_length < 1:
            raise ValueError(f'clip_length is {clip_length}; expected 1 frame or more')
        self.clip_length = int(clip_length)

    def settings(self) -> dict[str, Any]:
        """Type and numbers of this round."""
        return dict(super().settings(), clip_length=self.clip_length)


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


def group_clips(positions: Sequence[FramePosition], longest: int) -> dict[str, list[int]]:
    """Indices of the images of each clip in the order of time; clips in the order in which they appear.

    Args:
        positions (Sequence[FramePosition]): of the images.
        longest (int): a clip of more frames is cut into as few pieces as that allows, whose lengths differ by one at most. They
            are called ``<clip>[<first frame>-<last frame>]``.
    """
    clips: dict[str, list[int]] = {}
    for index, position in enumerate(positions):
        clips.setdefault(position.clip, []).append(index)
    pieces: dict[str, list[int]] = {}
    for clip, indices in clips.items():
        ordered = sorted(indices, key=lambda index: positions[index].frame)
        count = -(-len(ordered) // longest)
        for piece in np.array_split(ordered, count):
            first, last = positions[piece[0]].frame, positions[piece[-1]].frame
            pieces[clip if count == 1 else f'{clip}[{first}-{last}]'] = piece.tolist()
    return pieces
