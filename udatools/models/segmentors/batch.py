# SPDX-License-Identifier: Apache-2.0
"""What objectives are given: the inputs, labels and outputs of one forward pass a domain."""
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

FLOW_FIELDS = ('flow', 'flow_valid', 'back_flow', 'back_flow_valid')


@dataclass
class DomainBatch:
    """One domain's share of a training batch, after the forward pass.

    Clips of T frames are flattened into B * T images, frame after frame and clip after clip (b0t0, b0t1, b1t0, ...), key frame
    first: read ``B`` as ``B * T`` in all that is said of images. :meth:`clips` takes them apart again.

    Attributes:
        inputs (Tensor): float, (B, 3, H, W), preprocessed images.
        label (Tensor | None): int64, (B, H, W), train ids, 255 = ignore; None where the dataset has none.
        features (tuple[Tensor, ...]): backbone outputs, (B, C_i, h_i, w_i).
        logits (dict[str, Tensor]): float, (B, C, H, W) at input size, by head: ``main``, ``aux``, ``second``.
        teacher_prob (Tensor | None): float32, (B, C, H, W) at input size, probabilities of the teacher on the same inputs,
            without a gradient; None where the model has no teacher, and on the domain that it is not for.
        weight (Tensor | None): float32, (B, H, W), weight of each pixel's label; None = 1.
        keys (tuple[str, ...]): identities of the images; empty where the samples do not say them.
        clip_length (int): T, number of frames of a clip; 1 for images.
        frame_valid (Tensor | None): bool, (B, T), False where the clip has no such frame: the key frame is seen in its place,
            and none of its labels. None for images.
        flow (Tensor | None): float32, (B, T-1, 2, H, W), in pixels, from the key frame to each reference: what the key frame
            shows at (x, y) lies in the reference at (x + u, y + v).
        flow_valid (Tensor | None): bool, (B, T-1, H, W), where the flow is known; False in padding.
        back_flow (Tensor | None): as ``flow``, from each reference to the key frame.
        back_flow_valid (Tensor | None): as ``flow_valid``.
    """
    inputs: Tensor
    label: Tensor | None
    features: tuple[Tensor, ...]
    logits: dict[str, Tensor] = field(default_factory=dict)
    teacher_prob: Tensor | None = None
    weight: Tensor | None = None
    keys: tuple[str, ...] = ()
    clip_length: int = 1
    frame_valid: Tensor | None = None
    flow: Tensor | None = None
    flow_valid: Tensor | None = None
    back_flow: Tensor | None = None
    back_flow_valid: Tensor | None = None

    def clips(self, frames: Tensor) -> Tensor:
        """A view by clip: (B * T, ...) -> (B, T, ...); ``[:, 0]`` of it are the key frames."""
        return frames.unflatten(0, (-1, self.clip_length))

    def known_flow(self, needed_by: str) -> tuple[Tensor, Tensor]:
        """``flow`` and ``flow_valid`` of clips.

        Raises:
            ValueError: when these are no clips, or their flow was not read.
        """
        if self.clip_length < 2 or self.flow is None or self.flow_valid is None:
            raise ValueError(f'{needed_by} needs clips of 2 or more frames with flow, got {self.clip_length} frame(s) and '
                             f'{"no " if self.flow is None else ""}flow; give the ClipDataset of the target '
                             'frame_offsets=(0, -1) and flow=dict(root=...)')
        return self.flow, self.flow_valid


def sample_fields(data_samples: Sequence[SegDataSample]) -> dict[str, Any]:
    """What a :class:`DomainBatch` takes from its samples beside their labels: ``keys``, and the fields of clips."""
    keys = tuple(sample.get('key') for sample in data_samples)
    return dict(clip_fields(data_samples), keys=keys if None not in keys else ())


def clip_fields(data_samples: Sequence[SegDataSample]) -> dict[str, Any]:
    """The fields of a :class:`DomainBatch` that only clips have.

    Args:
        data_samples (Sequence[SegDataSample]): of all frames, as the ``UDADataPreprocessor`` gives them.

    Returns:
        dict[str, Any]: empty for images.
    """
    length = data_samples[0].get('clip_length')
    if length is None:
        return {}
    key_frames = data_samples[::length]
    valid = torch.stack([sample.frame_valid for sample in key_frames])
    flows = {name: torch.stack([sample.get(name).data for sample in key_frames]) for name in FLOW_FIELDS if name in key_frames[0]}
    return dict(clip_length=length, frame_valid=valid, **flows)


@dataclass
class UDABatch:
    """Source and target, and what a mixing made of them; a stage without one of them has None there."""
    source: DomainBatch | None = None
    target: DomainBatch | None = None
    mixed: DomainBatch | None = None

    def domain(self, name: str, needed_by: str) -> DomainBatch:
        """The named domain.

        Raises:
            ValueError: when the training set does not hold it.
        """
        batch = {'source': self.source, 'target': self.target, 'mixed': self.mixed}.get(name)
        if batch is None:
            raise ValueError(f"{needed_by} needs the domain '{name}', but there is none; "
                             f"add {'a `mixing`' if name == 'mixed' else f'`{name}=...` to the UDADataset of this stage'} "
                             'or drop the objective')
        return batch
