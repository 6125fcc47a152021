# SPDX-License-Identifier: Apache-2.0
"""What ``tools/infer.py`` is given: images, a folder, a pattern or a video, as frames that are read one after another."""
import glob
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from udatools.datasets.domain_dataset import IMAGE_SUFFIXES
from udatools.datasets.image_folder import ImageFolderDomain
from udatools.datasets.preparation.video import VideoSettings, iterate_video, read_video
from udatools.datasets.video_frames import VIDEO_SUFFIXES
from udatools.utils.png import read_photo
from udatools.utils.progress import Progress

UNKNOWN_FPS = 25.0  # of a video whose container does not say it


class Frame(NamedTuple):
    """One picture of an input.

    Attributes:
        name (str): its file below the input, without suffix, or its number in the video; POSIX.
        image (np.ndarray): uint8, (H, W, 3), BGR.
    """
    name: str
    image: np.ndarray


class FrameInput(ABC):
    """Frames in their order; each pass reads them anew, and holds none.

    Attributes:
        path (Path): where they come from, absolute.
        names (Sequence[str]): of all frames.
        fps (float | None): frames a second of a video; None of images.
        problems (list[str]): what is wrong with the input, though it can be read.
    """
    path: Path
    names: Sequence[str]
    fps: float | None = None
    problems: list[str] = []

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Frame]:
        """The frames whose names are wanted; a name is asked about once, when its turn comes.

        Raises:
            FileNotFoundError, ValueError: for a frame that is gone, or cannot be decoded; the message names it.
        """

    @abstractmethod
    def modified(self, name: str) -> int:
        """When the file of a frame was last changed, in nanoseconds."""


class ImageInput(FrameInput):
    """Image files, turned upright by their EXIF orientation, in the order of the numbers in their names: ``2`` before ``10``.

    Args:
        path (Path): folder that names are relative to.
        files (dict[str, Path]): file of each name.
    """

    def __init__(self, path: Path, files: dict[str, Path]) -> None:
        self.path = path.resolve()
        self._files = files
        self.names = sorted(files, key=_natural)

    def read(self, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Frame]:
        """See the base class."""
        for name in self.names:
            if wanted(name):
                yield Frame(name, read_photo(self._files[name]))

    def modified(self, name: str) -> int:
        """See the base class."""
        return self._files[name].stat().st_mtime_ns


class VideoInput(FrameInput):
    """A video file; named by the numbers that ``tools/dataset_converters/video.py`` gives its frames.

    It is run through once to count its frames, which containers only estimate: so a damaged file is found at the start, and
    the time left can be told.

    Args:
        path (Path): the file.

    Raises:
        ValueError: if it is no video, or has no frame.
    """

    def __init__(self, path: Path) -> None:
        with Progress('count', None, 'frames') as progress:
            record = read_video(path, VideoSettings(), lambda number: False, lambda number, frame: None, progress.update)
        if not record.decoded:
            raise ValueError(f'{path} is a video without a frame that can be decoded; convert it, or download it again')
        self.path = path.resolve()
        self.names = _Numbers(record.decoded)
        self.fps = record.fps or UNKNOWN_FPS
        self.problems = [f'{path}: {problem}' for problem in record.problems]

    def read(self, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Frame]:
        """See the base class."""
        for number, image in iterate_video(self.path, lambda number: number < len(self) and wanted(self.names[number])):
            yield Frame(self.names[number], image)

    def modified(self, name: str) -> int:
        """See the base class."""
        return self.path.stat().st_mtime_ns


class _Numbers(Sequence[str]):
    """``000000``, ``000001``, ... without a list of them."""

    def __init__(self, count: int) -> None:
        self._numbers = range(count)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index):
        return f'{self._numbers[index]:06d}'


def open_input(paths: Sequence[str | os.PathLike[str]], *, out: Path | None = None) -> FrameInput:
    """The frames that the command line names.

    Args:
        paths (Sequence[str | PathLike]): a folder (all images below it), a video file, a pattern such as ``drive/*.png`` that
            fits images or one video; or one or more image files.
        out (Path, optional): where pictures of them will be written. What lies there fits no pattern.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if something else than images is among several files, two images have one name, there is none, or ``out``
            lies inside the input folder.
    """
    if len(paths) == 1:
        text, path = str(paths[0]), Path(paths[0])
        if path.is_dir():
            if out is not None and out.resolve().is_relative_to(path.resolve()):
                raise ValueError(f'the output {out} lies inside the input {path}: its pictures would be input of the next run; '
                                 'choose another --out')
            folder = ImageFolderDomain(path, pipeline=[])
            return ImageInput(path, {key: Path(folder.image_path(key)) for key in folder.keys})
        if not path.is_file() and glob.has_magic(text):
            return _fitting(text, out)
        if path.suffix.lower() in VIDEO_SUFFIXES:
            return VideoInput(path)
    return _image_files([Path(path) for path in paths])


def _fitting(pattern: str, out: Path | None) -> FrameInput:
    found = [Path(name) for name in glob.glob(pattern, recursive=True)]
    if out is not None:
        found = [path for path in found if not path.resolve().is_relative_to(out.resolve())]
    images = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES]
    videos = sorted(path for path in found if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    if images:
        return _image_files(images)
    if len(videos) > 1:
        raise ValueError(f'{pattern} fits {len(videos)} videos, such as {videos[0]} and {videos[1]}; a video is an input of its '
                         'own: give one after another, each with an --out of its own')
    if not videos:
        raise FileNotFoundError(f'{pattern} fits no image ({", ".join(IMAGE_SUFFIXES)}) and no video; give a pattern such as '
                                "'drive/*.png', a folder, an image or a video")
    return VideoInput(videos[0])


def _image_files(paths: Sequence[Path]) -> ImageInput:
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist; give an image, a folder, a pattern or a video')
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise ValueError(f'{path} is not one of {", ".join(IMAGE_SUFFIXES)}, and a video ({", ".join(VIDEO_SUFFIXES)}) is an '
                             'input of its own; give one video, or images only')
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    files: dict[str, Path] = {}
    for path in paths:
        name = path.absolute().relative_to(root).with_suffix('').as_posix()
        if files.setdefault(name, path) != path:
            raise ValueError(f'{files[name]} and {path} would share the name {name!r}; give one of them, or rename it')
    return ImageInput(root, files)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts digits as numbers; of equal numbers the text decides."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r'(\d+)', name)]
