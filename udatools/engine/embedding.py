# SPDX-License-Identifier: Apache-2.0
"""Panels of an embedding plot: the same points of both domains in the features of one or two networks."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor

from udatools.engine.domain_features import (
    SampledPixels,
    check_classes,
    choose_keys,
    domain_images,
    image_descriptors,
    label_reader,
    pixel_features,
    sample_pixels,
)
from udatools.engine.frame_predictor import load_frame_predictor
from udatools.ops.embedding import principal_components, tsne
from udatools.ops.retrieval import domain_mixing, nearest_neighbours
from udatools.visualization.embedding_plot import EmbeddingPanel

DOMAINS = ('source', 'target')
NEIGHBOURS = 10
IGNORE = 255


@dataclass
class EmbeddingSettings:
    """What is drawn.

    Args:
        points (str): ``pixels`` or ``images``.
        method (str): ``pca`` or ``tsne``.
        labels (str): classes of pixels by ``truth`` (target: the validation set) or by ``prediction`` of the last network
            (target: the training images).
        classes (Sequence[str], optional): only these.
        per_class (int): pixels of each class and domain.
        images (int, optional): at most this many of each domain; None is all.
        perplexity (float): of t-SNE.
        level (int): output of the backbone.
        seed (int): of images, pixels and t-SNE.
        device (str, optional): of the networks.

    Raises:
        ValueError: for an unknown choice.
    """
    points: str = 'pixels'
    method: str = 'pca'
    labels: str = 'truth'
    classes: Sequence[str] | None = None
    per_class: int = 60
    images: int | None = 200
    perplexity: float = 30.0
    level: int = -1
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        for name, known in (('points', ('pixels', 'images')), ('method', ('pca', 'tsne')), ('labels', ('truth', 'prediction'))):
            if getattr(self, name) not in known:
                raise ValueError(f'{name} is {getattr(self, name)!r}; expected one of {", ".join(known)}')


class Embedding(NamedTuple):
    """``panels`` one a network; names and colours of the train ids in them."""
    panels: list[EmbeddingPanel]
    classes: list[str]
    palette: list[tuple[int, ...]]


def embed(cfg: Config, checkpoints: Sequence[Path], settings: EmbeddingSettings,
          titles: Sequence[str] | None = None) -> Embedding:
    """Samples points once, and projects their features in every network.

    Args:
        cfg (Config): of :func:`udatools.engine.domain_features.training_config`.
        checkpoints (Sequence[Path]): one, or before and after adaptation.
        settings (EmbeddingSettings): what is drawn.
        titles (Sequence[str], optional): of the panels.

    Raises:
        ValueError: if classes are unknown or those of networks and data differ, or nothing is left to draw.
    """
    networks = [load_frame_predictor(checkpoint, device=settings.device) for checkpoint in checkpoints]
    labelled = settings.points == 'pixels' and settings.labels == 'truth'
    sets = {domain: domain_images(cfg, domain, labelled=labelled) for domain in DOMAINS}
    for network in networks:
        for images in sets.values():
            check_classes(network, images)
    keys = {domain: choose_keys(images, settings.images, settings.seed, domain) for domain, images in sets.items()}
    pixels: dict[str, SampledPixels] = {}
    if settings.points == 'pixels':
        kept = _kept_ids(networks[-1].classes, settings.classes)
        for domain, images in sets.items():
            read = label_reader(images, networks[-1] if settings.labels == 'prediction' else None)
            pixels[domain] = sample_pixels(keys[domain], lambda key, read=read: kept[read(key)], settings.per_class,
                                           settings.seed, domain)
    names = list(titles or _titles(checkpoints))
    panels = []
    for network, title in zip(networks, names):
        features = [
            pixel_features(network, images, pixels[domain], level=settings.level, title=f'{title}: {domain}') if pixels else
            image_descriptors(network, images, keys[domain], level=settings.level, title=f'{title}: {domain}')
            for domain, images in sets.items()]
        panels.append(_panel(title, features, [pixels[domain].label for domain in DOMAINS] if pixels else None, settings))
    return Embedding(panels, networks[-1].classes, [tuple(map(int, colour)) for colour in networks[-1].palette])


def _titles(checkpoints: Sequence[Path]) -> list[str]:
    if len(checkpoints) == 2:
        return ['before', 'after']
    return ['/'.join(checkpoint.resolve().parts[-3:]) for checkpoint in checkpoints]


def _kept_ids(classes: Sequence[str], wanted: Sequence[str] | None) -> np.ndarray:
    """Table from train id to itself, or to 255 for classes that are not wanted."""
    if unknown := set(wanted or ()) - set(classes):
        raise ValueError(f'the network has no class {", ".join(sorted(unknown))}; expected some of {", ".join(classes)}')
    table = np.full(256, IGNORE, np.uint8)
    for i, name in enumerate(classes):
        if wanted is None or name in wanted:
            table[i] = i
    return table


def _panel(title: str, features: Sequence[Tensor], labels: Sequence[Tensor] | None,
           settings: EmbeddingSettings) -> EmbeddingPanel:
    source, target = features
    everything = torch.cat([source, target])
    domain = np.repeat([0, 1], [len(source), len(target)])
    mixing = domain_mixing(source, target, min(NEIGHBOURS, len(everything) - 1))
    lines = [title, f'domains mixed {mixing.relative:.2f} of chance']
    if labels is not None:
        nearest = nearest_neighbours(target, source, 1).index[:, 0]
        agreement = (labels[0][nearest] == labels[1]).double().mean()
        lines[1] += f', nearest source pixel of the class {agreement:.0%}'
    if settings.method == 'tsne':
        found = tsne(everything, perplexity=settings.perplexity, seed=settings.seed)
        lines.append(f't-SNE, perplexity {settings.perplexity:g}')
    else:
        found = principal_components(F.normalize(everything, dim=1))
        lines.append(f'PCA, {float(found.explained.sum()):.0%} of the variance')
    return EmbeddingPanel('\n'.join(lines), found.points.numpy(), torch.cat(list(labels)).numpy() if labels is not None else None,
                          domain)
