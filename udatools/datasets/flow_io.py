# SPDX-License-Identifier: Apache-2.0
"""Optical flow on disk: KITTI PNG, Middlebury ``.flo``, NumPy ``.npz``, chosen by the suffix.

A flow is a float32 array (2, H, W) in pixels of its own resolution: ``flow[0]`` to the right, ``flow[1]`` down; pixel (x, y) of
one frame lies at (x + flow[0], y + flow[1]) in the other. With it goes a mask, bool (H, W): where the flow is known. Unknown
pixels read as 0. A set of flows lies in ``<root>/<offset:+d>/<key><suffix>``: from the frame ``key`` to the one at ``offset``.

- ``.png``, KITTI: uint16 RGB, R = 64 u + 2^15, G = 64 v + 2^15, B = known; 1/64 pixel, -512 to 511.98.
- ``.flo``, Middlebury: ``PIEH``, int32 width and height, float32 u, v interleaved; beyond 1e9 = unknown.
- ``.npz``: ``flow`` (2, H, W) float16 or float32, ``valid`` (H, W) bool; compressed, at the precision of its dtype.
"""
from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from udatools.utils.atomic import write_bytes_atomic, write_png_atomic
from udatools.utils.png import read_png

SUFFIXES = ('.png', '.flo', '.npz')
_KITTI_SCALE, _KITTI_ZERO = 64.0, 2.0**15
_FLO_MAGIC, _FLO_UNKNOWN, _FLO_FILL = b'PIEH', 1e9, 1e10
_TAIL = 512  # bytes; the directory of a .npz takes 250
_REMEDY = 'delete it and compute it again with tools/compute_flow.py'


def flow_path(root: str | os.PathLike[str], key: str, offset: int, suffix: str = '.png') -> Path:
    """Returns where a precomputed set keeps the flow from the frame ``key`` to the frame at ``offset``.

    Args:
        root (str | PathLike): Folder of the set.
        key (str): Key of the frame that the flow starts from.
        offset (int): In frame numbers of the clip, not 0.
        suffix (str): One of ``SUFFIXES``. Default: ``.png``.

    Raises:
        ValueError: For the offset 0 or another suffix.

    Example:
        >>> flow_path('flow', 'clip1/0007', -1).as_posix()
        'flow/-1/clip1/0007.png'
    """
    if offset == 0:
        raise ValueError(f'asked for the flow of {key!r} to itself (offset 0), which is zero and never stored; expected another '
                         'offset')
    if suffix not in SUFFIXES:
        raise ValueError(f'flow suffix is {suffix!r}; expected one of {", ".join(SUFFIXES)}')
    return Path(root) / f'{offset:+d}' / f'{key}{suffix}'


def missing_files(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Those of many files that do not exist, in the order given; a folder is listed once, and no file is opened."""
    listed: dict[str, set[str]] = {}
    missing = []
    for path in map(os.fspath, paths):
        folder, name = os.path.split(path)
        if folder not in listed:
            try:
                listed[folder] = set(os.listdir(folder))
            except (FileNotFoundError, NotADirectoryError):
                listed[folder] = set()
        if name not in listed[folder]:
            missing.append(path)
    return missing


def quick_checksum(path: str | os.PathLike[str]) -> bytes:
    """Tells the content of flow files apart without decoding them: SHA-256 of the size and the last bytes.

    There ``.png`` and ``.npz`` hold checksums of all their pixels; of a ``.flo`` it is the last pixels that count.
    """
    with open(path, 'rb') as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(-min(size, _TAIL), os.SEEK_END)
        return hashlib.sha256(f'{size}\0'.encode() + stream.read()).digest()


def read_flow(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Reads a flow file.

    Args:
        path (str | PathLike): A ``.png``, ``.flo`` or ``.npz`` file.

    Returns:
        tuple[np.ndarray, np.ndarray]: Flow, float32, (2, H, W), pixels, 0 where unknown; mask, bool, (H, W), True where known.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the suffix is another one, or the file is truncated or no flow; the message names the file.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f'{path} has the suffix {suffix!r}; expected one of {", ".join(SUFFIXES)}')
    if not os.path.exists(path):
        raise FileNotFoundError(f'{path} does not exist; compute the flow of this frame with tools/compute_flow.py')
    flow, valid = {'.png': _read_kitti, '.flo': _read_flo, '.npz': _read_npz}[suffix](Path(path))
    valid = valid & np.isfinite(flow).all(0)
    return np.where(valid, flow, np.float32(0)).astype(np.float32, copy=False), valid


def write_flow(path: str | os.PathLike[str], flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Writes a flow file atomically, in the format of its suffix.

    What the format cannot hold is stored as unknown: values that are not finite, and in a ``.png`` those beyond +-512 pixels.

    Args:
        path (str | PathLike): Destination, ``.png``, ``.flo`` or ``.npz``; folders are made.
        flow (np.ndarray): float, (2, H, W), pixels. A float16 array stays float16 in an ``.npz``.
        valid (np.ndarray, optional): bool, (H, W); everywhere by default.

    Raises:
        ValueError: If a shape or the suffix is wrong.
        OSError: As :func:`udatools.utils.atomic.write_bytes_atomic`.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f'{path} has the suffix {path.suffix!r}; expected one of {", ".join(SUFFIXES)}')
    if flow.ndim != 3 or flow.shape[0] != 2 or 0 in flow.shape or (valid is not None and valid.shape != flow.shape[1:]):
        raise ValueError(f'cannot write {path}: got a flow of shape {flow.shape} and a mask of shape '
                         f'{None if valid is None else valid.shape}; expected (2, H, W) and (H, W)')
    known = np.isfinite(flow).all(0)
    if valid is not None:
        known &= valid.astype(bool)
    {'.png': _write_kitti, '.flo': _write_flo, '.npz': _write_npz}[path.suffix.lower()](path, flow, known)


def _corrupt(path: Path, what: str) -> ValueError:
    return ValueError(f'{path} {what}; {_REMEDY}')


def _read_kitti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        stored = read_png(path)
    except ValueError as error:
        raise _corrupt(path, f'is no readable flow ({error})') from error
    if stored.ndim != 3 or stored.shape[2] != 3 or stored.dtype != np.uint16:
        raise _corrupt(path, f'has shape {stored.shape} and dtype {stored.dtype}; a KITTI flow is uint16 with 3 channels')
    blue, green, red = stored.transpose(2, 0, 1)
    flow = (np.stack([red, green]).astype(np.float32) - np.float32(_KITTI_ZERO)) / np.float32(_KITTI_SCALE)
    return flow, blue > 0


def _write_kitti(path: Path, flow: np.ndarray, known: np.ndarray) -> None:
    coded = np.rint(np.where(known, flow, 0).astype(np.float64) * _KITTI_SCALE + _KITTI_ZERO)
    known = known & ((coded >= 0) & (coded <= 65535)).all(0)
    red, green = np.where(known, coded, 0)
    write_png_atomic(path, np.stack([known, green, red], -1).astype(np.uint16))


def _read_flo(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data = path.read_bytes()
    if len(data) < 12 or data[:4] != _FLO_MAGIC:
        raise _corrupt(path, f'is no Middlebury flow ({len(data)} bytes, starts with {data[:4]!r} instead of {_FLO_MAGIC!r})')
    width, height = struct.unpack('<ii', data[4:12])
    if width < 1 or height < 1 or len(data) != 12 + 8 * width * height:
        raise _corrupt(path, f'has {len(data)} bytes; {width}x{height} pixels (width x height) need {12 + 8 * width * height}')
    flow = np.frombuffer(data, '<f4', offset=12).reshape(height, width, 2).transpose(2, 0, 1)
    return flow, (np.abs(flow) <= _FLO_UNKNOWN).all(0)


def _write_flo(path: Path, flow: np.ndarray, known: np.ndarray) -> None:
    height, width = known.shape
    body = np.where(known, flow, _FLO_FILL).astype('<f4').transpose(1, 2, 0)
    write_bytes_atomic(path, _FLO_MAGIC + struct.pack('<ii', width, height) + body.tobytes())


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            flow = stored['flow'].astype(np.float32)
            valid = stored['valid'].astype(bool) if 'valid' in stored else np.ones(flow.shape[1:], bool)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise _corrupt(path, f'is no readable flow ({error})') from error
    if flow.ndim != 3 or flow.shape[0] != 2 or valid.shape != flow.shape[1:]:
        raise _corrupt(path, f'holds a flow of shape {flow.shape} and a mask of shape {valid.shape}; expected (2, H, W) and '
                             '(H, W)')
    return flow, valid


def _write_npz(path: Path, flow: np.ndarray, known: np.ndarray) -> None:
    dtype = np.float16 if flow.dtype == np.float16 else np.float32
    buffer = io.BytesIO()
    np.savez_compressed(buffer, flow=np.where(known, flow, 0).astype(dtype), valid=known)
    write_bytes_atomic(path, buffer.getvalue())
