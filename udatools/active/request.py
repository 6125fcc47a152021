# SPDX-License-Identifier: Apache-2.0
"""The request package: which pixels of which images are asked, on disk, the same for an oracle and for people.

``request.json`` is written last, so its presence means that the package is complete. ``request_id`` is the sha256 of
the content; it holds no time and no path of a machine, so the same selection gives the same id everywhere.
"""
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import cv2
import numpy as np

from udatools.ops.digests import json_digest
from udatools.ops.regions import components_of, members_of
from udatools.utils.atomic import write_bytes_atomic, write_json_atomic, write_png_atomic

SCHEMA_VERSION = 1
#: In an answer map: the annotator looked and found no class (billed like any answer).
VOID = 254
#: In an answer map: not asked, or asked and not answered.
NOT_ANSWERED = 255
#: Region ids are uint16; regions past this number share the last id.
MAX_REGION = 65535
COORDINATES = '0-based, x to the right, y down, native resolution of the image file'
_KEYBOARD = '1234567890qwertyuiopasdfghjklzxcvbnm'


@dataclass(frozen=True)
class RequestItem:
    """One image of a request.

    Attributes:
        key (str): identity of the image.
        path (str): image file relative to the image root of its split.
        sha1 (str): of the image file, ``''`` if it could not be read.
        height (int): native height.
        width (int): native width.
        candidates (int): pixels that the selector offered; 1 where the question is about the image.
        asked (int): pixels asked; of a question about the image, the classes that are looked for.
        components (int): regions asked: connected ones, or those of the selector; 1 where the question is about the image.
        mask (str | None): mask file relative to the package, None if nothing is asked.
        mask_sha256 (str): of the mask's uint16 pixels, ``''`` if nothing is asked.
    """
    key: str
    path: str
    sha1: str
    height: int
    width: int
    candidates: int
    asked: int
    components: int
    mask: str | None
    mask_sha256: str


@dataclass(frozen=True, eq=False)
class Answer:
    """What an annotator says about one image.

    Attributes:
        key (str): identity of the image.
        answer (np.ndarray): uint8, (H, W): train id, 254 = void answered, 255 = not answered.
        annotator (str): who.
        tool (str): with what.
        points (int): answered points (0 when segments were asked).
        clicks (int): clicks it took or would take.
        components (int): regions answered.
        seconds (float): time it took, or an estimate of it.
        answered_at (str): when the last of it was given, ISO 8601 in UTC; ``''`` where that is not known.
        tags (tuple[int, ...] | None): classes that are in the image, where that was asked; the map is empty then. None: not
            answered, or not asked.
    """
    key: str
    answer: np.ndarray
    annotator: str
    tool: str
    points: int = 0
    clicks: int = 0
    components: int = 0
    seconds: float = 0.0
    answered_at: str = ''
    tags: tuple[int, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is answered in it."""
        return self.tags is None and not (self.answer != NOT_ANSWERED).any()


def class_table(classes: Sequence[str], palette: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Rows (id, name, colour, keyboard key) of the classes an annotator may answer."""
    return [
        dict(id=i, name=name, colour=[int(v) for v in colour], key=_KEYBOARD[i] if i < len(_KEYBOARD) else '')
        for i, (name, colour) in enumerate(zip(classes, palette))
    ]


def number_regions(asked: np.ndarray, points: bool = False, units: np.ndarray | None = None) -> np.ndarray:
    """Give every asked region an id.

    Args:
        asked (np.ndarray): bool, (H, W).
        points (bool): every pixel is a region of its own, also next to another.
        units (np.ndarray | None): integer, (asked pixels,), in raster order: which pixels are one region, also next to
            another; None: 8-connected ones are.

    Returns:
        np.ndarray: uint16, (H, W); 0 = not asked; regions are 1, 2, ... in the order of their first pixel in raster
        order; those past 65535 share that id.
    """
    region = np.zeros(asked.shape, np.uint16)
    flat = np.flatnonzero(asked)
    if flat.size == 0:
        return region
    if points:
        number = np.arange(1, flat.size + 1)
    else:
        number = members_of(components_of(flat, (asked.shape[0], asked.shape[1])) if units is None else units)[0] + 1
    region.ravel()[flat] = np.minimum(number, MAX_REGION).astype(np.uint16)
    return region


def region_digest(region: np.ndarray) -> str:
    """sha256 (hex) of shape and pixels of a region mask."""
    return sha256(f'{region.shape}'.encode() + np.ascontiguousarray(region, '<u2').tobytes()).hexdigest()


class Request:
    """A complete request package.

    Args:
        root (Path): its folder.
        header (Mapping): content of ``request.json``.
        items (Sequence[RequestItem]): one an image.
    """

    def __init__(self, root: Path, header: Mapping[str, Any], items: Sequence[RequestItem]) -> None:
        self.root, self.header, self.items = root, dict(header), list(items)
        self._by_key = {item.key: item for item in items}

    @property
    def request_id(self) -> str:
        """sha256 of the content."""
        return str(self.header['request_id'])

    @property
    def round(self) -> int:
        """The round it belongs to, from 1."""
        return int(self.header['round'])

    @property
    def kind(self) -> str:
        """``'segments'``, ``'points'``, ``'regions'`` (one label a region); of whole images ``'tags'``, ``'class_points'``."""
        return str(self.header['kind'])

    @property
    def num_classes(self) -> int:
        """Number of classes that an answer may name."""
        return len(self.header['classes'])

    def __getitem__(self, key: str) -> RequestItem:
        return self._by_key[key]

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def asked_keys(self) -> list[str]:
        """Images with something asked, in the order of the package."""
        return [item.key for item in self.items if item.asked]

    def regions(self, key: str) -> np.ndarray:
        """Region ids of an image: uint16, (H, W), 0 = not asked; of tags 0 everywhere, no pixel answers them.

        Raises:
            ValueError: if the mask file is missing or is not the one the request was written with.
        """
        item = self._by_key[key]
        if item.mask is None:
            return np.zeros((item.height, item.width), np.uint16)
        region = cv2.imread(str(self.root / item.mask), cv2.IMREAD_UNCHANGED)
        if region is None or region.dtype != np.uint16 or region_digest(region) != item.mask_sha256:
            raise ValueError(f'{self.root / item.mask} is missing or damaged: it is not the mask that request '
                             f'{self.request_id[:12]} was written with; delete {self.root / "request.json"} and run '
                             'again to write the same request anew')
        return region

    @classmethod
    def load(cls, root: str | Path) -> 'Request | None':
        """Read a package; None if it is not complete.

        Raises:
            ValueError: if it is complete but its content does not give its ``request_id``.
        """
        root = Path(root)
        try:
            text = (root / 'request.json').read_text(encoding='utf-8')
        except FileNotFoundError:
            return None
        try:
            header = json.loads(text)
            # Names may hold characters that str.splitlines takes for ends of lines.
            lines = (root / 'items.jsonl').read_text(encoding='utf-8').split('\n')
            items = [RequestItem(**json.loads(line)) for line in lines if line]
            _check_paths(items)
            intact = header['request_id'] == _request_id(header, items)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f'{root} holds a damaged request ({type(error).__name__}: {error}); delete '
                             f'{root / "request.json"} and run again to write the same request anew') from error
        if not intact:
            raise ValueError(f'{root / "request.json"} was changed after it was written: its content does not give '
                             f'its request_id {header["request_id"]!r}; delete it and run again to write it anew')
        return cls(root, header, items)


def _check_paths(items: Sequence[RequestItem]) -> None:
    for item in items:
        for name in (item.key, item.path, *([] if item.mask is None else [item.mask])):
            if not name or any(path.is_absolute() or '..' in path.parts for path in (PurePosixPath(name), PureWindowsPath(name))):
                raise ValueError(f'{name!r} leads out of the package; expected a path below it')


def _request_id(header: Mapping[str, Any], items: Sequence[RequestItem]) -> str:
    content = {name: value for name, value in header.items() if name != 'request_id'}
    return json_digest(dict(header=content, items=[asdict(item) for item in items]))


def write_mask(root: Path, key: str, region: np.ndarray) -> str:
    """Write one mask atomically; returns its path relative to the package."""
    name = f'masks/{key}.png'
    write_png_atomic(root / name, region)
    return name


def withdraw_request(root: Path) -> None:
    """Mark a package as incomplete before its files are written again; its overlays show what was asked before."""
    (root / 'request.json').unlink(missing_ok=True)
    shutil.rmtree(root / 'overlays', ignore_errors=True)


def write_request(root: Path, header: Mapping[str, Any], items: Sequence[RequestItem]) -> Request:
    """Write ``items.jsonl``, then ``request.json``; the masks must be there.

    Args:
        root (Path): folder of the package.
        header (Mapping): fields of ``request.json`` without ``request_id``.
        items (Sequence[RequestItem]): one an image.
    """
    full = dict(schema_version=SCHEMA_VERSION, coordinates=COORDINATES, **header)
    full = dict(request_id=_request_id(full, items), **full)
    lines = ''.join(json.dumps(asdict(item), ensure_ascii=False) + '\n' for item in items)
    write_bytes_atomic(root / 'items.jsonl', lines.encode('utf-8'))
    write_json_atomic(root / 'request.json', full)
    return Request(root, full, items)
