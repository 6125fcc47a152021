# SPDX-License-Identifier: Apache-2.0
"""A whole source data set translated ahead into files, and what a translation is worth.

Every image is a file of its own, written atomically, and a function of (seed, key) and the images: files are shared out over
ranks, whatever is there and whole is left as it is, so that the same command goes on after any interruption.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from udatools.datasets.domain_dataset import IMAGE_SUFFIXES, DomainDataset
from udatools.datasets.translated_images import as_folders, find_translations
from udatools.engine.resumable import share_rest, sum_over_ranks
from udatools.engine.runner.stages import resolve_references
from udatools.models.domain_transforms import DomainTransform
from udatools.ops.fourier import phase_consistency
from udatools.registry import DATASETS
from udatools.utils.atomic import write_png_atomic
from udatools.utils.png import image_shape, is_whole_png, read_image
from udatools.utils.progress import Progress
from udatools.utils.rng import derive_seed, scoped_rng

SETTINGS = 'translation.json'
LEFTOVERS = ('**/.*.tmp', )


class SourceImage(NamedTuple):
    """An image to translate.

    Attributes:
        key (str): of it.
        image (str): its file.
        partner (str): file of the target image whose style it takes.
    """
    key: str
    image: str
    partner: str


def datasets_of_config(cfg: Config) -> tuple[DomainDataset, DomainDataset, list[str]]:
    """Source, as it was before any translation, and target of a config's training set; no label is looked at.

    Returns:
        tuple[DomainDataset, DomainDataset, list[str]]: source, target, and the folders of translations that the config reads.

    Raises:
        ValueError: when the config lacks a domain, or one of them is no data set of images.
    """
    domains = resolve_references(cfg).get('train_dataloader', {}).get('dataset', {})
    built = []
    for name in ('source', 'target'):
        domain = domains.get(name)
        kind = DATASETS.get(domain['type']) if domain else None
        if not isinstance(kind, type) or not issubclass(kind, DomainDataset):
            raise ValueError(f'the config has no {name} of images in train_dataloader.dataset, but '
                             f'{domain["type"] if domain else "none"}; name a config that trains on images of both domains')
        built.append(DATASETS.build(dict(domain, labelled=False, label_dir=None, image_dir=None, pipeline=[])))
    return built[0], built[1], as_folders(domains['source'].get('image_dir'))


def plan_translation(source: DomainDataset, target: DomainDataset, seed: int) -> list[SourceImage]:
    """Source images in their order, each with a target image drawn from (seed, key)."""
    keys = target.keys
    return [SourceImage(key, source.image_path(key), target.image_path(keys[derive_seed(seed, 'partner', key) % len(keys)]))
            for key in source.keys]


class TranslatedSource(NamedTuple):
    """What was done, over all ranks.

    Attributes:
        translated (int): images.
        reused (int): images whose file was there.
    """
    translated: int
    reused: int


def translate_source(plan: Sequence[SourceImage], transform: DomainTransform, out: Path, *, seed: int) -> TranslatedSource:
    """Writes ``<out>/<key>.png``, 8 bits, at the size of the original, of every image that has none yet; collective.

    Args:
        plan (Sequence[SourceImage]): the same on every rank.
        transform (DomainTransform): is given one image of each domain; what it draws comes from (seed, key).
        out (Path): folder.
        seed (int): of the draws.

    Raises:
        FileNotFoundError, ValueError: for images that are missing or damaged.
        OSError: when a file cannot be written.
        RuntimeError: on the ranks that did not fail themselves.
    """
    own, reused = share_rest(plan, lambda item: is_whole_png(out / f'{item.key}.png', image_shape(item.image), depth=8),
                             content='translation')
    pending: list[Future[None]] = []
    with Progress('translate', len(own), 'images') as progress, ThreadPoolExecutor(2) as writers:  # a PNG takes as long
        for done, item in enumerate(own, 1):
            pixels = _translate(item, transform, seed)
            for future in pending:
                future.result()
            pending = [writers.submit(write_png_atomic, out / f'{item.key}.png', pixels)]
            progress.update(done)
        for future in pending:
            future.result()
    return TranslatedSource(*sum_over_ranks(len(own), reused, content='translation'))


def _translate(item: SourceImage, transform: DomainTransform, seed: int) -> np.ndarray:
    """uint8, (H, W, 3), BGR."""
    images = {'source': [load_bgr(item.image)], 'target': [load_bgr(item.partner)]}
    with scoped_rng(seed, 'translation', item.key):
        changed = transform(images)['source'][0]
    return changed.clamp(0, 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def load_bgr(path: str | os.PathLike[str]) -> Tensor:
    """float32, (3, H, W), 0..255, BGR as a training batch has it."""
    return torch.from_numpy(read_image(path)).permute(2, 0, 1).float()


def check_translation(source: DomainDataset, folder: str, *, sample: int | None = None) -> dict[str, Any]:
    """Compares translations with their originals.

    Args:
        source (DomainDataset): originals.
        folder (str): of the translations, whoever made them.
        sample (int, optional): look at this many images, evenly spread.

    Returns:
        dict: ``images`` compared, ``phase_consistency`` (mean, of :func:`udatools.ops.fourier.phase_consistency`), ``change``
        (mean absolute difference of pixel values), ``problems`` (list of str: other sizes, damaged files).

    Raises:
        FileNotFoundError, ValueError: as :func:`find_translations`.
    """
    keys = source.keys
    files = find_translations(Path(folder), keys, IMAGE_SUFFIXES)
    if sample is not None:
        keys = [keys[i] for i in np.linspace(0, len(keys) - 1, min(sample, len(keys))).round().astype(int)]
    phases, changes, problems = [], [], []
    with Progress('check', len(keys), 'images') as progress:
        for number, key in enumerate(keys, 1):
            original = load_bgr(source.image_path(key))
            try:
                translated = load_bgr(files[key])
                if translated.shape != original.shape:
                    raise ValueError(f'{files[key]} is {translated.shape[2]}x{translated.shape[1]}, its original '
                                     f'{original.shape[2]}x{original.shape[1]} (width x height)')
            except ValueError as error:
                problems.append(str(error))
            else:
                phases.append(float(phase_consistency(translated[None], original[None])))
                changes.append(float((translated - original).abs().mean()))
            progress.update(number)
    return dict(images=len(keys), phase_consistency=float(np.mean(phases)) if phases else None,
                change=float(np.mean(changes)) if changes else None, problems=problems)
