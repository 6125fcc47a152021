# SPDX-License-Identifier: Apache-2.0
"""Tube matching on the labelled clips of the source (Shin et al., Video DA, 2021, Eq. 6 and 7)."""
from typing import TYPE_CHECKING

from torch import Tensor

from udatools.ops.tubes import tube_matching_loss
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


@OBJECTIVES.register_module()
class TubeMatching(Objective):
    """Sum over the classes of 1 - Dice between predicted and true tube, mean over the clips.

    A frame that does not exist has no labels and drops out of the tube; so do pixels without a label. A class that the clip does
    not show adds nothing, see :mod:`udatools.ops.tubes`.

    Args:
        weight (float): of the loss; 1 in Eq. 9.
        mode (str): ``'tube'`` over all frames of a clip, or ``'single'`` frames (the ablation of Table 3).
        reduction (str): over the classes, ``'sum'`` (Eq. 6) or ``'mean'``.
        head (str): whose softmax is matched.

    Raises:
        ValueError: for an unknown choice; in training, when the source has no labels, no clips or the model no such head.
    """

    def __init__(self, weight: float = 1.0, *, mode: str = 'tube', reduction: str = 'sum', head: str = 'main') -> None:
        super().__init__()
        if mode not in ('tube', 'single'):
            raise ValueError(f"mode is {mode!r}; expected 'tube' or 'single'")
        if reduction not in ('sum', 'mean'):
            raise ValueError(f"reduction is {reduction!r}; expected 'sum' or 'mean'")
        self.weight, self.mode, self.reduction, self.head = weight, mode, reduction, head

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_<mode>``, and the same unweighted as ``distance_<mode>``, to watch."""
        source = batch.domain('source', needed_by='TubeMatching')
        if source.label is None:
            raise ValueError('TubeMatching has no labels on the source domain; use a labelled dataset')
        if self.head not in source.logits:
            raise ValueError(f"TubeMatching matches the head '{self.head}', the model has {sorted(source.logits)}")
        if self.mode == 'tube' and source.clip_length < 2:
            raise ValueError(f'TubeMatching needs clips of 2 or more frames, the source has {source.clip_length}; wrap it in a '
                             "ClipDataset with frame_offsets=(0, -1), or use mode='single'")
        prob = source.logits[self.head].float().softmax(1)
        value = tube_matching_loss(source.clips(prob), source.clips(source.label), mode=self.mode, reduction=self.reduction)
        return {f'loss_{self.mode}': self.weight * value, f'distance_{self.mode}': value.detach()}
