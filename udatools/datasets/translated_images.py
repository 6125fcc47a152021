# SPDX-License-Identifier: Apache-2.0
"""Translated or stylised images in place of a data set's own: another folder of pictures, the same keys and labels.

Methods that train on a translated source (BDL, LTIR, PCEDA) differ in the translator alone; what they train on is always this. A
translation belongs to its image by key. It must not move anything: labels are those of the original.
"""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Folders = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None


def as_folders(image_dir: Folders) -> list[str]:
    """One folder, several or none, as a list."""
    if isinstance(image_dir, str | os.PathLike):
        return [os.fspath(image_dir)]
    return [os.fspath(folder) for folder in image_dir or ()]


def find_translations(folder: Path, keys: Sequence[str], suffixes: Sequence[str]) -> dict[str, str]:
    """Files that stand for the images of a data set.

    Args:
        folder (Path): ``<folder>/<key>.<suffix>``; pictures of other keys are left alone.
        keys (Sequence[str]): of the images wanted.
        suffixes (Sequence[str]): of image files, lower case, with the dot.

    Returns:
        dict[str, str]: key -> file.

    Raises:
        FileNotFoundError: If the folder or any file is missing; says how many, and the command that makes them.
        ValueError: If a key has two files.
    """
    remedy = ('download it, or write one with\n  python tools/translate_source.py CONFIG\n'
              '(see docs/datasets.md, "Translated sources")')
    if not folder.is_dir():
        raise FileNotFoundError(f'the folder of translated images {folder} does not exist; {remedy}')
    wanted, found = set(keys), {}
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith('.')]
        for name in names:
            path = Path(parent, name)
            if name[0] == '.' or path.suffix.lower() not in suffixes:
                continue
            key = path.relative_to(folder).with_suffix('').as_posix()
            if key in wanted and found.setdefault(key, str(path)) != str(path):
                raise ValueError(f'{found[key]} and {path} both stand for the image {key!r}; keep one of them')
    if missing := [key for key in keys if key not in found]:
        raise FileNotFoundError(f'{len(missing)} of {len(keys)} images have no translation in {folder}, the first is '
                                f'{missing[0]!r}: the translation is incomplete, or of another data set; {remedy}')
    return found


def use_translations(items: Sequence[dict[str, Any]], folders: Sequence[str], suffixes: Sequence[str]) -> None:
    """Puts translations in the place of the images of data infos.

    ``img_path`` becomes the translation, ``original_path`` the image; with several folders ``img_paths`` has one translation of
    each, of which ``LoadDomainImage`` draws one.

    Args:
        items (Sequence[dict]): data infos with ``key`` and ``img_path``; changed in place.
        folders (Sequence[str]): of translations, one or more.
        suffixes (Sequence[str]): as of :func:`find_translations`.

    Raises:
        FileNotFoundError, ValueError: as :func:`find_translations`.
    """
    keys = [info['key'] for info in items]
    translations: list[Mapping[str, str]] = [find_translations(Path(folder), keys, suffixes) for folder in folders]
    for info in items:
        paths = [of_folder[info['key']] for of_folder in translations]
        info.update(original_path=info['img_path'], img_path=paths[0])
        if len(paths) > 1:
            info['img_paths'] = paths
