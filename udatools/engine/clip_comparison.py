# SPDX-License-Identifier: Apache-2.0
"""What a clip looks like to two networks, and what self-training makes of it (Shin et al., Video DA, 2021, Fig. 3).

Pseudo-labels are those that training would generate of this clip, were it the first one: predictions aggregated along flow
(Eq. 10), thresholds of the clip (Eq. 11, Algorithm 1), and the check with the frame before (Eq. 12). The thresholds need all
frames, so the clip is gone through twice; the first pass leaves counts alone, and both hold three frames.
"""
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from udatools.engine.frame_predictor import FramePredictor, train_ids
from udatools.engine.frames import Frame, FrameInput
from udatools.evaluation.panoptic_io import clips_of_names
from udatools.models.flow import FlowEstimator
from udatools.models.label_refinement import TemporalConsensus
from udatools.models.segmentors import DomainBatch, UDABatch, UDADataPreprocessor
from udatools.pseudo_labels import AggregatedPredictor, ClipAdaptivePolicy, FramePosition, clip_statistics
from udatools.registry import FLOW_ESTIMATORS
from udatools.utils.atomic import write_png_atomic
from udatools.utils.progress import Progress
from udatools.visualization.video_panels import ComparisonPicture
from udatools.visualization.video_writer import VideoWriter

OFFSETS = (-1, 1)  # neighbours of Eq. 10


class ComparedFrame(NamedTuple):
    """What is shown of a frame; label maps are uint8, (H, W), train ids, 255 = no label.

    Attributes:
        name (str): of the frame.
        image (np.ndarray): uint8, (H, W, 3), BGR.
        source (np.ndarray): prediction of the source-only network.
        adapted (np.ndarray): prediction of the adapted one, of this frame alone.
        flow (np.ndarray): float32, (2, H, W), pixels, to the frame before.
        known (np.ndarray): bool, (H, W), where the flow is known; nowhere in the first frame.
        label (np.ndarray): pseudo-label of the adapted network.
        refined (np.ndarray): the same where the frame before agrees; all of it in the first frame.
    """
    name: str
    image: np.ndarray
    source: np.ndarray
    adapted: np.ndarray
    flow: np.ndarray
    known: np.ndarray
    label: np.ndarray
    refined: np.ndarray


class FrameWindow:
    """The frames of an input by number, the last few of them; what ``AggregatedPredictor`` calls images.

    Numbers may be asked for in an order that is never further back than the window; any smaller one starts over.

    Args:
        frames (FrameInput): of one size.
        size (int): frames that are kept.
    """

    def __init__(self, frames: FrameInput, size: int = 1 + max(OFFSETS) - min(OFFSETS)) -> None:
        self.frames, self.size = frames, size
        self.keys: Sequence[str] = frames.names
        self._start()

    def _start(self) -> None:
        self._kept: dict[int, Frame] = {}
        self._next = 0
        self._stream = self.frames.read()

    def __getitem__(self, number: int) -> np.ndarray:
        """Frame of a number: uint8, (H, W, 3), BGR."""
        if number not in self._kept and number < self._next:
            self._start()
        while number not in self._kept:
            frame = next(self._stream, None)
            if frame is None:
                raise ValueError(f'{self.frames.path} ended after {self._next} frames, it had {len(self.keys)} before; is it '
                                 'still being written?')
            first = next(iter(self._kept.values()), frame)
            if frame.image.shape != first.image.shape:
                sizes = [f'{one.image.shape[1]}x{one.image.shape[0]}' for one in (frame, first)]
                raise ValueError(f'frame {frame.name} is {sizes[0]}, {first.name} is {sizes[1]}; frames of a clip have one size')
            self._kept[self._next] = frame
            self._kept.pop(self._next - self.size, None)
            self._next += 1
        return self._kept[number].image

    def native_image(self, index: int) -> Tensor:
        """uint8, RGB, (3, H, W), on the CPU."""
        return torch.from_numpy(np.ascontiguousarray(self[index][..., ::-1].transpose(2, 0, 1)))


class RememberedFlow(FlowEstimator):
    """An estimator whose last answers can be had again: the aggregation asks, and the picture wants the same.

    Args:
        estimator (Mapping): config of ``FLOW_ESTIMATORS``.
    """

    def __init__(self, estimator: Mapping[str, Any]) -> None:
        self.estimator = FLOW_ESTIMATORS.build(dict(estimator))
        self._answers: dict[tuple[tuple[str, int], ...], tuple[Tensor, Tensor]] = {}

    def estimate(self, image: Tensor, reference: Tensor) -> Tensor:
        """See the base class."""
        return self.estimator.estimate(image, reference)

    def between(self, image: Tensor, reference: Tensor, pairs: Sequence[tuple[str, int]]) -> tuple[Tensor, Tensor]:
        """See the base class."""
        answer = self._answers[tuple(pairs)] = self.estimator.between(image, reference, pairs)
        while len(self._answers) > len(OFFSETS):
            del self._answers[next(iter(self._answers))]
        return answer

    def last(self, key: str, offset: int) -> tuple[Tensor, Tensor]:
        """What :meth:`between` said of one of the last pairs: flow, (2, H, W), and where it is known, (H, W)."""
        flow, known = self._answers[((key, offset), )]
        return flow[0], known[0]


class _SingleFrames:
    """The ``Predictor`` that is aggregated: answers stay on the device, at the size of the frame."""

    def __init__(self, predictor: FramePredictor, window: FrameWindow) -> None:
        self.predictor, self.window = predictor, window

    def infer(self, index: int) -> Tensor:
        return self.predictor.logits([self.window[index]])[0]

    def expand(self, compact: Tensor) -> Tensor:
        return compact.float().softmax(0)


class ClipComparison:
    """Both passes over a clip.

    Args:
        adapted (FramePredictor): the adapted network.
        source_only (FramePredictor): the one to compare it with.
        frames (FrameInput): the clip, in the order of time.
        flow (Mapping): config of ``FLOW_ESTIMATORS``. Precomputed flow is looked up by the names of the frames, one apart.

    Raises:
        ValueError: if the two networks have different classes, or the frames are of several clips.
    """

    def __init__(self, adapted: FramePredictor, source_only: FramePredictor, frames: FrameInput, *,
                 flow: Mapping[str, Any]) -> None:
        if adapted.classes != source_only.classes:
            raise ValueError(f'the adapted network knows {", ".join(adapted.classes)}, the other one '
                             f'{", ".join(source_only.classes)}; compare networks of the same classes')
        if len(clips := clips_of_names(frames.names)) > 1:
            raise ValueError(f'{frames.path} holds frames of {len(clips)} clips ({", ".join(clips[:3])}'
                             f'{", ..." if len(clips) > 3 else ""}); flow and labels over time are those of one: give its '
                             'folder, or a pattern of its files')
        self.adapted, self.source_only, self.frames = adapted, source_only, frames
        self.window = FrameWindow(frames)
        self.policy, self.refinement = ClipAdaptivePolicy(), TemporalConsensus()
        self.preprocessor = UDADataPreprocessor()  # leaves images as they are
        self.predictor = AggregatedPredictor(
            _SingleFrames(adapted, self.window), self.window, [FramePosition('clip', number) for number in range(len(frames))],
            flow=dict(type=RememberedFlow, estimator=dict(flow)), offsets=OFFSETS)
        self.theta: np.ndarray | None = None
        self.largest_px = 1.0

    def measure(self) -> None:
        """First pass: ``theta``, the thresholds, float64 (C,); and ``largest_px``, the length of flow to draw in full colour."""
        lengths: list[float] = []

        def numbers() -> Iterator[int]:
            for number in range(len(self.frames)):
                yield number
                flow, known = self._flow_back(number)  # the frame is counted by now, and its flow remembered
                if known.any():
                    lengths.append(float(np.quantile(flow.norm(dim=0)[known].cpu().numpy(), 0.99)))
                progress.update(number + 1)

        classes = len(self.adapted.classes)
        with Progress('thresholds', len(self.frames), 'frames') as progress:
            histogram = clip_statistics(self.predictor, numbers(), self.policy, classes)
        self.theta = self.policy.step(self.policy.initial_thresholds(classes), histogram)
        self.largest_px = max([1.0, float(np.median(lengths))] if lengths else [1.0])  # the median leaves cuts out

    def compare(self) -> Iterator[ComparedFrame]:
        """Second pass; :meth:`measure` goes first if it has not been called."""
        if self.theta is None:
            self.measure()
        before: np.ndarray | None = None
        for number, name in enumerate(self.frames.names):
            compact = self.predictor.infer(number)
            label = self.policy.label_winner(self.policy.winner(self.predictor.expand(compact)), self.theta).label
            flow, known = self._flow_back(number)
            refined = label if before is None else self._refine(number, label, before, flow, known)
            image = self.window[number]
            source = train_ids(self.source_only.logits([image])[0])
            yield ComparedFrame(name, image, source, train_ids(compact.own), flow.cpu().numpy(), known.cpu().numpy(), label,
                                refined)
            before = label

    def _flow_back(self, number: int) -> tuple[Tensor, Tensor]:
        """Flow to the frame before, (2, H, W), and where it is known, (H, W); unknown in the first frame."""
        if number == 0:
            size = self.window[0].shape[:2]
            return torch.zeros(2, *size), torch.zeros(size, dtype=torch.bool)
        return self.predictor.flow.last(self.frames.names[number], -1)

    def _refine(self, number: int, label: np.ndarray, before: np.ndarray, flow: Tensor, known: Tensor) -> np.ndarray:
        """The label of a frame after the check with the one before, as training does it: a batch of one clip of two frames."""
        images = torch.stack([self.window.native_image(index) for index in (number, number - 1)]).to(flow.device).float()
        labels = torch.from_numpy(np.stack([label, before])).to(flow.device).long()
        batch = UDABatch(target=DomainBatch(images, labels, features=(), clip_length=2, flow=flow[None, None],
                                            flow_valid=known[None, None]))
        self.refinement(batch, self.preprocessor)
        return batch.target.label[0].to(torch.uint8).cpu().numpy()


class WrittenComparison(NamedTuple):
    """What was done.

    Attributes:
        video (Path): the file.
        stills (list[Path]): in the order of time.
        kept (float): share of pixels with a pseudo-label, in [0, 1].
        refined (float): share of pixels with one after refinement.
    """
    video: Path
    stills: list[Path]
    kept: float
    refined: float


def write_comparison(comparison: ClipComparison, out: Path, *, stills: Sequence[int] = (), fps: float | None = None,
                     columns: int = 3, panel_width: int = 480, overwrite: bool = False) -> WrittenComparison:
    """Writes the side-by-side video, and some of its frames as PNG.

    Args:
        comparison (ClipComparison): what is shown.
        out (Path): an ``.mp4`` file, or a folder for ``compare.mp4``. Stills are beside it, ``compare_000015.png``.
        stills (Sequence[int]): positions of frames, from 0.
        fps (float, optional): frames a second; by default those of the video, 10 for images.
        columns (int): of panels, 3 or 2.
        panel_width (int): of a panel, about, in pixels.
        overwrite (bool): whether files that are there may be replaced.

    Returns:
        WrittenComparison: the files, and how much is labelled.

    Raises:
        ValueError: for a still that does not exist, or files that are there.
        OSError: if a file cannot be written.
    """
    frames = comparison.frames
    if stills and not 0 <= min(stills) <= max(stills) < len(frames):
        raise ValueError(f'got stills {list(stills)}; expected numbers from 0 to {len(frames) - 1}, of the frames of '
                         f'{frames.path}')
    video = out if out.suffix.lower() == '.mp4' else out / 'compare.mp4'
    paths = {number: video.with_name(f'{video.stem}_{number:06d}.png') for number in sorted(set(stills))}
    if not overwrite and (there := [str(path) for path in (video, *paths.values()) if path.exists()]):
        raise ValueError(f'{", ".join(there)} exists already; choose another --out, or add --overwrite')
    with ExitStack() as stack:
        writer = stack.enter_context(VideoWriter(video, fps or frames.fps or 10.0))  # tries codec and rate before the first pass
        comparison.measure()
        picture = ComparisonPicture(comparison.adapted.classes, comparison.adapted.palette, columns=columns,
                                    panel_width=panel_width, largest_px=comparison.largest_px)
        progress, kept, refined = stack.enter_context(Progress('compare', len(frames), 'frames')), 0.0, 0.0
        for number, frame in enumerate(comparison.compare()):
            shown = picture.draw(frame.image[..., ::-1], source=frame.source, adapted=frame.adapted, flow=frame.flow,
                                 known=frame.known, label=frame.label, refined=frame.refined)
            writer.write(shown)
            if number in paths:
                write_png_atomic(paths[number], shown[..., ::-1])
            kept += float((frame.label != 255).mean())
            refined += float((frame.refined != 255).mean())
            progress.update(number + 1)
    return WrittenComparison(video, list(paths.values()), kept / len(frames), refined / len(frames))
