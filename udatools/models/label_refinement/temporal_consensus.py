# SPDX-License-Identifier: Apache-2.0
"""Online refinement of pseudo-labels by temporal consensus (Shin et al., Video DA, 2021, Eq. 12 and 14).

The label of a reference frame is warped onto the key frame. ``cut_out`` (Eq. 12) keeps a label where both agree; ``fill_in``
(Eq. 14, the paper's ablation, which is worse) takes over the warped label where the key frame has none. Eq. 13 sums over both
frames: the reference is refined by the label of the key frame and the backward flow, as the data set gives it.
"""
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from udatools.ops.mixing import IGNORE
from udatools.ops.warp import (
    PHOTOMETRIC_ALPHA,
    VISIBILITIES,
    forward_backward_visibility,
    photometric_visibility,
    warp,
    warp_labels,
)
from udatools.registry import MODELS

from ..segmentors.batch import UDABatch

if TYPE_CHECKING:
    from udatools.models.segmentors import DomainBatch, UDADataPreprocessor


class _KnownFlow(NamedTuple):
    """Flow, float32, (B, 2, H, W), in pixels, and where it is known, bool, (B, H, W)."""
    flow: Tensor
    known: Tensor


@MODELS.register_module()
class TemporalConsensus:
    """Rewrites ``batch.target.label`` of clips.

    Without backward flow the references keep their labels as they are. A reference frame that does not exist (``frame_valid``)
    refines nothing. With several references ``cut_out`` wants the consent of each, ``fill_in`` takes the first that has a label.

    Args:
        mode (str): ``'cut_out'`` (Eq. 12) or ``'fill_in'`` (Eq. 14).
        unseen (str): what ``cut_out`` does with a label where the warped one is undefined: the reference has no label there, its
            position is outside of the frame, or its flow is unknown. ``'drop'`` is Eq. 12 as it stands (undefined is not equal);
            ``'keep'`` leaves the label, and also does where the pixel is occluded.
        visibility (str): the rule of occlusion of ``fill_in`` and ``'keep'``: ``'photometric'``, the paper's, or
            ``'forward_backward'``, which needs backward flow (:func:`udatools.ops.warp.forward_backward_visibility`).
        alpha (float): sharpness of the photometric rule, > 0; see :mod:`udatools.ops.warp`.
        threshold (float): of the photometric rule, in (0, 1); the paper: 0.7.

    Raises:
        ValueError: for an unknown choice, or a visibility that nothing looks at; in training, when the target has no labels, no
            clips or no flow.
    """

    def __init__(self, mode: str = 'cut_out', *, unseen: str = 'drop', visibility: str = 'photometric',
                 alpha: float = PHOTOMETRIC_ALPHA, threshold: float = 0.7) -> None:
        if mode not in ('cut_out', 'fill_in'):
            raise ValueError(f"mode is {mode!r}; expected 'cut_out' or 'fill_in'")
        if unseen not in ('drop', 'keep'):
            raise ValueError(f"unseen is {unseen!r}; expected 'drop' or 'keep'")
        if visibility not in VISIBILITIES:
            raise ValueError(f'visibility is {visibility!r}; expected one of {", ".join(VISIBILITIES)}')
        if visibility != 'photometric' and mode == 'cut_out' and unseen == 'drop':
            raise ValueError(f"visibility={visibility!r} changes nothing: mode='cut_out' with unseen='drop' does not ask what is "
                             "occluded; set unseen='keep' or mode='fill_in', or leave visibility out")
        self.mode, self.unseen, self.visibility = mode, unseen, visibility
        self.alpha, self.threshold = float(alpha), float(threshold)

    def __call__(self, batch: UDABatch, preprocessor: 'UDADataPreprocessor') -> dict[str, Tensor]:
        """Refines the labels of the target.

        Args:
            batch (UDABatch): its ``target`` holds clips with labels and flow; ``target.label`` is replaced.
            preprocessor (UDADataPreprocessor): whose normalisation the images of the batch have.

        Returns:
            dict[str, Tensor]: ``kept``, labelled pixels after by labelled pixels before, to watch.
        """
        target = batch.domain('target', needed_by='TemporalConsensus')
        if target.label is None:
            raise ValueError('TemporalConsensus refines labels, the target has none; give it a label_dir with pseudo-labels')
        flow, known = target.known_flow('TemporalConsensus')
        label, exists = target.clips(target.label), self._frame_valid(target)
        both_ways = target.back_flow is not None and target.back_flow_valid is not None
        if self.visibility == 'forward_backward' and not both_ways:
            raise ValueError("TemporalConsensus with visibility='forward_backward' needs the flow from the references back; give "
                             'the ClipDataset of the target flow=dict(root=..., backward=True)')
        images = target.clips(_unit_images(target.inputs, preprocessor)) if self._needs_images else None
        refined = label.clone()
        for j in range(1, target.clip_length):
            pair = None if images is None else (images[:, 0], images[:, j])
            there, back = _KnownFlow(flow[:, j - 1], known[:, j - 1]), None
            if both_ways:
                back = _KnownFlow(target.back_flow[:, j - 1], target.back_flow_valid[:, j - 1])
            refined[:, 0] = self._refine(refined[:, 0], label[:, j], there, back, exists[:, j], pair)
            if back is not None:
                refined[:, j] = self._refine(label[:, j], label[:, 0], back, there, exists[:, j],
                                             None if pair is None else pair[::-1])
        before, after = ((part != IGNORE).sum() for part in (label, refined))
        target.label = refined.flatten(0, 1)
        return {'kept': after / before.clamp(min=1)}

    @property
    def _asks_visibility(self) -> bool:
        return self.mode == 'fill_in' or self.unseen == 'keep'

    @property
    def _needs_images(self) -> bool:
        return self._asks_visibility and self.visibility == 'photometric'

    @staticmethod
    def _frame_valid(target: 'DomainBatch') -> Tensor:
        if target.frame_valid is not None:
            return target.frame_valid
        assert target.label is not None
        return torch.ones(len(target.label) // target.clip_length, target.clip_length, dtype=torch.bool,
                          device=target.label.device)

    def _refine(self, label: Tensor, reference: Tensor, there: _KnownFlow, back: _KnownFlow | None, exists: Tensor,
                images: tuple[Tensor, Tensor] | None) -> Tensor:
        """Labels of one frame after the check with another.

        Args:
            label (Tensor): int64, (B, H, W), of the frame.
            reference (Tensor): int64, (B, H, W), of the other frame.
            there (_KnownFlow): from the frame to the other.
            back (_KnownFlow | None): from the other frame to this one.
            exists (Tensor): bool, (B,), whether there is another frame.
            images (tuple[Tensor, Tensor] | None): float, (B, 3, H, W) in [0, 1], of the frame and of the other.
        """
        warped = warp_labels(reference, there.flow, IGNORE).masked_fill(~there.known, IGNORE)
        visible = self._visible(there, back, images) if self._asks_visibility else None
        if self.mode == 'fill_in':
            assert visible is not None
            refined = torch.where((label == IGNORE) & visible, warped, label)
        else:
            agree = label == warped
            if visible is not None:  # unseen='keep'
                agree |= (warped == IGNORE) | ~visible
            refined = label.masked_fill(~agree, IGNORE)
        return torch.where(exists[:, None, None], refined, label)

    def _visible(self, there: _KnownFlow, back: _KnownFlow | None, images: tuple[Tensor, Tensor] | None) -> Tensor:
        """Pixels of a frame, bool, (B, H, W), that the other one shows too."""
        if self.visibility == 'forward_backward':
            assert back is not None
            return forward_backward_visibility(there.flow, *back)
        assert images is not None
        moved, inside = warp(images[1], there.flow)
        return photometric_visibility(images[0], moved, self.alpha, self.threshold) & inside


def _unit_images(inputs: Tensor, preprocessor: 'UDADataPreprocessor') -> Tensor:
    """Preprocessed images (N, 3, H, W) back in [0, 1]; the order of the channels does not matter to a distance of colours."""
    if not preprocessor._enable_normalize:
        return inputs / 255
    return (inputs * preprocessor.std + preprocessor.mean) / 255
