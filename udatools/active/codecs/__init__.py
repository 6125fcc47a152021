# SPDX-License-Identifier: Apache-2.0
"""Codecs: requests out to annotation tools, answers back from them. ``CODECS`` has one a format."""
from pathlib import Path

from .base import Codec, ImageOf, Sample
from .canonical import CanonicalCodec
from .coco_rle import COCORLECodec
from .cvat import CVATCodec
from .labelme import LabelmeCodec
from .labelstudio import LabelStudioCodec
from .page import PageCodec

_ALL: tuple[Codec, ...] = (CanonicalCodec(), CVATCodec(), LabelStudioCodec(), LabelmeCodec(), COCORLECodec(),
                          PageCodec())
#: Every format by its name.
CODECS: dict[str, Codec] = {codec.name: codec for codec in _ALL}

__all__ = ['CODECS', 'Codec', 'ImageOf', 'Sample', 'detect']


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
