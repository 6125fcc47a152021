# SPDX-License-Identifier: Apache-2.0
"""A prior of segmentations given the image: the ecological prior of PCEDA (Yang, Lao, Sundaramoorthi, Soatto, CVPR 2020).

A conditional prior network (after Yang and Soatto, ECCV 2018) squeezes a segmentation through a narrow bottleneck and
reconstructs it with the image in view: what the image makes likely survives, what it does not is lost. It is trained on source
labels whose classes are permuted at random, so that it learns shapes and not which class is common; on the target, its
reconstruction of a prediction is the prediction's pseudo-label. Ours: a small network that is trained beside the segmentor, by
the discriminator's optimiser, where the authors train a U-Net ahead and freeze it.
"""
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from udatools.ops.losses import segmentation_cross_entropy
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


def _down(before: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.2))


class ConditionalPriorNetwork(nn.Module):
    """Segmentation (B, C, h, w) and image (B, 3, h, w) -> logits of the reconstruction (B, C, h, w).

    The segmentation passes the bottleneck alone; the image joins at every scale of the decoder.

    Args:
        num_classes (int): C.
        channels (Sequence[int]): of the image's encoder and the decoder; each halves the size once more.
        bottleneck (int): channels that the segmentation is squeezed to, at the smallest size.
    """

    def __init__(self, num_classes: int, channels: Sequence[int], bottleneck: int) -> None:
        super().__init__()
        widths = list(channels)
        self.encoder = nn.Sequential(*(_down(a, b) for a, b in zip([num_classes, *widths], widths)),
                                     nn.Conv2d(widths[-1], bottleneck, 1))
        self.image_encoder = nn.ModuleList(_down(a, b) for a, b in zip([3, *widths], widths))
        decoder, before = [], bottleneck
        for width in reversed(widths):
            decoder.append(nn.Sequential(nn.Conv2d(before + width, width, 3, padding=1), nn.LeakyReLU(0.2)))
            before = width
        self.decoder = nn.ModuleList(decoder)
        self.classifier = nn.Conv2d(widths[0] + 3, num_classes, 3, padding=1)

    def forward(self, segmentation: Tensor, image: Tensor) -> Tensor:
        """See the class."""
        seen, views = image, []
        for layer in self.image_encoder:
            seen = layer(seen)
            views.append(seen)
        decoded = self.encoder(segmentation)
        for layer, view in zip(self.decoder, views[::-1]):
            decoded = layer(torch.cat([_resized(decoded, view), view], 1))
        return self.classifier(torch.cat([_resized(decoded, image), image], 1))


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, like.shape[2:], mode='bilinear', align_corners=False)


@OBJECTIVES.register_module()
class ConditionalPrior(Objective):
    r"""Trains a conditional prior h on source labels, and labels target predictions p with what it makes of them.

    .. math:: \hat y = \arg\max_c h_c(\text{onehot}(\arg\max p), x), \qquad
              L = w \cdot \frac{1}{|x|} \sum_{i \in x} -\log p_{i, \hat y_i}

    on the target, for every pixel; no gradient passes through the labels. p of the labels is the prediction of the model's
    teacher where it has one, or that of the segmentor. Without a teacher each correction is learned and corrected again: what h
    gives back a little smaller, thin things, shrinks until it is gone.

    Args:
        num_classes (int): C.
        weight (float): w, of the target's term; 0 trains the prior alone (a stage ahead).
        stride (int): the prior sees segmentations and images averaged over squares of this many pixels.
        channels (Sequence[int]): of the prior's encoders and decoder, see :class:`ConditionalPriorNetwork`.
        bottleneck (int): channels of its bottleneck.
        head (str): whose prediction.

    Raises:
        ValueError: for a weight below 0, a stride below 1 or no channels; in training for a source without labels.
    """

    def __init__(self, num_classes: int, *, weight: float, stride: int = 1, channels: Sequence[int] = (32, 64, 128),
                 bottleneck: int = 16, head: str = 'main') -> None:
        super().__init__()
        if weight < 0 or stride < 1 or not channels:
            raise ValueError(f'weight={weight}, stride={stride}, channels={list(channels)}; expected a weight >= 0, a stride '
                             'of 1 pixel or more and one or more numbers of channels')
        self.num_classes, self.weight, self.stride, self.head = num_classes, weight, stride, head
        self.prior = ConditionalPriorNetwork(num_classes, channels, bottleneck)

    def optimised_parts(self) -> dict[str, nn.Module]:
        """The prior, under the optimiser ``discriminator``."""
        return {'discriminator': nn.ModuleDict({'prior': self.prior})}

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_fit`` trains the prior, ``loss_prior`` the segmentor.

        ``prior_accuracy``: portion of source labels that the prior gives back; ``changed``: of target pixels whose class it
        changes.
        """
        source = batch.domain('source', needed_by='ConditionalPrior')
        if source.label is None:
            raise ValueError('ConditionalPrior learns from labels of the source; use a labelled dataset')
        outputs = self._fit(source.inputs, source.label)
        if self.weight == 0:
            return outputs
        target = batch.domain('target', needed_by='ConditionalPrior')
        logits = target.logits[self.head]
        predicted = (logits.detach() if target.teacher_prob is None else target.teacher_prob).argmax(1)
        with torch.no_grad():
            label = self.reconstruct(predicted, target.inputs).argmax(1)
        return outputs | {'loss_prior': self.weight * segmentation_cross_entropy(logits, label),
                          'changed': (label != predicted).float().mean()}

    def reconstruct(self, label: Tensor, inputs: Tensor) -> Tensor:
        """What the prior makes of a segmentation.

        Args:
            label (Tensor): int64, (B, H, W), 0..C-1, 255 = not known.
            inputs (Tensor): float, (B, 3, H, W), normalised images.

        Returns:
            Tensor: float, (B, C, H, W), logits.
        """
        classes = F.one_hot(label.masked_fill(label == 255, self.num_classes), self.num_classes + 1)[..., :self.num_classes]
        logits = self.prior(self._pooled(classes.movedim(-1, 1).to(inputs.dtype)), self._pooled(inputs))
        return _resized(logits, inputs)

    def _pooled(self, maps: Tensor) -> Tensor:
        return F.avg_pool2d(maps, self.stride, ceil_mode=True)

    def _fit(self, inputs: Tensor, label: Tensor) -> dict[str, Tensor]:
        known = label != 255
        permuted = torch.rand(len(label), self.num_classes).argsort(1).to(label.device)  # of classes, of each image its own
        label = torch.where(known, permuted.gather(1, label.masked_fill(~known, 0).flatten(1)).view_as(label), label)
        logits = self.reconstruct(label, inputs)
        correct = (logits.detach().argmax(1) == label).sum() / known.sum().clamp_min(1)
        return {'loss_fit': segmentation_cross_entropy(logits, label), 'prior_accuracy': correct.float()}
