# SPDX-License-Identifier: Apache-2.0
"""Reading images and label PNGs with errors that name the file.

OpenCV returns ``None`` for what it cannot read, and decodes the top of a *truncated* PNG or JPEG without complaint (the
rest is grey or black). Both would turn into silent training noise, so the end marker of the format is checked first.
Palette PNGs (GTA5 labels are) are turned into colours by OpenCV; :func:`read_png` gives their indices.
"""
from __future__ import annotations

import os
import struct
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

_PNG_MAGIC = b'\x89PNG\r\n\x1a\n'
_PALETTE = 3  # colour type in the IHDR chunk
_RGB = 2
_IHDR = struct.Struct('>8sI4sIIBB')  # magic, length and name of the chunk, width, height, bit depth, colour type
_IEND = b'IEND\xaeB`\x82'


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist; check data_root and that the data set is complete') from None
    if not data:
        raise ValueError(f'{path} is empty (0 bytes); download or extract it again')
    return data


def _corrupt(path: str | os.PathLike[str], what: str, size: int) -> ValueError:
    return ValueError(f'{path} is {what} ({size} bytes on disk); download, extract or generate this file again')


def _check_complete(path: str | os.PathLike[str], data: bytes) -> None:
    """Raises if a PNG or JPEG lacks its end marker; other formats pass."""
    if data.startswith(_PNG_MAGIC):
        position, found = len(_PNG_MAGIC), False
        while position + 12 <= len(data):
            length, kind = struct.unpack('>I4s', data[position:position + 8])
            if kind == b'IEND':
                found = True
                break
            position += 12 + length
        if not found:
            raise _corrupt(path, 'a truncated PNG', len(data))
    elif data.startswith(b'\xff\xd8'):
        # An end-of-image marker must follow the last start of scan: cameras append data after the end, and embed
        # thumbnails with an end of their own before the picture. Scan data never contains the marker bytes.
        if data.rfind(b'\xff\xd9') < data.rfind(b'\xff\xda'):
            raise _corrupt(path, 'a truncated JPEG', len(data))


def _decode(path: str | os.PathLike[str], data: bytes, flag: int) -> np.ndarray:
    _check_complete(path, data)
    array = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flag)
    if array is None:
        raise _corrupt(path, 'not an image that OpenCV can read', len(data))
    return array


def read_png(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a PNG as it is stored: dtype, channels and (for palette files) indices untouched.

    Args:
        path (str | PathLike): A PNG file.

    Returns:
        np.ndarray: uint8 or uint16, (H, W) or (H, W, 3 | 4) in OpenCV's BGR(A) channel order.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is empty, truncated or no image; the message names the file.
    """
    data = _read_bytes(path)
    if data.startswith(_PNG_MAGIC) and len(data) > 25 and data[25] == _PALETTE:
        _check_complete(path, data)
        try:
            return np.array(Image.open(BytesIO(data)), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise _corrupt(path, f'a corrupt palette PNG ({error})', len(data)) from error
    return _decode(path, data, cv2.IMREAD_UNCHANGED)


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a colour image, EXIF orientation ignored so that sizes agree with the label file.

    Args:
        path (str | PathLike): PNG, JPEG or anything OpenCV reads.

    Returns:
        np.ndarray: uint8, (H, W, 3), BGR, 0..255.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is empty, truncated or no image; the message names the file.
    """
    return _decode(path, _read_bytes(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def read_photo(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a colour image to be looked at: turned upright by its EXIF orientation, as mmseg's ``LoadImageFromFile`` does.

    For pictures without a label alone: :func:`read_image` has the pixels that a label file belongs to. Arguments, result and
    errors are those of that one, but H and W are of the upright picture.
    """
    return _decode(path, _read_bytes(path), cv2.IMREAD_COLOR)


def image_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(H, W) of an image from its header; the pixels are not decoded.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If its header is no image's; the message names the file.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist; check that the data set is complete') from None
    except OSError as error:
        raise ValueError(f'{path} is no readable image ({error}); download, extract or generate this file again') from error


def is_whole_png(path: str | os.PathLike[str], shape: tuple[int, int], *, depth: int) -> bool:
    """Whether a PNG of three colours with its end lies there; its pixels are not decoded.

    Args:
        path (str | PathLike): File.
        shape (tuple[int, int]): (H, W) that it should have.
        depth (int): Bits of a channel, 8 or 16.
    """
    try:
        with open(path, 'rb') as stream:
            head = stream.read(_IHDR.size)
            if len(head) < _IHDR.size:
                return False
            stream.seek(-len(_IEND), os.SEEK_END)
            tail = stream.read()
    except FileNotFoundError:
        return False
    _, _, kind, width, height, bits, colour = _IHDR.unpack(head)
    return kind == b'IHDR' and (height, width, bits, colour) == (*shape, depth, _RGB) and tail == _IEND
