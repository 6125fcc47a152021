# SPDX-License-Identifier: Apache-2.0
"""Interface of codecs: between a request and the files of one annotation tool, in both directions."""
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ..request import Answer, Request, RequestItem
from ..submission import Submission

#: Gives the image file of an item, None where there is none at hand.
ImageOf = Callable[[RequestItem], Path | None]


class Sample:
    """A file or folder whose format is to be recognised; read at most once, whoever asks.

    Args:
        path (Path): it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def head(self) -> bytes:
        """The first 4096 bytes; empty for a folder."""
        if not self.path.is_file():
            return b''
        with open(self.path, 'rb') as stream:
            return stream.read(4096)

    @cached_property
    def document(self) -> Any:
        """The parsed JSON, None if it is none."""
        start = self.head.removeprefix(b'\xef\xbb\xbf').lstrip()[:1]
        if start not in (b'{', b'['):
            return None
        try:
            return json.loads(self.path.read_text(encoding='utf-8-sig'))
        except (ValueError, RecursionError):
            return None


class Codec(ABC):
    """Reads and writes the files of one annotation tool.

    Attributes:
        name (str): name of the format on the command line.
        title (str): the tool and format, for people.
        filename (str): name of the file that :meth:`export` and :meth:`write` make, ``''`` if they make several.
        about_images (bool): whether it holds answers to questions about whole images, and to no others.
    """

    name: str
    title: str
    filename: str = ''
    about_images: bool = False

    @abstractmethod
    def recognises(self, sample: Sample) -> bool:
        """Whether a file or folder looks like one of this format; never raises for a file that is not."""

    @abstractmethod
    def read(self, path: str | Path, request: Request) -> Submission:
        """Read what people answered.

        Args:
            path (str | Path): a file as the tool writes it, or a folder that :meth:`write` made.
            request (Request): the request that was asked.

        Returns:
            Submission: answers to asked pixels; everything else in its ``problems``.

        Raises:
            ValueError: if the file as a whole cannot be read as this format.
            OSError: if it cannot be opened.
        """

    def export(self, request: Request, out_dir: str | Path, images: ImageOf) -> list[Path]:
        """Write what a person opens in the tool: everything that is asked, labelled ``?``, and the classes.

        Args:
            request (Request): the request.
            out_dir (str | Path): folder; made if missing.
            images (Callable): image file of an item or None; files are linked or copied into ``out_dir``.

        Returns:
            list[Path]: files written, the one to open in the tool first.

        Raises:
            ValueError: if the format cannot be exported.
        """
        raise ValueError(f'format {self.name!r} ({self.title}) can be imported, not exported')

    def write(self, request: Request, answers: Sequence[Answer], out_dir: str | Path) -> list[Path]:
        """Write answers as the tool would after a person gave them.

        Args:
            request (Request): the request.
            answers (Sequence[Answer]): what was answered; asked pixels without an answer are written as ``?``.
            out_dir (str | Path): folder; made if missing. ``read(out_dir, request)`` gives the same answer maps.

        Returns:
            list[Path]: files written, the one to import first.

        Raises:
            ValueError: if the answers do not fit the request, or the format cannot hold them.
        """
        raise ValueError(f'format {self.name!r} ({self.title}) can be imported, not written')
