# SPDX-License-Identifier: Apache-2.0
"""Write MiniDrive to disk: resumable, idempotent, never over data it did not make."""
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from udatools.utils.atomic import write_json_atomic
from udatools.utils.progress import Progress

from .render import render_still
from .writers import FORMATS, write_atomic

# Raise it whenever the pixels of an item change: data of another version is not mixed with new data.
GENERATOR_VERSION = 2
FINGERPRINT = 'minidrive.json'
KNOWN_FOLDERS = frozenset((*FORMATS, 'viper', 'cityscapes_vps', 'flow'))  # what may be removed to be replaced


def generate_minidrive(root: str | os.PathLike[str], *, size: tuple[int, int] = (256, 128), seed: int = 0,
                       num_source: int = 200, num_target_train: int = 150, num_target_val: int = 60,
                       formats: Sequence[str] = ('gta5', 'cityscapes'), overwrite: bool = False,
                       progress: bool = True) -> Path:
    """Generate the stills of MiniDrive as ``root/<format>``.

    The source domain "sim" goes to ``gta5`` and ``synthia``, the target domain "real" to ``cityscapes`` and ``camvid``.
    Files that exist are kept, so an interrupted call is finished by the next one, and a finished one costs nothing.

    Args:
        root: folder of the data set; made when missing.
        size: (width, height) in pixels.
        seed: seed of all items.
        num_source: number of source stills.
        num_target_train: number of target training stills.
        num_target_val: number of target validation stills.
        formats: which of ``gta5``, ``synthia``, ``cityscapes``, ``camvid`` to write.
        overwrite: replace MiniDrive data of other parameters instead of refusing.
        progress: show progress on the error stream.

    Returns:
        ``root``.

    Raises:
        ValueError: an unknown format, or ``root`` holds MiniDrive data of other parameters.
        FileExistsError: a folder of a format exists that MiniDrive did not make.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise ValueError(f"formats={tuple(formats)}: choose one or more of {', '.join(FORMATS)}")
    counts = {('sim', 'train'): num_source, ('real', 'train'): num_target_train, ('real', 'val'): num_target_val}
    if min(counts.values()) < 0:
        raise ValueError(f'numbers of stills must be >= 0, got {num_source}, {num_target_train}, {num_target_val}')
    root = Path(root)
    wanted = {'generator': 'MiniDrive', 'version': GENERATOR_VERSION, 'size': list(size), 'seed': seed,
              'num_source': num_source,
                  'num_target_train': num_target_train, 'num_target_val': num_target_val}
    written = prepare_root(root / FINGERPRINT, wanted, formats, overwrite)
    work = [(domain, split, index) for (domain, split), count in counts.items() for index in range(count)
            if _missing(root, formats, domain, split, index)]
    if work or not set(formats) <= set(written):
        names = sorted(set(written) | set(formats))
        write_json_atomic(root / FINGERPRINT, dict(wanted, formats=names))
    with Progress('MiniDrive', len(work), 'stills', shown=progress) as shown:
        for done, (domain, split, index) in enumerate(work, 1):
            item = render_still(domain, index, split, seed, size)
            for name in _missing(root, formats, domain, split, index):
                for path, data in FORMATS[name].encode(item, split, index).items():
                    write_atomic(root / name / path, data)
            shown.update(done)
    return root


def _missing(root: Path, formats: Sequence[str], domain: str, split: str, index: int) -> list[str]:
    """Formats in which a file of the item does not exist yet."""
    result = []
    for name in formats:
        form = FORMATS[name]
        if form.domain == domain and split in form.splits:
            if not all((root / name / path).is_file() for path in form.names(split, index)):
                result.append(name)
    return result


def prepare_root(stored_path: Path, wanted: dict[str, object], formats: Sequence[str], overwrite: bool) -> list[str]:
    """Check what is in the folder that data is to be written to.

    Args:
        stored_path: the record in that folder of what was written and with which parameters; it need not exist.
        wanted: the parameters.
        formats: folders to write beside the record.
        overwrite: remove what the record names instead of refusing other parameters.

    Returns:
        the formats that belong to the same parameters already.

    Raises:
        ValueError: the record is not readable, or of other parameters.
        FileExistsError: a folder exists that the record does not name.
    """
    root = stored_path.parent
    written: list[str] = []
    if stored_path.is_file():
        try:
            stored = json.loads(stored_path.read_text())
            written = list(stored.pop('formats'))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f'{stored_path} is not readable ({error}); remove it together with the data beside it, or '
                             'choose another root') from error
        if stored != wanted:
            changed = ', '.join(f'{key}: {stored.get(key)} on disk, {value} asked' for key, value in wanted.items()
                                if stored.get(key) != value)
            if not overwrite:
                raise ValueError(f'{root} holds MiniDrive data of other parameters ({changed}); choose another root, '
                                 'or pass overwrite=True (--overwrite) to replace it')
            for name in written:
                if name in KNOWN_FOLDERS:
                    shutil.rmtree(root / name, ignore_errors=True)
            stored_path.unlink()
            written = []
    for name in formats:
        if name not in written and (root / name).is_dir() and any((root / name).iterdir()):
            raise FileExistsError(f'{root / name} exists and was not made by MiniDrive (no record in {stored_path}); '
                                  'choose another root')
    return written
