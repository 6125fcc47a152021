# SPDX-License-Identifier: Apache-2.0
"""Predictions averaged with those of the neighbouring frames, brought over by flow (Shin et al., Video DA, 2021, Eq. 10).

Everything at native resolution: the low-resolution answers of the network are kept, expanded, and then warped. The paper has
FlowNet2; here flow comes from any ``FlowEstimator``, ``PrecomputedFlow`` (files of ``tools/compute_flow.py``) among them.
"""
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from udatools.datasets.flow_io import flow_path, quick_checksum
from udatools.ops.warp import PHOTOMETRIC_ALPHA, VISIBILITIES, forward_backward_visibility, photometric_visibility, warp
from udatools.registry import FLOW_ESTIMATORS

from .clip_adaptive import FramePosition
from .generator import Predictor


class Frames(Protocol):
    """The images of a set, such as ``TargetImages``."""
    keys: list[str]

    def native_image(self, index: int) -> Tensor:
        """uint8, RGB, (3, H, W), on the CPU."""


class CompactWindow(NamedTuple):
    """What the aggregated probabilities of a frame are expanded from.

    Attributes:
        frame (int): position of the frame in the set.
        own (Any): compact prediction of the frame.
        neighbours (list[tuple[int, int, Any]]): position, offset in frame numbers and compact prediction of each neighbour.
    """
    frame: int
    own: Any
    neighbours: list[tuple[int, int, Any]]


def check_flow_config(flow: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The config of a flow estimator as it is, if the estimator takes it.

    Raises:
        KeyError: for an estimator that does not exist.
        ValueError: for a config without a type, or with arguments that belong to another estimator.
    """
    if not flow or 'type' not in flow:
        raise ValueError(f"flow is {flow}; expected the config of an estimator, such as dict(type='PrecomputedFlow', root=...)")
    kind = flow['type']
    if not isinstance(kind, str):  # the class itself
        return flow
    if (estimator := FLOW_ESTIMATORS.get(kind)) is None:
        raise KeyError(f'{kind} is no flow estimator; expected one of {", ".join(sorted(FLOW_ESTIMATORS.module_dict))}')
    taken = inspect.signature(estimator).parameters
    strange = sorted(flow.keys() - taken.keys() - {'type'})
    if strange and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        raise ValueError(f'flow has {", ".join(strange)}, which {kind} does not take (it takes '
                         f'{", ".join(taken) or "nothing"}). A config that changes the type keeps the arguments of the old one; '
                         f'replace all of them with flow=dict(_delete_=True, type={kind!r}), on the command line with '
                         'flow._delete_=True beside flow.type')
    return flow


def aggregate(prob: Tensor, neighbours: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    r"""Mean of a prediction and those of its neighbours where these are visible (Eq. 10).

    .. math:: P^A = \frac{P + \sum_j I_j W_j(P_j)}{1 + \sum_j I_j}

    Args:
        prob (Tensor): float, (C, H, W), of the frame.
        neighbours (Sequence[tuple[Tensor, Tensor]]): for each neighbour its warped prediction, float (C, H, W), and its mask
            of non-occluded pixels, bool (H, W).

    Returns:
        Tensor: (C, H, W); ``prob`` itself without neighbours.
    """
    if not neighbours:
        return prob
    total, count = prob.clone(), torch.ones_like(prob[0])
    for warped, visible in neighbours:
        total.add_(warped * visible)
        count.add_(visible)
    return total.div_(count)


class AggregatedPredictor:
    """A predictor whose probabilities are those of the frame and its visible neighbours.

    Answers of the network are kept while they are in reach of the next frames, so that each frame goes through it once where
    frames come in the order of time: with a policy of clips, or on one process. A frame without a neighbour at an offset (the
    end of the clip, a gap) is averaged with the others it has.

    Args:
        predictor (Predictor): predicts single frames.
        images (Frames): the same frames.
        positions (Sequence[FramePosition]): clip and number of each of them.
        flow (Mapping): config of ``FLOW_ESTIMATORS``, such as ``dict(type='PrecomputedFlow', root=...)``.
        offsets (Sequence[int]): of the neighbours, in frame numbers of the clip; the paper: -1 and 1.
        visibility (str): ``'photometric'``, the paper's; or ``'forward_backward'``, which needs the flow from each neighbour to
            the frame too (:func:`udatools.ops.warp.forward_backward_visibility`).
        alpha (float): sharpness of the photometric rule, > 0; not in the paper, see :mod:`udatools.ops.warp`.
        threshold (float): th of the photometric rule, in (0, 1); the paper: 0.7.

    Raises:
        ValueError: for offsets that are doubled, zero or absent, another number of positions than images, an unknown
            visibility, or flow that is not understood.
    """

    def __init__(self, predictor: Predictor, images: Frames, positions: Sequence[FramePosition], *, flow: Mapping[str, Any],
                 offsets: Sequence[int] = (-1, 1), visibility: str = 'photometric', alpha: float = PHOTOMETRIC_ALPHA,
                 threshold: float = 0.7) -> None:
        if not offsets or 0 in offsets or len(set(offsets)) < len(offsets):
            raise ValueError(f'offsets is {list(offsets)}; expected one or more numbers of frames, not 0, each once')
        if len(positions) != len(images.keys):
            raise ValueError(f'got {len(positions)} positions for {len(images.keys)} images; expected one an image')
        if visibility not in VISIBILITIES:
            raise ValueError(f'visibility is {visibility!r}; expected one of {", ".join(VISIBILITIES)}')
        self.predictor, self.images, self.positions = predictor, images, list(positions)
        self.visibility = visibility
        self.offsets, self.alpha, self.threshold = list(offsets), float(alpha), float(threshold)
        self.flow_config = dict(check_flow_config(flow))
        self.flow = FLOW_ESTIMATORS.build(dict(flow))
        self._index = {position: index for index, position in enumerate(self.positions)}
        self._kept: dict[int, Any] = {}
        self._native: dict[int, tuple[Tensor, Tensor]] = {}

    def neighbours(self, index: int) -> list[tuple[int, int]]:
        """Position and offset of the neighbours that exist."""
        clip, frame = self.positions[index]
        found = ((self._index.get(FramePosition(clip, frame + offset)), offset) for offset in self.offsets)
        return [(position, offset) for position, offset in found if position is not None]

    def settings(self) -> dict[str, Any]:
        """JSON-able settings that the predictions depend on, of stored flow the content of the files."""
        flow = dict(self.flow_config)
        if root := flow.pop('root', None):
            digest = hashlib.sha256()
            for index in range(len(self.images.keys)):
                for position, offset in self.neighbours(index):
                    for key, step in self._pairs(index, position, offset):
                        path = flow_path(root, key, step, flow.get('suffix', '.png'))
                        content = quick_checksum(path) if path.exists() else b''  # reading a missing one says what to do
                        digest.update(f'{step}\0{key}\0'.encode() + content)
            flow['files'] = digest.hexdigest()
        return dict(offsets=self.offsets, visibility=self.visibility, alpha=self.alpha, threshold=self.threshold, flow=flow)

    def _pairs(self, index: int, position: int, offset: int) -> list[tuple[str, int]]:
        """Key and offset of the flow that is needed of a frame and its neighbour: there, and back if visibility asks for it."""
        there, back = (self.images.keys[index], offset), (self.images.keys[position], -offset)
        return [there, back] if self.visibility == 'forward_backward' else [there]

    def infer(self, index: int) -> CompactWindow:
        """Run the network on the frame and its neighbours, as far as their answers are not at hand."""
        clip, frame = self.positions[index]
        reach = max(abs(offset) for offset in self.offsets)
        self._kept = {
            position: answer for position, answer in self._kept.items()
            if self.positions[position].clip == clip and abs(self.positions[position].frame - frame) <= reach
        }
        found = self.neighbours(index)
        for position in (index, *(position for position, _ in found)):
            if position not in self._kept:
                self._kept[position] = self.predictor.infer(position)
        return CompactWindow(index, self._kept[index], [(position, offset, self._kept[position]) for position, offset in found])

    @torch.no_grad()
    def expand(self, compact: CompactWindow) -> Tensor:
        """Aggregated probabilities: float32, (C, H, W) at native resolution, on the predictor's device.

        Raises:
            FileNotFoundError, ValueError: for flow that is missing, damaged or of another size; for frames of two sizes.
        """
        window = {compact.frame, *(position for position, _, _ in compact.neighbours)}
        self._native = {position: frame for position, frame in self._native.items() if position in window}
        prob, image = self._frame(compact.frame, compact.own)
        key = self.images.keys[compact.frame]
        warped = []
        for position, offset, answer in compact.neighbours:
            other, reference = self._frame(position, answer)
            if image.shape != reference.shape:
                sizes = ', '.join(f'{name} is {shown.shape[3]}x{shown.shape[2]}'
                                  for name, shown in ((key, image), (self.images.keys[position], reference)))
                raise ValueError(f'the frames of a clip differ in size: {sizes} (width x height); bring them to one size, or '
                                 'give them different clips')
            there, *back = self._pairs(compact.frame, position, offset)
            flow, known = self.flow.between(image, reference, [there])
            moved, inside = warp(torch.cat([other[None], reference.to(prob.dtype) / 255], 1), flow)
            if back:
                visible = forward_backward_visibility(flow, *self.flow.between(reference, image, back))
            else:
                visible = photometric_visibility(image.to(prob.dtype) / 255, moved[:, len(prob):], self.alpha, self.threshold)
            warped.append((moved[0, :len(prob)], (visible & inside & known)[0]))
        return aggregate(prob, warped)

    def _frame(self, position: int, answer: Any) -> tuple[Tensor, Tensor]:
        """Probabilities (C, H, W) and image, uint8 (1, 3, H, W), of a frame; of the last window they are at hand."""
        if position not in self._native:
            prob = self.predictor.expand(answer)
            self._native[position] = prob, self.images.native_image(position).to(prob.device)[None]
        return self._native[position]
