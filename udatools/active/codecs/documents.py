# SPDX-License-Identifier: Apache-2.0
"""Files of annotation tools, read without trust and written whole: JSON, XML, archives, small PNGs, images beside them."""
import base64
import binascii
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

import cv2
import numpy as np

from udatools.utils.atomic import write_bytes_atomic

from ..request import RequestItem
from .base import ImageOf

_MAX_MEMBER_BYTES = 1 << 30


def read_json(path: Path) -> Any:
    """A JSON document.

    Raises:
        ValueError: if it is none.
        OSError: if it cannot be opened.
    """
    try:
        return json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is no JSON ({type(error).__name__}: {error}); it is damaged or half-written: export '
                         'it again') from error


def parse_xml(data: bytes, source: str) -> ElementTree.Element:
    """The root element of an XML document; declarations of types or entities are refused.

    Entities can stand for gigabytes or for other files, and no annotation tool writes any.

    Raises:
        ValueError: if it is no XML, or has such declarations.
    """
    builder, parser = ElementTree.TreeBuilder(), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError(f'{source} declares a document type or entities, which no annotation tool does; it was not '
                         'read')

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: builder.start(name, attributes) and None
    parser.EndElementHandler = lambda name: builder.end(name) and None
    parser.CharacterDataHandler = lambda text: builder.data(text)
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(f'{source} is no XML ({error}); it is damaged or half-written: export it again') from error


def archive_member(path: Path, name: str) -> bytes | None:
    """Content of the one file called ``name`` in a zip archive; None if ``path`` is no archive or has no such file.

    Raises:
        ValueError: if the archive is damaged, or the file is there twice or beyond 1 GiB.
    """
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            found = [info for info in archive.infolist() if PurePosixPath(info.filename).name == name]
            if not found:
                return None
            if len(found) > 1 or found[0].file_size > _MAX_MEMBER_BYTES:
                raise ValueError(f'{path} holds {name} {len(found)} times, of {found[0].file_size} bytes; expected one '
                                 'of at most 1 GiB: unpack it and give the file itself')
            with archive.open(found[0]) as stream:
                return stream.read(_MAX_MEMBER_BYTES)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f'{path} is a damaged or encrypted archive ({error}); export it again') from error


def decode_png(data: bytes, sizes: set[tuple[int, int]]) -> np.ndarray:
    """A PNG of one channel and 8 bits.

    Args:
        data (bytes): the file.
        sizes (set): (height, width) that it may have; looked at before anything is unpacked.

    Returns:
        np.ndarray: uint8, (H, W).

    Raises:
        ValueError: if it is no such PNG.
    """
    if len(data) < 33 or data[:8] != b'\x89PNG\r\n\x1a\n' or data[12:16] != b'IHDR':
        raise ValueError('it is no PNG')
    width, height = struct.unpack('>II', data[16:24])
    if (height, width) not in sizes:
        wanted = ' or '.join(f'{w}x{h}' for h, w in sorted(sizes))
        raise ValueError(f'it is {width}x{height}; expected {wanted} (width x height)')
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint8 or image.ndim != 2:
        raise ValueError('it is damaged' if image is None else
                         f'it is {image.dtype} of shape {image.shape}; expected 8 bits and one channel')
    return image


def decode_base64(text: Any) -> bytes:
    """Bytes of a base64 text.

    Raises:
        ValueError: if it is none.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, binascii.Error, ValueError) as error:
        raise ValueError(f'it is no base64 text ({error})') from error


def write_json(path: Path, value: Any) -> Path:
    """Write a JSON document without spaces between the many numbers of masks."""
    write_bytes_atomic(path, (json.dumps(value, ensure_ascii=False, separators=(',', ': ')) + '\n').encode('utf-8'))
    return path


def write_xml(path: Path, root: ElementTree.Element) -> Path:
    """Write an XML document, indented."""
    ElementTree.indent(root)
    write_bytes_atomic(path, ElementTree.tostring(root, encoding='utf-8', xml_declaration=True) + b'\n')
    return path


def inside(folder: str | Path, relative: str) -> Path:
    """``folder / relative``, refused if it leaves the folder.

    Raises:
        ValueError: if it would.
    """
    parts = PurePosixPath(relative).parts
    if not parts or '..' in parts or parts[0].startswith('/') or '\0' in relative:
        raise ValueError(f'{relative!r} leads out of {folder}; nothing is written there. Keys of images are relative '
                         'paths below their root')
    return Path(folder, *parts)


def place_image(item: RequestItem, images: ImageOf, folder: str | Path) -> Path | None:
    """Put the image of an item at ``folder / item.path``: a hard link, or a copy where that is not possible.

    Returns:
        Path | None: the file, None if there is no image at hand.
    """
    source = images(item)
    if source is None:
        return None
    destination = inside(folder, item.path)
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), destination)
    except OSError:
        shutil.copyfile(source, destination)
    return destination
