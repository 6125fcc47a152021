# SPDX-License-Identifier: Apache-2.0
"""Atomic file writes: a reader sees the old file or the whole new one, never a part.

Bytes go to a temporary file *in the same folder* (so that the rename stays on one file system), are fsynced, and
replace the destination with one ``os.replace``; then the folder entry is fsynced too where the system allows it. On
any failure the temporary file is removed, the destination keeps its old content, and the error names the file and
what to do.
"""
from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import numpy as np

_REMEDIES = {
    errno.ENOSPC: 'the disk is full: free some space or choose another work directory (--work-dir), then --resume',
    errno.EDQUOT: 'the disk quota is used up: free some space or choose another work directory (--work-dir), '
                  'then --resume',
    errno.EFBIG: 'the file would exceed the size limit of the process or file system (ulimit -f): raise it, then '
                 '--resume',
    errno.EROFS: 'the file system is read-only: choose a writable work directory (--work-dir)',
    errno.EACCES: 'permission denied: make the folder writable or choose another work directory (--work-dir)',
    errno.EPERM: 'permission denied: make the folder writable or choose another work directory (--work-dir)',
    errno.ENOTDIR: 'a part of the path is a file, not a folder: move that file away or choose another work directory',
    errno.EEXIST: 'a part of the path is a file, not a folder: move that file away or choose another work directory',
    errno.EISDIR: 'the path is a folder: move it away',
}


def explain_write(path: Path, error: OSError) -> OSError:
    """An error of the same kind (same errno, so the same subclass) whose message names file and remedy."""
    remedy = _REMEDIES.get(error.errno or 0, 'check the disk and the permissions of the folder, then run again')
    message = f'cannot write {path}: {error.strerror or error}; {remedy}. The previous content, if any, is untouched'
    return OSError(error.errno or errno.EIO, message)


def _fsync_folder(folder: Path) -> None:
    """Flushes a folder entry; not every system can open a folder, so failing to is no error."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_bytes_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes ``data`` to ``path`` so that a crash at any moment leaves the old file or the new one.

    Missing parent folders are made. The temporary name starts with ``.`` and ends with ``.tmp``.

    Args:
        path (str | PathLike): Destination file.
        data (bytes): The whole content.

    Raises:
        OSError: If the file cannot be written (read-only, full disk, no permission); ``errno`` is kept, the message
            names the file and the remedy, and no partial file stays behind.
    """
    path = Path(path)
    temporary = path.parent / f'.{path.name[:80]}.{os.getpid()}.{uuid4().hex[:8]}.tmp'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass
        if isinstance(error, OSError):
            raise explain_write(path, error) from error
        raise
    _fsync_folder(path.parent)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Writes ``text`` as UTF-8; see :func:`write_bytes_atomic`."""
    write_bytes_atomic(path, text.encode('utf-8'))


def write_json_atomic(path: str | os.PathLike[str], value: Any, indent: int | None = 2) -> None:
    """Writes ``value`` as JSON with a final newline; see :func:`write_bytes_atomic`.

    Raises:
        TypeError, ValueError: If ``value`` is no JSON; nothing is written then.
        OSError: As :func:`write_bytes_atomic`.
    """
    write_bytes_atomic(path, (json.dumps(value, indent=indent, ensure_ascii=False) + '\n').encode('utf-8'))


def write_png_atomic(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Writes an array as PNG, losslessly; see :func:`write_bytes_atomic`.

    Args:
        path (str | PathLike): Destination file; any name, the content is always PNG.
        array (np.ndarray): uint8 or uint16, (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, H and W at least 1.

    Raises:
        ValueError: If the dtype or shape is not one of those (a silent conversion would change labels).
        OSError: As :func:`write_bytes_atomic`.
    """
    if array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f'cannot write {path}: got dtype {array.dtype}, expected uint8 or uint16; convert explicitly')
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ValueError(f'cannot write {path}: got shape {array.shape}, expected (H, W), (H, W, 3) or (H, W, 4)')
    done, buffer = cv2.imencode('.png', np.ascontiguousarray(array), [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ValueError(f'cannot write {path}: OpenCV failed to encode shape {array.shape}, dtype {array.dtype}')
    write_bytes_atomic(path, buffer.tobytes())


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """For what is written by name and not as bytes, such as a video: gives a path beside ``path`` to write to.

    Left without an error, what was written there becomes ``path`` as in :func:`write_bytes_atomic`; otherwise it is removed. The
    temporary name starts with ``.`` and keeps the suffix, which may say the format.

    Raises:
        OSError: As :func:`write_bytes_atomic`, at the start where the folder cannot be written to.
    """
    path = Path(path)
    temporary = path.parent / f'.{path.stem[:80]}.{os.getpid()}.{uuid4().hex[:8]}.tmp{path.suffix}'
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
        except OSError as error:
            raise explain_write(path, error) from error
        yield temporary
        replace_atomic(temporary, path)
    except BaseException:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass
        raise


def replace_atomic(temporary: Path, path: Path) -> None:
    """Makes a finished file in the same folder ``path``, on the disk and in one step.

    Raises:
        OSError: As :func:`write_bytes_atomic`; ``temporary`` stays.
    """
    try:
        with open(temporary, 'rb+') as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise explain_write(path, error) from error
    _fsync_folder(path.parent)
