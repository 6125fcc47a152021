# SPDX-License-Identifier: Apache-2.0
"""Frames of any video as a domain: the usual target of somebody with a camera on the roof.

A video file is unpacked by ``tools/dataset_converters/video.py`` first; every n-th frame will do, names keep the number of
the frame in the video.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from udatools.datasets.image_folder import ImageFolderDomain
from udatools.registry import DATASETS

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.m4v', '.webm', '.mpg', '.mpeg', '.ts', '.wmv')
_NUMBER = re.compile(r'.*?(\d+)')


@DATASETS.register_module()
class VideoFramesDomain(ImageFolderDomain):
    """Every image under ``data_root``; a folder is a clip, the number at the end of a name is the frame.

    Args:
        data_root (str | PathLike): Folder of frames, or of folders of frames.
        **kwargs: As :class:`ImageFolderDomain`.

    Raises:
        ValueError: As :class:`ImageFolderDomain`; if ``data_root`` is a video file, a name ends without a number, or two
            images of a folder have the same number.
    """

    LAYOUT = """
<data_root>/<clip>/<any name><number>.(png|jpg|jpeg|bmp|tif|tiff|webp)   (folders nested as you like, or none)
<label_root>/<clip>/<same name>.png   (optional: train ids, 255 = ignore; or the raw ids of label_map)
"""

    def __init__(self, data_root: str | os.PathLike[str], **kwargs: Any) -> None:
        if str(data_root).lower().endswith(VIDEO_SUFFIXES) and not Path(data_root).is_dir():
            raise ValueError(f'VideoFramesDomain got the video file {data_root}; unpack it with\n'
                             f'  python tools/dataset_converters/video.py {data_root} --out FOLDER\n'
                             'and give FOLDER as data_root')
        super().__init__(data_root, **kwargs)

    def clip_of(self, key: str) -> tuple[str, int]:
        """Returns the folder, ``.`` for the root, and the frame: ``drive/shot_000012`` is frame 12 of ``drive``."""
        folder, _, name = key.rpartition('/')
        match = _NUMBER.fullmatch(name)
        if match is None:
            raise ValueError(f'VideoFramesDomain: the name of {key} does not end with a frame number; rename the frames, such '
                             'as 000012, or use ImageFolderDomain for images that are no video')
        return folder or '.', int(match.group(1))

    def labels_without_image(self, keys: Iterable[str]) -> list[Path]:
        """See the base class."""
        return self.labels_beside(keys)

    def load_data_list(self) -> list[dict]:
        """Lists the images, and checks that each has a number of its own."""
        items = super().load_data_list()
        seen: dict[tuple[str, int], str] = {}
        for info in items:
            first = seen.setdefault(self.clip_of(info['key']), info['key'])
            if first != info['key']:
                raise ValueError(f'VideoFramesDomain: {first} and {info["key"]} are the same frame of the same clip; the number '
                                 'at the end of a name must be that of the frame')
        return items
