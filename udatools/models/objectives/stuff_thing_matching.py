# SPDX-License-Identifier: Apache-2.0
"""Target regions drawn to the most similar source region of their class (SIM: Wang et al., CVPR 2020, Sec. 3).

Stuff looks alike in both domains: each class of an image is one region. Things differ from one to the next: each connected region
of a class stands for an instance. A region is its mean feature; source regions, of the pixels that are classified correctly, wait
in a memory, and each target region, of the prediction, is pulled towards the nearest of them.
"""
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from torch import Tensor

from udatools.datasets.taxonomies import ClassSpec, get_class_set
from udatools.ops.components import RegionMeans, region_means
from udatools.ops.losses import global_pixel_count
from udatools.registry import OBJECTIVES

from .base import Objective
from .feature_distance import THINGS

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


class RegionMemory(nn.Module):
    """The newest region features of each class, in buffers: they travel with checkpoints.

    Args:
        num_classes (int): C.
        size (int): M, features a class.
        channels (int): D.
    """

    def __init__(self, num_classes: int, size: int, channels: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer('features', torch.zeros(num_classes, size, channels))
        self.register_buffer('pushed', torch.zeros(num_classes, dtype=torch.int64))

    @torch.no_grad()
    def push(self, feature: Tensor, class_id: Tensor, valid: Tensor) -> None:
        """Takes features over, the oldest of a class make room.

        Args:
            feature (Tensor): float32, (N, D), in the order of their age.
            class_id (Tensor): int64, (N,).
            valid (Tensor): bool, (N,), the others are left out. No host synchronisation.
        """
        classes = len(self.pushed)
        own = F.one_hot(class_id, classes) * valid[:, None]
        number = own.cumsum(0).gather(1, class_id[:, None])[:, 0]  # from 1, within the class
        new = own.sum(0)
        keep = valid & (number > new[class_id] - self.size)  # of more than fit, the newest: no place is written twice
        place = class_id * self.size + (self.pushed[class_id] + number - 1) % self.size
        nowhere = classes * self.size
        rows = torch.cat([self.features.flatten(0, 1), feature.new_zeros(1, feature.shape[1])])
        rows.index_copy_(0, torch.where(keep, place, nowhere), feature.to(rows.dtype))
        self.features.copy_(rows[:-1].view_as(self.features))
        self.pushed.add_(new)

    def nearest(self, feature: Tensor, class_id: Tensor) -> tuple[Tensor, Tensor]:
        """The stored feature of the same class that is nearest in L1.

        Args:
            feature (Tensor): float32, (N, D).
            class_id (Tensor): int64, (N,).

        Returns:
            tuple[Tensor, Tensor]: float32, (N, D), without a gradient; bool, (N,), False where the class has none.
        """
        with torch.no_grad():
            candidates = self.features[class_id]
            distance = (candidates - feature[:, None]).abs().sum(-1)
            filled = torch.arange(self.size, device=feature.device) < self.pushed[class_id, None]
            best = distance.masked_fill(~filled, torch.inf).argmin(1)
            return candidates[torch.arange(len(best), device=best.device), best], filled[:, 0]


@OBJECTIVES.register_module()
class StuffThingMatching(Objective):
    """Mean L1 distance, channel by channel, of target regions to the nearest source region of their class.

    Source regions of all ranks go into the memory, that of each rank included, before the target is matched; the memory is the
    same on all of them. Gradients reach the target's features alone.

    Args:
        classes (str | Mapping): class set of the data: ``'{cfg:classes}'``.
        channels (int): of the backbone's last features: ``'{cfg:segmentor.decode_head.in_channels}'``.
        weights (Mapping[str, float]): of the terms ``stuff`` and ``things``.
        things (Sequence[str]): names of the classes whose connected regions stand for instances; those that the class set lacks
            are left out. All other classes are stuff.
        memory_size (int): source regions kept of each class.
        max_things (int): regions of things in an image, the largest.
        min_cells (int): cells of the features that a region has at least.

    Raises:
        ValueError: for sizes below 1 or unknown terms; in training for a source without labels, or features of other channels.
    """

    def __init__(self, *, classes: ClassSpec, channels: int, weights: Mapping[str, float],
                 things: Sequence[str] = ('pole', *THINGS), memory_size: int = 50, max_things: int = 32,
                 min_cells: int = 1) -> None:
        super().__init__()
        if min(memory_size, max_things, min_cells) < 1:
            raise ValueError(f'memory_size={memory_size}, max_things={max_things}, min_cells={min_cells}; expected 1 or '
                             'more each')
        if weights.keys() != {'stuff', 'things'}:
            raise ValueError(f"weights has the keys {sorted(weights)}; expected 'stuff' and 'things'")
        names = get_class_set(classes).classes
        is_thing = [name in things for name in names]
        self.register_buffer('thing_ids', torch.tensor([i for i, thing in enumerate(is_thing) if thing]), persistent=False)
        self.register_buffer('stuff_ids', torch.tensor([i for i, thing in enumerate(is_thing) if not thing]), persistent=False)
        self.weights = dict(weights)
        self.max_things, self.min_cells = max_things, min_cells
        self.memory = RegionMemory(len(names), memory_size, channels)

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_stuff`` and ``loss_things``."""
        source = batch.domain('source', needed_by='StuffThingMatching')
        target = batch.domain('target', needed_by='StuffThingMatching')
        if source.label is None:
            raise ValueError('StuffThingMatching has no labels on the source domain; use a labelled dataset')
        if source.features[-1].shape[1] != self.memory.features.shape[2]:
            raise ValueError(f'the last features have {source.features[-1].shape[1]} channels, StuffThingMatching channels='
                             f"{self.memory.features.shape[2]}; give channels='{{cfg:segmentor.decode_head.in_channels}}'")
        with torch.no_grad():
            features = source.features[-1].detach()
            label = _at_cells(source.label[:, None], features)[:, 0]
            predicted = _at_cells(source.logits['main'].detach(), features).argmax(1)
            self._remember(self._regions(features, label.where(label == predicted, -1)))
            classes = _at_cells(target.logits['main'].detach(), target.features[-1]).argmax(1)
        regions = self._regions(target.features[-1], classes)
        nearest, known = self.memory.nearest(regions.feature.detach().flatten(0, 1), regions.class_id.flatten())
        distance = (regions.feature - nearest.view_as(regions.feature)).abs().mean(-1)
        matched = regions.valid & known.view_as(regions.valid)
        stuff = len(self.stuff_ids)
        return {f'loss_{name}': self.weights[name] * (distance[:, part] * matched[:, part]).sum()
                / global_pixel_count(matched[:, part].sum())
                for name, part in (('stuff', slice(0, stuff)), ('things', slice(stuff, None)))}

    def _regions(self, features: Tensor, class_bhw: Tensor) -> RegionMeans:
        return region_means(features, class_bhw, stuff=self.stuff_ids, things=self.thing_ids, max_things=self.max_things,
                            min_cells=self.min_cells)

    def _remember(self, regions: RegionMeans) -> None:
        """Pushes the regions of all ranks in the order of the global batch."""
        together = torch.cat([regions.feature, regions.class_id[..., None], regions.valid[..., None]], -1)
        if get_world_size() > 1:
            together = torch.stack(all_gather(together.contiguous()), 1).flatten(0, 1)  # item k of rank r is k * world + r
        rows = together.flatten(0, 1)
        self.memory.push(rows[:, :-2], rows[:, -2].long(), rows[:, -1].bool())


def _at_cells(maps: Tensor, features: Tensor) -> Tensor:
    """Values of (B, C, H, W) at the centres of the cells of (B, D, h, w): (B, C, h, w), the dtype stays."""
    height, width = features.shape[2:]
    rows = ((torch.arange(height, device=maps.device) + 0.5) * maps.shape[2] / height).long()
    columns = ((torch.arange(width, device=maps.device) + 0.5) * maps.shape[3] / width).long()
    return maps[:, :, rows[:, None], columns]
