# SPDX-License-Identifier: Apache-2.0
"""From many features to two numbers a point: class-balanced samples, principal components, t-SNE."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = 255


class Projection(NamedTuple):
    """``points`` float32 (N, d); ``explained`` float64 (d,), share of the variance of each direction, None of t-SNE."""
    points: Tensor
    explained: Tensor | None


def balanced_sample(label: Tensor, per_class: int, generator: torch.Generator) -> Tensor:
    """Draws at most ``per_class`` items of every class, without repetition.

    Args:
        label (Tensor): integer, (N,), 255 = ignored, on the CPU.
        per_class (int): >= 1.
        generator (torch.Generator): of the CPU.

    Returns:
        Tensor: int64, (n,), indices in ascending order; classes with fewer items give all that they have.

    Raises:
        ValueError: if ``per_class`` is below 1 or ``label`` is not one-dimensional.
    """
    if per_class < 1 or label.ndim != 1:
        raise ValueError(f'got per_class={per_class} and labels of shape {tuple(label.shape)}; expected at least 1, and (N,)')
    order = torch.randperm(len(label), generator=generator)
    # In random order, the rank of an item within its class is a sort by class that keeps that order.
    sorted_label, position = torch.sort(label[order].long(), stable=True)
    starts = torch.searchsorted(sorted_label, sorted_label)
    rank = torch.arange(len(label)) - starts
    return order[position[(rank < per_class) & (sorted_label != IGNORE)]].sort().values


def principal_components(features: Tensor, dims: int = 2) -> Projection:
    """Projects onto the directions of greatest variance.

    Args:
        features (Tensor): float, (N, D), N > ``dims``.
        dims (int): 1 <= dims <= D.

    Returns:
        Projection: of the centred features. The sign of a direction is free; here its largest coefficient is positive, so that
            the same features give the same picture anywhere.

    Raises:
        ValueError: if there are too few features or dimensions.
    """
    if features.ndim != 2 or not 1 <= dims <= features.shape[1] or len(features) <= dims:
        raise ValueError(f'got features of shape {tuple(features.shape)} for {dims} dimensions; expected (N, D) with N > {dims} '
                         f'and D >= {dims}')
    centred = features.double() - features.double().mean(0)
    # Of D x D: there are many more points than channels.
    variance, directions = torch.linalg.eigh(centred.T @ centred)
    directions = directions[:, -dims:].flip(1)
    largest = directions.abs().argmax(0)
    directions = directions * directions[largest, torch.arange(dims, device=directions.device)].sign()
    total = variance.clamp(min=0).sum()
    explained = variance.clamp(min=0)[-dims:].flip(0) / (total if total > 0 else 1)
    return Projection((centred @ directions).float(), explained)


def tsne(features: Tensor, *, perplexity: float = 30.0, seed: int = 0) -> Projection:
    """t-SNE of scikit-learn (van der Maaten and Hinton, JMLR 2008) on cosine distances, started from principal components.

    Distances between far points and sizes of clusters mean nothing in its pictures.

    Args:
        features (Tensor): float, (N, D).
        perplexity (float): about the number of neighbours that count, > 1; at most (N - 1) / 3 is used.
        seed (int): 0 <= seed < 2**32.

    Raises:
        ImportError: without scikit-learn.
        ValueError: for fewer than 5 points.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError(f"t-SNE needs scikit-learn: pip install 'udatools[analysis]', or choose pca, which needs nothing "
                          f'({error})') from error
    if len(features) < 5:
        raise ValueError(f't-SNE got {len(features)} points; expected at least 5, sample more')
    # On the unit sphere, squared Euclidean distances are cosine distances times two.
    unit = F.normalize(features.float(), dim=1).cpu()
    start = principal_components(unit).points.numpy()
    start = start / max(float(start[:, 0].std()), 1e-12) * 1e-4  # as scikit-learn scales its own
    fitted = TSNE(2, perplexity=min(perplexity, (len(unit) - 1) / 3), init=start, random_state=seed).fit_transform(unit.numpy())
    return Projection(torch.from_numpy(np.asarray(fitted, np.float32)), None)
