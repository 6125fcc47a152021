# SPDX-License-Identifier: Apache-2.0
"""Write MiniDrive video to disk: labelled source clips, sparsely labelled target clips, exact flow.

Resumable by frame and idempotent, as the stills; whatever the number of processes, the same bytes. Optical flow lies in
``flow/<layout>/<split>/<offset:+d>/<key>.png`` (:mod:`udatools.datasets.flow_io`; rounded to 1/64 pixel there).
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from udatools.datasets.flow_io import flow_path, write_flow
from udatools.datasets.preparation.prepare import map_pairs
from udatools.utils.atomic import write_json_atomic
from udatools.utils.progress import Progress

from .clip import Clip
from .generate import prepare_root
from .video_layouts import CITYSCAPES_VPS, LABEL_EVERY, VIPER, Encoder, VideoLayout, write_annotations
from .writers import write_atomic

# Raise it whenever the pixels of a frame change: data of another version is not mixed with new data.
VIDEO_VERSION = 1
VIDEO_FINGERPRINT = 'minidrive_video.json'
FOLDERS = (VIPER.folder, CITYSCAPES_VPS.folder, 'flow')
FLOW_OFFSETS = (-1, 1)
_LAYOUTS = {layout.folder: layout for layout in (VIPER, CITYSCAPES_VPS)}


@dataclass(frozen=True)
class _Job:
    """One clip to write, by the name of its layout."""

    layout: str
    split: str
    index: int
    num_frames: int


def generate_minidrive_video(root: str | os.PathLike[str], *, size: tuple[int, int] = (256, 128), seed: int = 0,
                             source_clips: int = 120, source_frames: int = 4, target_clips: int = 80,
                             target_frames: int = 10, val_clips: int = 18, val_frames: int = 30, nproc: int = 1,
                             overwrite: bool = False, progress: bool = True) -> Path:
    """Generate the clips of MiniDrive as ``root/viper``, ``root/cityscapes_vps`` and ``root/flow``.

    Files that exist are kept, so an interrupted call is finished by the next one, and a finished one costs nothing.

    Args:
        root: folder of the data set; made when missing. The stills may lie in the same one.
        size: (width, height) in pixels.
        seed: seed of all clips.
        source_clips: clips of the source domain "sim", every frame labelled.
        source_frames: frames of each, >= 2.
        target_clips: training clips of the target domain "real", every fifth frame labelled.
        target_frames: frames of each, >= 5 so that one is labelled.
        val_clips: validation clips of the target domain, labelled alike.
        val_frames: frames of each, >= 5; from 20 on they hold all windows of VPQ.
        nproc: processes, >= 1; changes nothing but the time.
        overwrite: replace MiniDrive video of other parameters instead of refusing.
        progress: show progress on the error stream.

    Returns:
        ``root``.

    Raises:
        ValueError: a number is too small, or ``root`` holds MiniDrive video of other parameters.
        FileExistsError: one of the folders exists that MiniDrive did not make.
        RuntimeError: a process died.
    """
    if (min(source_clips, target_clips, val_clips) < 0 or source_frames < 2 or min(target_frames, val_frames) < LABEL_EVERY
            or nproc < 1):
        raise ValueError(f'numbers of clips must be >= 0, source_frames >= 2, target_frames and val_frames >= {LABEL_EVERY} and '
                         f'nproc >= 1, got {source_clips}, {target_clips}, {val_clips}, {source_frames}, {target_frames}, '
                         f'{val_frames} and {nproc}')
    root = Path(root)
    wanted: dict[str, object] = {
        'generator': 'MiniDrive video', 'version': VIDEO_VERSION, 'size': list(size), 'seed': seed,
        'source_clips': source_clips, 'source_frames': source_frames, 'target_clips': target_clips,
        'target_frames': target_frames, 'val_clips': val_clips, 'val_frames': val_frames}
    if not prepare_root(root / VIDEO_FINGERPRINT, wanted, FOLDERS, overwrite):
        write_json_atomic(root / VIDEO_FINGERPRINT, dict(wanted, formats=list(FOLDERS)))
    jobs = [_Job(VIPER.folder, 'train', index, source_frames) for index in range(source_clips)]
    for split, count, num_frames in (('train', target_clips, target_frames), ('val', val_clips, val_frames)):
        jobs += [_Job(CITYSCAPES_VPS.folder, split, index, num_frames) for index in range(count)]
    work = [job for job in jobs if any(_missing(root, job))]
    with Progress('MiniDrive', len(work), 'clips', shown=progress) as shown:
        for done, _ in enumerate(map_pairs(partial(_write_clip, root=root, size=size, seed=seed), work, nproc, chunk=1), 1):
            shown.update(done)
    folder = root / CITYSCAPES_VPS.folder
    for split, count in (('train', target_clips), ('val', val_clips)):
        if count and (work or not (folder / f'panoptic_gt_{split}_city_vps.json').is_file()):
            write_annotations(folder, split)
    return root


def _missing(root: Path, job: _Job) -> Iterator[tuple[int, dict[Path, Encoder], dict[Path, int]]]:
    """What is not there yet, by frame: (frame, files of the frame with their encoders, flow files with their offsets)."""
    layout: VideoLayout = _LAYOUTS[job.layout]
    for frame in range(job.num_frames):
        key = layout.key(job.split, job.index, frame, job.num_frames)
        files = {root / layout.folder / path: encode for path, encode in layout.files(job.split, key, frame).items()}
        flows = {flow_path(root / 'flow' / layout.folder / job.split, key, offset): offset
                 for offset in FLOW_OFFSETS if 0 <= frame + offset < job.num_frames}
        files = {path: encode for path, encode in files.items() if not path.is_file()}
        flows = {path: offset for path, offset in flows.items() if not path.is_file()}
        if files or flows:
            yield frame, files, flows


def _write_clip(job: _Job, root: Path, size: tuple[int, int], seed: int) -> None:
    clip = Clip(_LAYOUTS[job.layout].domain, job.index, job.split, seed, size, job.num_frames)
    for frame, files, flows in _missing(root, job):
        if files:
            item = clip.item(frame)
            for path, encode in files.items():
                write_atomic(path, encode(item))
        for path, offset in flows.items():
            write_flow(path, *clip.flow(frame, offset))
