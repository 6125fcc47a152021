# SPDX-License-Identifier: Apache-2.0
"""Predictions of the frames of an input as files: what ``tools/infer.py`` writes.

``predictions.json`` says which weights and which input they are of. A file counts as done if it is younger than that and than its
image, so the same run goes on where it was killed; frames that are done are not read. ``overwrite`` removes what a run wrote.
"""
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from udatools.engine.frame_predictor import FramePredictor
from udatools.engine.frames import Frame, FrameInput
from udatools.engine.resumable import claim_folder, sole_writer
from udatools.evaluation.panoptic_io import PanopticWriter, encode_panoptic, semantic_categories, semantic_ids
from udatools.ops.histograms import WinningPrediction
from udatools.utils.atomic import write_png_atomic
from udatools.utils.progress import Progress
from udatools.visualization import panels
from udatools.visualization.video_writer import VideoWriter

KINDS = ('overlay', 'colour', 'ids', 'confidence', 'panoptic')
CLAIM = 'predictions.json'
VIDEO, PANOPTIC_SET = 'overlay.mp4', 'panoptic.json'
LEFTOVERS = ('.*.tmp', '.overlay.*.tmp.mp4', *(f'{kind}/**/.*.tmp' for kind in KINDS))  # of a killed run


class WrittenPredictions(NamedTuple):
    """What was done.

    Attributes:
        predicted (int): frames that went through the network.
        reused (int): frames whose files were there.
    """
    predicted: int
    reused: int


def write_predictions(predictor: FramePredictor, frames: FrameInput, out: Path, *, save: Sequence[str] = ('overlay', ),
                      batch_size: int = 1, overwrite: bool = False) -> WrittenPredictions:
    """Writes ``<out>/<kind>/<name>.png`` for each frame; of a video the overlay is ``<out>/overlay.mp4``.

    ``panoptic`` is a set in the format of Cityscapes-VPS, with ``<out>/panoptic.json`` about its frames: ``tools/eval_vpq.py``
    scores it. A semantic network knows no instances, so each class is one segment, with one id in all frames.

    Args:
        predictor (FramePredictor): the network.
        frames (FrameInput): what it looks at; at most ``2 * batch_size + 1`` of them are in memory.
        out (Path): folder for one input and one network.
        save (Sequence[str]): of ``KINDS``: the classes over the picture; their colours; train ids, uint8; probability of the
            class, uint8, ``round(255 * p)``; segment ids, class + 1. All at the size of the frame.
        batch_size (int): consecutive frames of one size that go through the network together. Another number may change the last
            bits of a probability.
        overwrite (bool): whether to remove first what an earlier run wrote to the folder, of whatever input and network.

    Returns:
        WrittenPredictions: how many.

    Raises:
        ValueError: for an unknown kind, a folder with predictions of something else, or a frame that is damaged.
        OSError: if a file cannot be written.
        WorkDirInUseError: while another run writes to the folder.
    """
    if not save or set(save) - set(KINDS) or batch_size < 1:
        raise ValueError(f'got save={list(save)} and batch_size={batch_size}; expected some of {", ".join(KINDS)}, and 1 or more')
    with sole_writer(out, LEFTOVERS):
        if overwrite:
            _remove_predictions(out)
        return _write_all(predictor, frames, out, save, batch_size)


def _remove_predictions(out: Path) -> None:
    """What a run wrote to a folder that it claimed, the claim last: a kill in between changes nothing of whose the rest is."""
    if not (out / CLAIM).is_file():
        return
    for kind in KINDS:
        for path in list((out / kind).rglob('*.png')):
            path.unlink()
        folders = [path for path in (out / kind).rglob('*') if path.is_dir()]
        for folder in sorted([*folders, out / kind], reverse=True):  # those inside first
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    for name in (VIDEO, PANOPTIC_SET, CLAIM):
        (out / name).unlink(missing_ok=True)


def _write_all(predictor: FramePredictor, frames: FrameInput, out: Path, save: Sequence[str],
               batch_size: int) -> WrittenPredictions:
    settings = dict(weights=predictor.fingerprint(), reading=predictor.reading_digest(), classes=predictor.classes,
                    palette=[list(colour) for colour in predictor.palette], input=str(frames.path))
    claim = claim_folder(out, settings, name=CLAIM, content='predictions that were').stat().st_mtime_ns
    video = out / VIDEO if frames.fps and 'overlay' in save else None
    kinds = [kind for kind in KINDS if kind in save and not (video and kind == 'overlay')]

    def done(path: Path, name: str) -> bool:
        return path.is_file() and path.stat().st_mtime_ns >= max(claim, frames.modified(name))

    def lacking(name: str) -> list[str]:
        return [kind for kind in kinds if not done(_file(out, kind, name), name)]

    predicted, pending = 0, []
    with ExitStack() as stack:
        writer = None
        if video and not done(video, frames.names[0]):
            writer = stack.enter_context(VideoWriter(video, frames.fps or 0.0))
        reused = 0 if writer is not None else sum(not lacking(name) for name in frames.names)
        progress = stack.enter_context(Progress('infer', len(frames), 'frames', first=reused))
        pool = stack.enter_context(ThreadPoolExecutor(2))  # a PNG takes long beside a GPU
        for batch in _batches(frames.read(lambda name: writer is not None or bool(lacking(name))), batch_size):
            winners = predictor.predict([frame.image for frame in batch])
            _finish(pending)
            pending = [pool.submit(_write, out, lacking(frame.name), frame, winner, predictor.palette)
                       for frame, winner in zip(batch, winners)]
            if writer is not None:
                for frame, winner in zip(batch, winners):
                    writer.write(draw_overlay(frame.image, winner.label, predictor.palette)[..., ::-1])
            predicted += len(batch)
            progress.update(reused + predicted)
        _finish(pending)
    if 'panoptic' in save:
        _write_panoptic_json(out / PANOPTIC_SET, frames.names, predictor.classes, claim)
    return WrittenPredictions(predicted, len(frames) - predicted)


def draw_overlay(image: np.ndarray, label: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """The classes over the picture: uint8, (H, W, 3), BGR as ``image``."""
    return panels.overlay(image[..., ::-1], label, palette)[..., ::-1]


def _file(out: Path, kind: str, name: str) -> Path:
    return out / kind / f'{name}.png'


def _finish(pending: Sequence[Future]) -> None:
    for future in pending:
        future.result()


def _write(out: Path, kinds: Sequence[str], frame: Frame, winner: WinningPrediction, palette: Sequence[Sequence[int]]) -> None:
    make: dict[str, Callable[[], np.ndarray]] = {
        'overlay': lambda: draw_overlay(frame.image, winner.label, palette),
        'colour': lambda: panels.colourise(winner.label, palette)[..., ::-1],
        'ids': lambda: winner.label,
        'confidence': lambda: np.rint(winner.confidence.astype(np.float32) * 255).astype(np.uint8),
        'panoptic': lambda: encode_panoptic(semantic_ids(winner.label)),
    }
    for kind in kinds:
        write_png_atomic(_file(out, kind, frame.name), make[kind]())


def _write_panoptic_json(path: Path, names: Sequence[str], classes: Sequence[str], claim: int) -> None:
    """The JSON about the PNGs of all frames, unless it lists them and is younger than all of them and than the claim."""
    newest = max(claim, *(_file(path.parent, 'panoptic', name).stat().st_mtime_ns for name in names))
    if path.is_file() and path.stat().st_mtime_ns >= newest:
        if [image['id'] for image in json.loads(path.read_text(encoding='utf-8'))['images']] == list(names):
            return
    writer = PanopticWriter(path, semantic_categories(classes))
    with Progress('list', len(names), 'frames') as progress:
        for number, name in enumerate(names, 1):
            writer.adopt_semantic(name)
            progress.update(number)
    writer.finish()


def _batches(frames: Iterator[Frame], batch_size: int) -> Iterator[list[Frame]]:
    """Consecutive frames of one size."""
    batch: list[Frame] = []
    for frame in frames:
        if batch and frame.image.shape != batch[0].image.shape:
            yield batch
            batch = []
        batch.append(frame)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch
