# SPDX-License-Identifier: Apache-2.0
"""Networks that are published, by name: what their files are called, their SHA-256, and where they are.

``checkpoints.json`` lists them; ``checkpoints/`` holds those that come with the package. Others, and the backbones of
torchvision and mmseg, are fetched once to where backbone weights are looked for (``UDATOOLS_WEIGHTS``, else torch's cache).
"""
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from udatools.models.backbones.weights import PUBLISHED, hash_of_name, published_base, weights_folders
from udatools.utils.atomic import atomic_path
from udatools.utils.download import DownloadError, fetch_file, file_digest

INDEX = Path(__file__).with_name('checkpoints.json')
BUILT_IN = Path(__file__).with_name('checkpoints')


@dataclass(frozen=True)
class Checkpoint:
    """One published file.

    Attributes:
        name (str): by which it is asked for.
        file (str): its name, with the first eight hex digits of its sha256.
        sha256 (str): hex, of the whole file; of backbones as many digits as their name has.
        urls (tuple[str, ...]): where it is published.
        bytes (int | None): its size; of backbones None.
        config (str): the config that trained it, in a checkout; of backbones ``''``.
        seed (int | None): of that training.
        data (str): that it was evaluated on.
        miou (float | None): percent, of its run's record.
    """
    name: str
    file: str
    sha256: str
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    config: str = ''
    seed: int | None = None
    data: str = ''
    miou: float | None = None

    @property
    def built_in(self) -> Path | None:
        """The file in the package, None of one that is fetched."""
        path = BUILT_IN / self.file
        return path if path.is_file() else None


def read_checkpoints() -> dict[str, Checkpoint]:
    """The networks of the zoo, by name."""
    entries = json.loads(INDEX.read_text(encoding='utf-8'))['checkpoints']
    return {entry['name']: Checkpoint(**entry | {'urls': tuple(entry['urls'])}) for entry in entries}


def read_backbones() -> dict[str, Checkpoint]:
    """Backbones that configs name as ``PUBLISHER://NAME``."""
    return {f'{publisher}://{name}': Checkpoint(f'{publisher}://{name}', file, hash_of_name(file))
            for publisher, files in PUBLISHED.items() for name, file in files.items()}


def find_checkpoint(name: str) -> Checkpoint:
    """What a name stands for.

    Raises:
        DownloadError: for an unknown name.
    """
    known = read_checkpoints() | read_backbones()
    if name not in known:
        raise DownloadError(f"nothing is published here as '{name}'; choose one of {', '.join(known)}")
    return known[name]


def obtain(checkpoint: Checkpoint, folder: Path, *, mirrors: Sequence[str] = (), offline: Path | None = None) -> Path:
    """Puts a published file into a folder, unless it is there already and right.

    Args:
        checkpoint (Checkpoint): of :func:`find_checkpoint`.
        folder (Path): where to.
        mirrors (Sequence[str]): base addresses that hold the files under their names, asked in this order before the
            published address.
        offline (Path, optional): a folder that holds the file; nothing else is asked.

    Returns:
        Path: the file in ``folder``.

    Raises:
        DownloadError: when it cannot be had, or is another file.
    """
    target = folder / checkpoint.file
    here = checkpoint.built_in if offline is None else offline / checkpoint.file
    if here is None:
        mirrored = [f'{base.rstrip("/")}/{checkpoint.file}' for base in mirrors]
        return fetch_file([*mirrored, *_published(checkpoint)], target, sha256=checkpoint.sha256, size=checkpoint.bytes)
    if not here.is_file():
        raise DownloadError(f'{offline} has no {checkpoint.file}; put that file there, or leave out --offline'
                            + (f'. It is published at {", ".join(checkpoint.urls)}' if checkpoint.urls else ''))
    if not (found := file_digest(here)).startswith(checkpoint.sha256):
        raise DownloadError(f'{here} is damaged or another file: its sha256 is {found}, expected {checkpoint.sha256}; fetch it '
                            'anew')
    if not (target.is_file() and file_digest(target) == found):
        with atomic_path(target) as temporary:
            shutil.copyfile(here, temporary)
    return target


def checkpoint_file(checkpoint: str | Path) -> Path:
    """The file of a path, or of a name of the zoo.

    Args:
        checkpoint (str | Path): a file, which comes first, or a name; one that is not on this machine is fetched.

    Raises:
        DownloadError: when a published network cannot be had.
    """
    path = Path(checkpoint)
    if path.is_file() or str(checkpoint) not in (known := read_checkpoints()):
        return path
    entry = known[str(checkpoint)]
    folders = weights_folders()
    found = (folder / entry.file for folder in folders)
    right = (file for file in found if file.is_file() and file_digest(file) == entry.sha256)
    return entry.built_in or next(right, None) or obtain(entry, folders[0], mirrors=default_mirrors())


def default_mirrors() -> list[str]:
    """``UDATOOLS_WEIGHTS_MIRROR``, if it is set."""
    mirror = os.environ.get('UDATOOLS_WEIGHTS_MIRROR')
    return [mirror] if mirror else []


def _published(checkpoint: Checkpoint) -> list[str]:
    publisher, separator, _ = checkpoint.name.partition('://')
    return [f'{published_base(publisher).rstrip("/")}/{checkpoint.file}'] if separator else list(checkpoint.urls)
