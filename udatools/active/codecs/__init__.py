# SPDX-License-Identifier: Apache-2.0
"""Codecs: requests out to annotation tools, answers back from them. ``CODECS`` has one a format."""
from pathlib import Path

from ..image_questions import IMAGE_KINDS
from ..request import Request
from .base import Codec, ImageOf, Sample
from .canonical import CanonicalCodec
from .coco_rle import COCORLECodec
from .cvat import CVATCodec
from .image_tags import ImageTagsCodec
from .labelme import LabelmeCodec
from .labelstudio import LabelStudioCodec
from .page import PageCodec

_ALL: tuple[Codec, ...] = (CanonicalCodec(), CVATCodec(), LabelStudioCodec(), LabelmeCodec(), COCORLECodec(),
                          PageCodec(), ImageTagsCodec())
#: Every format by its name.
CODECS: dict[str, Codec] = {codec.name: codec for codec in _ALL}

__all__ = ['CODECS', 'Codec', 'ImageOf', 'Sample', 'check_kind', 'detect']


def check_kind(codec: Codec, request: Request) -> None:
    """Raise ValueError if a format cannot hold the answers to this kind of question."""
    if codec.about_images != (request.kind in IMAGE_KINDS):
        suited = [name for name, other in CODECS.items() if other.about_images != codec.about_images]
        raise ValueError(f'request {request.request_id[:12]} asks for {request.kind}, which format {codec.name!r} '
                         f'({codec.title}) cannot hold; use {" or ".join(suited)}')


def detect(path: str | Path) -> Codec:
    """The codec of a file or folder, by its content.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if no codec, or more than one, recognises it.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist; expected a file or folder with answers')
    sample = Sample(path)
    found = [codec for codec in CODECS.values() if codec.recognises(sample)]
    if len(found) == 1:
        return found[0]
    known = ', '.join(f'{codec.name} ({codec.title})' for codec in found or CODECS.values())
    if found:
        raise ValueError(f'{path} could be any of {known}; name the format')
    raise ValueError(f'{path} is in no known format; expected one of {known}. If it is one of them it is damaged: '
                     'export it again')
