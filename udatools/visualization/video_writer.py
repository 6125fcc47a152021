# SPDX-License-Identifier: Apache-2.0
"""MP4 files that are there whole or not at all."""
import math
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt

from udatools.utils.atomic import atomic_path

CODEC = 'mp4v'  # MPEG-4 part 2: what the OpenCV of every platform can write
_FOURCC = cv2.VideoWriter.fourcc(*CODEC)
_PROBE = (64, 48)  # width and height of a video that any encoder takes


class VideoWriter:
    """Writes frames to a temporary file that gets its name when the last one is in it.

    MPEG-4 counts time in at most 65535 ticks a second, so that some rates do not fit (239.6831 = 2396831 / 10000). Such a one is
    rounded to two decimals, or to a whole number: the attribute ``fps`` is what is written. Entering the context tries that,
    before any frame is made.

    Args:
        path (Path): the file, ``*.mp4``.
        fps (float): frames a second, > 0.

    Raises:
        ValueError: for another suffix or rate, frames of several sizes, no frame at all, or an OpenCV that cannot write MP4.
        OSError: if the file cannot be written, or comes out with fewer frames than were given: the disk is full, for instance.
    """

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() != '.mp4' or not 0 < fps < math.inf:
            raise ValueError(f'got {path} with {fps} frames a second; expected a name that ends with .mp4, and more than 0')
        self.path, self.fps, self.count = path, fps, 0
        self._size: tuple[int, int] | None = None
        self._writer: cv2.VideoWriter | None = None
        self._stack = ExitStack()

    def __enter__(self) -> 'VideoWriter':
        with ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_path(self.path))
            for fps in dict.fromkeys((self.fps, round(self.fps, 2), float(round(self.fps)))):
                probe = self._open(fps, _PROBE) if fps > 0 else None
                if probe is not None:
                    probe.release()
                    self.fps = fps
                    break
            else:
                raise self._refusal(f'{self.fps:g} frames a second')
            self._stack = stack.pop_all()
        return self

    def _open(self, fps: float, size: tuple[int, int]) -> cv2.VideoWriter | None:
        writer = cv2.VideoWriter(str(self._temporary), _FOURCC, fps, size)
        return writer if writer.isOpened() else None

    def _refusal(self, what: str) -> ValueError:
        return ValueError(f'this OpenCV ({cv2.__version__}) cannot write {self.path} (MP4, {CODEC}, {what}); install the '
                          'opencv-python of requirements/runtime.txt, give a video of a common rate (up to 65535 frames a '
                          'second), or a folder of frames as input')

    def write(self, image: npt.NDArray[np.uint8]) -> None:
        """Appends a frame: uint8, (H, W, 3), RGB. The format wants even sides; an odd one repeats its last row or column."""
        image = np.pad(image, ((0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)), mode='edge')
        height, width = image.shape[:2]
        if self._writer is None:
            self._size = (width, height)
            self._writer = self._open(self.fps, self._size)
            if self._writer is None:
                raise self._refusal(f'{width}x{height} at {self.fps:g} frames a second')
        if (width, height) != self._size:
            raise ValueError(f'frame {self.count} is {width}x{height}, the ones before it are {self._size}; a video has one size')
        self._writer.write(np.ascontiguousarray(image[..., ::-1]))
        self.count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.release()
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._check()

    def _check(self) -> None:
        """OpenCV says nothing when it cannot write."""
        if self._writer is None:
            raise ValueError(f'there is no frame to write to {self.path}')
        capture = cv2.VideoCapture(str(self._temporary))
        written = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if written != self.count:
            raise OSError(f'cannot write {self.path}: {written} of {self.count} frames are in it; is the disk full? Free some '
                          'space and run again')
