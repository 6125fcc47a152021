# SPDX-License-Identifier: Apache-2.0
"""Unpacking a video file into frames for :class:`~udatools.datasets.VideoFramesDomain`, streamed: one frame in memory.

Frames that exist are not written again, so a killed run goes on where it was (the video is decoded again up to there, as
seeking by frame number cannot be trusted in compressed video). ``video.json`` says what the frames are of; it is written
last, so a folder without it, or with ``complete: false``, is unfinished.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udatools.datasets.taxonomies import read_json_object
from udatools.engine.runner.journal import WorkDirLock
from udatools.utils.atomic import write_bytes_atomic, write_json_atomic

ABOUT, STARTED = 'video.json', 'unpacking.json'
FORMATS = {'png': [cv2.IMWRITE_PNG_COMPRESSION, 3], 'jpg': [cv2.IMWRITE_JPEG_QUALITY, 95]}


@dataclass(frozen=True)
class VideoSettings:
    """How a video becomes frames.

    Attributes:
        every (int): Keep every n-th frame, from the first one. Default: 1.
        size (tuple[int, int] | None): Width and height to resize to, by area if smaller. Default: None, as it is.
        form (str): ``png``, or ``jpg`` (quality 95). Default: ``png``.
        cuts (tuple[int, ...]): First frames of further shots, ascending; each shot becomes a clip of its own. Default: ().

    Raises:
        ValueError: If a value makes no sense.
    """
    every: int = 1
    size: tuple[int, int] | None = None
    form: str = 'png'
    cuts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f'got every={self.every}; expected at least 1: every n-th frame is kept')
        if self.form not in FORMATS:
            raise ValueError(f'got the format {self.form!r}; expected one of {", ".join(FORMATS)}')
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f'got size={self.size}; expected width and height, both at least 1')
        if any(cut < 1 for cut in self.cuts) or any(one >= two for one, two in pairwise(self.cuts)):
            raise ValueError(f'got cuts={self.cuts}; expected numbers of frames from 1, ascending, each once')

    def name_of(self, number: int) -> str:
        """File of a frame, relative to the folder of its video."""
        shot = max((cut for cut in self.cuts if cut <= number), default=0)
        return (f'shot_{shot:06d}/' if self.cuts else '') + f'{number:06d}.{self.form}'


@dataclass
class VideoRecord:
    """What was found out about a video.

    Attributes:
        path (str): The file.
        size (tuple[int, int] | None): Width and height in pixels, None if no frame could be decoded.
        fps (float): Frames a second as the container says, 0 if it does not.
        declared (int): Frames as the container says, 0 if it does not; may be an estimate.
        decoded (int): Frames that could be decoded.
        kept (int): Frames that belong into the folder.
        problems (list[str]): Empty for a good video.
    """
    path: str
    size: tuple[int, int] | None = None
    fps: float = 0.0
    declared: int = 0
    decoded: int = 0
    kept: int = 0
    problems: list[str] = field(default_factory=list)


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist or is no file; give a video file')
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise ValueError(f'{path} is no video that OpenCV can decode ({path.stat().st_size} bytes); convert it, to MP4 with '
                             'H.264 for instance, or download it again')
        yield capture
    finally:
        capture.release()


def read_video(path: Path, settings: VideoSettings, wanted: Callable[[int], bool], write: Callable[[int, np.ndarray], None],
               progress: Callable[[int], None] = lambda number: None) -> VideoRecord:
    """Runs through a video.

    Args:
        path (Path): Video file.
        settings (VideoSettings): Which frames, and their size.
        wanted (Callable): Says of a frame number, from 0, whether its pixels are needed; only these are decoded in full.
        write (Callable): Takes frame number and frame, uint8 (H, W, 3), BGR.
        progress (Callable): Takes the frame number after every frame.

    Returns:
        VideoRecord: With the problems: a frame that cannot be decoded, or an end before the declared number of frames.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no video.
    """
    with _opened(path) as capture:
        record = VideoRecord(str(path), fps=round(float(capture.get(cv2.CAP_PROP_FPS)) or 0.0, 4),
                             declared=max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))))
        size = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        while capture.grab():
            number, record.decoded = record.decoded, record.decoded + 1
            if number % settings.every == 0:
                record.kept += 1
                if wanted(number):
                    good, frame = capture.retrieve()
                    if not good:
                        record.problems.append(f'frame {number} cannot be decoded')
                    else:
                        write(number, _resized(frame, settings.size))
            progress(record.decoded)
    if record.decoded:
        record.size = settings.size or size
    else:
        record.problems.append('no frame can be decoded')
    if 0 < record.decoded < record.declared:
        record.problems.append(f'it ends after {record.decoded} frames, the file says {record.declared}: it may be cut '
                               'off, and its last frame be damaged; or be damaged in between, where frames are passed over and '
                               'those after them get too low numbers')
    return record


def iterate_video(path: Path, wanted: Callable[[int], bool] = lambda number: True) -> Iterator[tuple[int, np.ndarray]]:
    """Frames of a video one after another, as somebody asks for them.

    Args:
        path (Path): Video file.
        wanted (Callable): As of :func:`read_video`.

    Yields:
        Frame number, from 0, and frame, uint8 (H, W, 3), BGR.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is no video, or a frame cannot be decoded.
    """
    with _opened(path) as capture:
        number = 0
        while capture.grab():
            if wanted(number):
                good, frame = capture.retrieve()
                if not good:
                    raise ValueError(f'frame {number} of {path} cannot be decoded; convert the video again, or unpack what can '
                                     'be read with tools/dataset_converters/video.py and give the folder')
                yield number, frame
            number += 1


def _resized(frame: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    if size is None or (frame.shape[1], frame.shape[0]) == size:
        return frame
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if size[0] < frame.shape[1] else cv2.INTER_LINEAR)


def check_video(path: Path, settings: VideoSettings, progress: Callable[[int], None] = lambda number: None) -> VideoRecord:
    """Decodes every frame that would be kept, and writes nothing; a bad video is a record with its problems."""
    try:
        return read_video(path, settings, lambda number: True, lambda number, frame: None, progress)
    except (OSError, ValueError) as error:
        return VideoRecord(str(path), problems=[str(error)])


def unpack_video(path: Path, folder: Path, settings: VideoSettings,
                 progress: Callable[[int], None] = lambda number: None) -> VideoRecord:
    """Writes the frames of a video as ``<folder>/<number:06d>.<format>``, numbers from 0 in the video's own counting.

    With cuts they are in ``<folder>/shot_<first frame:06d>``, a folder a shot.

    Args:
        path (Path): Video file.
        folder (Path): Where to; one folder a video. Frames that exist are kept.
        settings (VideoSettings): Which frames, and how.
        progress (Callable): Takes the number of frames decoded so far, after every frame.

    Returns:
        VideoRecord: With its problems. The frames of a video that is cut off are kept, and ``video.json`` says so.

    Raises:
        FileNotFoundError: If the video is missing.
        OSError: If a frame cannot be written.
        ValueError: If it is no video, or the folder holds something else.
        WorkDirInUseError: If another process writes to the folder.
    """
    with _opened(path):
        pass  # before a folder is made for it
    wanted = _identity(path, settings)
    with WorkDirLock(folder):
        for leftover in folder.rglob('.*.tmp'):  # of a killed process
            leftover.unlink()
        done = _begin(folder, wanted)
        if done is not None:
            return done

        def file(number: int) -> Path:
            return folder / settings.name_of(number)

        def write(number: int, frame: np.ndarray) -> None:
            encoded, data = cv2.imencode(f'.{settings.form}', frame, FORMATS[settings.form])
            if not encoded:
                raise ValueError(f'cannot encode frame {number} of {path} as {settings.form}; choose the other format')
            write_bytes_atomic(file(number), data.tobytes())

        record = read_video(path, settings, lambda number: not file(number).exists(), write, progress)
        write_json_atomic(folder / ABOUT, wanted | dict(complete=not record.problems) | asdict(record))
        (folder / STARTED).unlink(missing_ok=True)
    return record


def _identity(path: Path, settings: VideoSettings) -> dict[str, Any]:
    status = path.stat()
    cuts = dict(cuts=list(settings.cuts)) if settings.cuts else {}
    return dict(schema_version=1, source=path.name, source_bytes=status.st_size, source_mtime_ns=status.st_mtime_ns,
                every=settings.every, resized_to=None if settings.size is None else list(settings.size), format=settings.form,
                **cuts)


def _begin(folder: Path, wanted: dict[str, Any]) -> VideoRecord | None:
    """The record of a finished folder, None after noting what is to be unpacked; ValueError if it holds something else."""
    for name in (ABOUT, STARTED):
        if not (folder / name).exists():
            continue
        found = read_json_object(folder / name)
        changed = [f'{key} is {found.get(key)!r} there and {wanted.get(key)!r} now'
                   for key in sorted({*wanted, *(['cuts'] if 'cuts' in found else [])})
                   if found.get(key) != wanted.get(key)]
        if changed:
            raise ValueError(f'{folder} holds frames that were unpacked otherwise: {"; ".join(changed)}; choose another --out, '
                             'or remove the folder')
        if name == ABOUT and found['complete'] and _count(folder, wanted['format']) == found['kept']:
            size = tuple(found['size']) if found['size'] else None
            return VideoRecord(found['path'], size, found['fps'], found['declared'], found['decoded'], found['kept'])
    if not (folder / ABOUT).exists() and not (folder / STARTED).exists():
        if any(_count(folder, form) for form in FORMATS):
            raise ValueError(f'{folder} holds images, but no {ABOUT} that says which video they are of; choose another --out')
        write_json_atomic(folder / STARTED, wanted)
    return None


def _count(folder: Path, form: str) -> int:
    return sum(1 for _ in folder.rglob(f'[0-9]*.{form}'))
