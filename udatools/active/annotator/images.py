# SPDX-License-Identifier: Apache-2.0
"""The images of a request package: where they lie, that they are the ones asked about, and bytes that a browser shows alike.

A browser turns photos by their EXIF orientation, the networks do not; such files, and formats that browsers do not know,
are sent as PNG of the pixels as they are stored. All others are sent byte for byte, never scaled.
"""
import hashlib
from collections import OrderedDict
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from PIL import Image

from udatools.utils.png import read_image, read_png

from ..image_questions import IMAGE_KINDS
from ..request import NOT_ANSWERED, Request, RequestItem
from .events import Asked

_CACHE = 64
_ORIENTATION = 0x0112
_BROWSER_FORMATS = {'PNG': 'image/png', 'JPEG': 'image/jpeg', 'WEBP': 'image/webp'}


class ImagesNotFoundError(FileNotFoundError):
    """The images of a package are not where they were looked for."""


def run_image_root(config: str | Path) -> Path:
    """Image root of the target training set of a run, from the ``config.py`` in its work directory.

    Raises:
        ImagesNotFoundError: if the config names none.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from udatools.engine.runner.stages import resolve_references
    from udatools.registry import DATASETS
    try:
        target = resolve_references(Config.fromfile(config))['target_images']
        init_default_scope('mmseg')
        return Path(DATASETS.build(dict(target, lazy_init=True, pipeline=[])).image_root())
    except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise ImagesNotFoundError(f'{config} does not say where the target images are ({type(error).__name__}: {error}); give '
                                  'their folder with --images') from error


def find_image_root(request: Request, given: str | Path | None = None) -> Path:
    """Folder that the paths of a package are relative to.

    Args:
        request (Request): the package.
        given (str | Path | None): what ``--images`` says: that folder, or the ``config.py`` of a run. None looks for
            ``images/`` in the package, then for the config of the run that the package lies in.

    Raises:
        ImagesNotFoundError: if there is no such folder, or the first asked image is not in it.
    """
    tried: list[str] = []
    if given is not None:
        candidates = [run_image_root(given) if Path(given).is_file() else Path(given)]
    else:
        candidates = [request.root / 'images']
        config = request.root.resolve().parent.parent / 'config.py'
        if not candidates[0].is_dir() and config.is_file():
            try:
                candidates.append(run_image_root(config))
            except ImagesNotFoundError as error:
                tried.append(str(error))
    first = next((item for item in request.items if item.asked), None)
    for root in candidates:
        if root.is_dir() and (first is None or (root / first.path).is_file()):
            return root
        tried.append(f'{root} {"has no " + first.path if root.is_dir() and first else "does not exist"}')
    raise ImagesNotFoundError(f'the images of {request.root} were not found: {"; ".join(tried)}. Give the folder that the '
                              f'paths of the request are relative to: --images FOLDER (FOLDER/{first.path if first else "..."} '
                              f'must exist), or copy the images to {request.root / "images"}')


class PackageImages:
    """Pixels of a package, looked up by position; no path ever comes from outside.

    Args:
        request (Request): the package.
        root (Path): its image root.

    Raises:
        ValueError: if it asks about whole images.
    """

    def __init__(self, request: Request, root: Path) -> None:
        if request.kind in IMAGE_KINDS:
            raise ValueError(f'{request.root} asks for {request.kind}; the page asks about pixels only. Export it with '
                             '--format tags, fill the table and import it')
        self.request, self.root = request, root
        self._asked: OrderedDict[str, Asked] = OrderedDict()
        self._lock = Lock()

    def asked(self, key: str) -> Asked:
        """Asked pixels of an image; the last ones used are kept."""
        with self._lock:
            if key in self._asked:
                self._asked.move_to_end(key)
                return self._asked[key]
        found = Asked.of(self.request.regions(key))
        with self._lock:
            self._asked[key] = found
            while len(self._asked) > _CACHE:
                self._asked.popitem(last=False)
        return found

    def path(self, item: RequestItem) -> Path:
        """Image file of an item.

        Raises:
            ValueError: if the package names a file outside the image root.
            ImagesNotFoundError: if it is missing.
        """
        root = self.root.resolve()
        path = (self.root / item.path)
        lexical = Path(item.path)
        if lexical.is_absolute() or '..' in lexical.parts:
            raise ValueError(f'the package names the image {item.path!r}, which is outside {root}; paths must stay below it')
        if not path.is_file():
            raise ImagesNotFoundError(f'{path} is missing; check --images')
        return path

    def missing(self) -> list[str]:
        """Paths of asked images that are not there."""
        return [item.path for item in self.request.items if item.asked and not (self.root / item.path).is_file()]

    def picture(self, item: RequestItem) -> tuple[bytes, str]:
        """Bytes and media type of an image as a browser shows it like the networks see it.

        Raises:
            ValueError: if the file is not the image that the request was made with, or cannot be read.
        """
        path = self.path(item)
        data = path.read_bytes()
        if item.sha1 and hashlib.sha1(data, usedforsecurity=False).hexdigest() != item.sha1:
            raise ValueError(f'{path} is not the image that was asked about: its sha1 is not {item.sha1}. Give the folder of '
                             'the images that the request was made with (--images)')
        try:
            with Image.open(path) as image:
                size, media = image.size, _BROWSER_FORMATS.get(image.format or '')
                turned = image.getexif().get(_ORIENTATION, 1) != 1
        except (OSError, ValueError, SyntaxError):
            media, turned, size = None, False, (item.width, item.height)
        if media is None or turned:
            pixels = read_image(path)
            size = (pixels.shape[1], pixels.shape[0])
            data, media = cv2.imencode('.png', pixels)[1].tobytes(), 'image/png'
        if size != (item.width, item.height):
            raise ValueError(f'{path} is {size[0]}x{size[1]}, the request is about {item.width}x{item.height} (width x height); '
                             'give the images in their native size')
        return data, media

    def region_runs(self, key: str) -> bytes:
        """Asked regions for the page: little-endian uint32 triples start, length, region id, ascending by start."""
        asked = self.asked(key)
        if asked.flat.size == 0:
            return b''
        new = (np.diff(asked.flat, prepend=-2) != 1) | (np.diff(asked.region, prepend=0) != 0)
        first = np.flatnonzero(new)
        length = np.diff(first, append=asked.flat.size)
        return np.stack([asked.flat[first], length, asked.region[first]], 1).astype('<u4').tobytes()

    def prediction(self, key: str) -> bytes:
        """Predicted class of every asked pixel in raster order, one byte each, 255 where nobody knows; empty without one."""
        path, asked = self.request.root / 'predictions' / f'{key}.png', self.asked(key)
        if not path.is_file():
            return b''
        label = read_png(path)
        if label.shape != asked.shape or label.dtype != np.uint8:
            return bytes([NOT_ANSWERED]) * asked.flat.size
        return label.ravel()[asked.flat].tobytes()
