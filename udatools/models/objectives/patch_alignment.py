# SPDX-License-Identifier: Apache-2.0
"""Alignment of discriminative patch representations (PatchAlign, Tsai et al., ICCV 2019).

Modes of source patches are found by clustering their labels (``PatchModesHook``). A small module H learns to tell from a
prediction which mode a source patch belongs to, and a discriminator of H's answers pulls the target's patches towards them.
Ours: H pools the prediction to the 2 x 2 cells of a patch, not to whole patches, so that it sees what the clusters are made
of; and it is trained by the discriminator's optimiser (Adam), while its gradients still reach the segmentor.
"""
from typing import TYPE_CHECKING

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from udatools.ops.clustering import nearest_centre, patch_grid, patch_label_histograms
from udatools.ops.losses import segmentation_cross_entropy
from udatools.registry import OBJECTIVES

from .adversarial import AdversarialAlignment

if TYPE_CHECKING:
    from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor

CELLS = 2  # of a patch, along each axis
OUT_OF_REACH = 2.0  # in every dimension: no histogram, all within [0, 1], is nearest to it


class PatchClassifier(nn.Module):
    """The categorisation module H: probabilities (B, C, H, W) -> scores of the modes (B, K, rows, columns)."""

    def __init__(self, num_classes: int, num_clusters: int, channels: int, patch_size: tuple[int, int]) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.layers = nn.Sequential(nn.Conv2d(num_classes, channels, CELLS, stride=CELLS), nn.LeakyReLU(0.2),
                                    nn.Conv2d(channels, num_clusters, 1))

    def forward(self, prob: Tensor) -> Tensor:
        """One vector of scores a patch."""
        rows, columns = patch_grid((prob.shape[2], prob.shape[3]), self.patch_size)
        return self.layers(F.adaptive_avg_pool2d(prob, (CELLS * rows, CELLS * columns)))


@OBJECTIVES.register_module()
class PatchAlignment(AdversarialAlignment):
    """Classification of source patches into modes, and adversarial alignment of the target's patches.

    Args:
        discriminator (dict): a ``PatchDiscriminator`` with as many input channels as there are clusters.
        num_classes (int): of the segmentor.
        num_clusters (int): K, the number of modes (50 in the paper), at most 255.
        patch_size (tuple[int, int]): height and width of a patch, in pixels of the training images.
        weight (float): of the generator's adversarial term.
        classifier_weight (float): of the classification of source patches.
        channels (int): of the categorisation module.
        head (str): whose prediction is aligned.
        gan (str): ``'bce'`` or ``'ls'``.
    """

    def __init__(self, discriminator: dict, *, num_classes: int, num_clusters: int = 50,
                 patch_size: tuple[int, int] = (32, 64), weight: float = 0.0005, classifier_weight: float = 0.01,
                 channels: int = 128, head: str = 'main', gan: str = 'bce') -> None:
        super().__init__(discriminator, weights={head: weight}, gan=gan)
        if not 2 <= num_clusters <= 255:
            raise ValueError(f'num_clusters is {num_clusters}; expected 2 to 255, the paper uses 50')
        if min(patch_size) < CELLS:
            raise ValueError(f'patch_size is {tuple(patch_size)}; expected at least {CELLS} pixels a side')
        self.num_classes, self.num_clusters, self.patch_size = num_classes, num_clusters, (patch_size[0], patch_size[1])
        self.classifier_weight = classifier_weight
        self.head = head
        self.patch_classifier = PatchClassifier(num_classes, num_clusters, channels, self.patch_size)
        self.register_buffer('centres', torch.full((num_clusters, CELLS * CELLS * num_classes), OUT_OF_REACH))
        self.has_centres = False

    def optimised_parts(self) -> dict[str, nn.Module]:
        """Discriminator and categorisation module, under the optimiser ``discriminator``."""
        parts = {'discriminators': self.discriminators, 'patch_classifier': self.patch_classifier}
        return {'discriminator': nn.ModuleDict(parts)}

    def set_centres(self, centres: Tensor) -> None:
        """Takes over the modes; where there are fewer than clusters, the rest stays out of reach.

        Args:
            centres (Tensor): float, (up to K, 4 C), mean histograms.
        """
        if centres.dim() != 2 or not 0 < len(centres) <= self.num_clusters or centres.shape[1] != self.centres.shape[1]:
            raise ValueError(f'centres have the shape {tuple(centres.shape)}; expected up to {self.num_clusters} of length '
                             f'{self.centres.shape[1]}: make them with the same classes and clusters')
        self.centres.fill_(OUT_OF_REACH)
        self.centres[:len(centres)].copy_(centres)
        self.has_centres = True

    def modes(self, label: Tensor) -> Tensor:
        """Mode of each patch: int64, (B, rows, columns), 0..K-1, 255 where a patch has no label; ``label`` is (B, H, W)."""
        grid = patch_grid((label.shape[1], label.shape[2]), self.patch_size)
        histograms, labelled = patch_label_histograms(label, self.num_classes, grid, CELLS)
        return nearest_centre(histograms, self.centres).masked_fill(~labelled, 255)

    def _patch_scores(self, domain: 'DomainBatch') -> Tensor:
        return self.patch_classifier(super()._representation(domain, self.head))

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_patch`` trains segmentor and H on the source, ``loss_adv_*`` both on the target, ``loss_dis_*`` D."""
        source = batch.domain('source', needed_by='PatchAlignment')
        target = batch.domain('target', needed_by='PatchAlignment')
        if not self.has_centres:
            raise RuntimeError('PatchAlignment has no patch modes; add a PatchModesHook to the custom_hooks of this stage')
        if source.label is None:
            raise ValueError('PatchAlignment needs labels on the source domain; use a labelled dataset')
        scores, modes = self._patch_scores(source), self.modes(source.label)
        losses = self._align(self.head, scores.softmax(1), self._patch_scores(target).softmax(1), model)
        correct = (scores.detach().argmax(1) == modes).sum() / (modes != 255).sum().clamp(min=1)
        return losses | {'loss_patch': self.classifier_weight * segmentation_cross_entropy(scores, modes),
                         'patch_accuracy': correct.float()}
