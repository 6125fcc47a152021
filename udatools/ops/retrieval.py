# SPDX-License-Identifier: Apache-2.0
"""Nearest neighbours by cosine similarity, exactly, and how mixed two sets are in a feature space."""
from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

#: Similarities that are in memory at a time, 64 MiB of float32.
BLOCK_ELEMENTS = 2**24


class Neighbours(NamedTuple):
    """``similarity`` float32 (N, k), greatest first, in [-1, 1]; ``index`` int64 (N, k) into the gallery."""
    similarity: Tensor
    index: Tensor


class Mixing(NamedTuple):
    """How much the neighbourhoods of two sets are mixed, each in [0, 1].

    Attributes:
        first (float): share of items of the second set among the k nearest of those of the first one, mean.
        second (float): share of items of the first set among the k nearest of those of the second one, mean.
        first_chance (float): what ``first`` is on average when neighbours have nothing to do with the set.
        second_chance (float): the same of ``second``.
    """
    first: float
    second: float
    first_chance: float
    second_chance: float

    @property
    def relative(self) -> float:
        """Mean of both shares over their chance: 0 = apart, 1 = as mixed as chance."""
        return (self.first / self.first_chance + self.second / self.second_chance) / 2


def nearest_neighbours(query: Tensor, gallery: Tensor, k: int, *, block: int | None = None,
                       without_self: bool = False) -> Neighbours:
    """The k items of the gallery with the greatest cosine similarity to each query.

    One matrix product for a block of queries; nothing is approximated. Of equally similar items the first in the gallery comes
    first.

    Args:
        query (Tensor): float, (N, D).
        gallery (Tensor): float, (M, D), on the same device.
        k (int): 1 <= k <= M, of M - 1 ``without_self``.
        block (int, optional): queries at a time; by default so many that a block takes 64 MiB.
        without_self (bool): query and gallery are the same items; none is its own neighbour.

    Returns:
        Neighbours: on the device of ``query``. A vector of length 0 is equally far (0) from everything.

    Raises:
        ValueError: if shapes do not fit or k is out of range.
    """
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise ValueError(f'got queries of shape {tuple(query.shape)} and a gallery of shape {tuple(gallery.shape)}; expected '
                         '(N, D) and (M, D)')
    if without_self and query.shape != gallery.shape:
        raise ValueError(f'without_self needs the same items twice, got {len(query)} queries and a gallery of {len(gallery)}')
    most = len(gallery) - without_self
    if not 1 <= k <= most:
        raise ValueError(f'k is {k}; expected 1 to {most}, the number of other items')
    query, gallery = F.normalize(query.float(), dim=1), F.normalize(gallery.float(), dim=1)
    block = block or max(1, BLOCK_ELEMENTS // max(1, len(gallery)))
    similarities, indices = [], []
    for start in range(0, len(query), block):
        similarity = query[start:start + block] @ gallery.T
        if without_self:
            rows = torch.arange(len(similarity), device=query.device)
            similarity[rows, rows + start] = -torch.inf
        value, index = torch.sort(similarity, dim=1, descending=True, stable=True)
        similarities.append(value[:, :k].clamp(-1, 1))
        indices.append(index[:, :k])
    if not similarities:
        return Neighbours(query.new_zeros(0, k), torch.zeros(0, k, dtype=torch.int64, device=query.device))
    return Neighbours(torch.cat(similarities), torch.cat(indices))


def domain_mixing(first: Tensor, second: Tensor, k: int) -> Mixing:
    """How often the nearest neighbours of an item are of the other set, in the union of both without the item itself.

    By chance, a neighbour of an item of the first set (N items) is of the second (M items) with probability ``M / (N + M - 1)``.

    Args:
        first (Tensor): float, (N, D).
        second (Tensor): float, (M, D).
        k (int): neighbours, 1 <= k <= N + M - 1.

    Raises:
        ValueError: if a set is empty, or as :func:`nearest_neighbours`.
    """
    if not len(first) or not len(second):
        raise ValueError(f'got sets of {len(first)} and {len(second)} items; expected at least one of each')
    both = torch.cat([first, second])
    other = nearest_neighbours(both, both, k, without_self=True).index >= len(first)
    share = other.double().mean(1)
    chance = 1 / (len(both) - 1)
    return Mixing(float(share[:len(first)].mean()), float((1 - share[len(first):]).mean()), len(second) * chance,
                  len(first) * chance)
