# SPDX-License-Identifier: Apache-2.0
"""Representative points: per class the pixels nearest to the mean probability vector of that class.

The step SelectPt of LabOR (Shin et al., ICCV 2021, Algorithm 1, line 19): D^(k) are the inconsistent pixels of class k,
mu^(k) is the mean of their probability vectors, and the pixel whose vector is nearest to mu^(k) is asked. All classes
and pixels at once; the only loop is over the picks of a class. Minima do not depend on the order of reduction, and the
means are of float64, so the picks are the same in every run.
"""
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

DISTANCES = ('l1', 'l2', 'cosine')
_CHUNK = 2**18


class Picks(NamedTuple):
    """Chosen pixels.

    Attributes:
        flat_index (Tensor): int64, (N,), ``y * W + x``, by order of picking, then class.
        order (Tensor): int64, (N,), 0 for the first pick of a class, 1 for its second, ...
        class_id (Tensor): int64, (N,).
    """
    flat_index: Tensor
    order: Tensor
    class_id: Tensor


def class_prototypes(vectors: Tensor, class_of: Tensor, num_classes: int) -> Tensor:
    """Mean vector of every class.

    Args:
        vectors (Tensor): float32, (C, N).
        class_of (Tensor): int64, (N,), 0..K-1.
        num_classes (int): K.

    Returns:
        Tensor: float64, (K, C); 0 for a class without pixels.
    """
    total = vectors.new_zeros((num_classes, vectors.shape[0]), dtype=torch.float64)
    for part, classes in zip(vectors.split(_CHUNK, dim=1), class_of.split(_CHUNK)):
        total += F.one_hot(classes, num_classes).T.double() @ part.double().T
    return total / torch.bincount(class_of, minlength=num_classes).clamp_min(1)[:, None]


def distance_to_prototype(vectors: Tensor, class_of: Tensor, prototypes: Tensor, distance: str) -> Tensor:
    """Distance of every vector to the prototype of its class.

    Args:
        vectors (Tensor): float32, (C, N).
        class_of (Tensor): int64, (N,).
        prototypes (Tensor): float64, (K, C).
        distance (str): ``'l1'``, ``'l2'`` (squared, which has the same order) or ``'cosine'`` (1 - cosine similarity).

    Returns:
        Tensor: float64, (N,), >= 0 up to rounding.
    """
    parts = []
    for part, classes in zip(vectors.split(_CHUNK, dim=1), class_of.split(_CHUNK)):
        mean, vector = prototypes[classes].T, part.double()
        if distance == 'l1':
            parts.append((vector - mean).abs().sum(0))
        elif distance == 'l2':
            parts.append((vector - mean).square().sum(0))
        else:
            parts.append(1 - F.cosine_similarity(vector, mean, dim=0))
    return torch.cat(parts) if parts else vectors.new_zeros(0, dtype=torch.float64)


def nearest_to_prototypes(prob: Tensor, mask: Tensor, class_hw: Tensor, *, distance: str = 'l2', points_per_class: int = 1,
                          min_distance: float = 0, allowed: Tensor | None = None) -> Picks:
    """The most representative pixels of every class inside a mask.

    Args:
        prob (Tensor): float32, (C, H, W), of the model that prototypes are made of.
        mask (Tensor): bool, (H, W), the inconsistency mask.
        class_hw (Tensor): int64, (H, W), class of every pixel, 0..C-1.
        distance (str): ``'l1'``, ``'l2'`` or ``'cosine'``.
        points_per_class (int): picks of a class at most; each further one is the nearest of those left.
        min_distance (float): native pixels (Euclidean) between the picks of a class, at least.
        allowed (Tensor | None): bool, (H, W), where a pick may be; prototypes are of the whole mask.

    Returns:
        Picks: equal distances go to the smallest flat index; fewer than ``points_per_class`` where none is left.
    """
    num_classes, _, width = prob.shape
    index = mask.flatten().nonzero().squeeze(1)
    class_of, vectors = class_hw.flatten()[index], prob.flatten(1)[:, index]
    prototypes = class_prototypes(vectors, class_of, num_classes)
    left = distance_to_prototype(vectors, class_of, prototypes, distance)
    if allowed is not None:
        left = left.masked_fill(~allowed.flatten()[index], torch.inf)
    y, x = index // width, index % width
    place = torch.arange(index.numel(), device=index.device)
    found: list[Picks] = []
    for order in range(points_per_class):
        nearest = left.new_full((num_classes, ), torch.inf).scatter_reduce(0, class_of, left, 'amin')
        hit = (left == nearest[class_of]) & left.isfinite()
        none = place.numel()
        first = place.new_full((num_classes, ), none).scatter_reduce(0, class_of[hit], place[hit], 'amin')
        class_id = (first < none).nonzero().squeeze(1)
        if class_id.numel() == 0:
            break
        picked = first[class_id]
        found.append(Picks(index[picked], torch.full_like(class_id, order), class_id))
        # Pixels of a class without a pick have no distance left to lose.
        own = first.clamp_max(none - 1)[class_of]
        near = (y - y[own]).square() + (x - x[own]).square() < max(min_distance, 1)**2
        left = left.masked_fill(near, torch.inf)
    if not found:
        return Picks(index[:0], index[:0], index[:0])
    return Picks(*(torch.cat(parts) for parts in zip(*found)))
