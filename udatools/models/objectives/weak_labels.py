# SPDX-License-Identifier: Apache-2.0
"""Domain adaptation with image-level labels of the target (WDA: Paul et al., ECCV 2020).

Tags are people's answers (the file that ``ActiveLabelingHook`` writes from the label ledger), or what the network itself finds in
an image (the paper's pseudo-weak labels). They say which classes the network must find (Eq. 2), and which categories of the two
domains are aligned (Eq. 4, 5). Both terms of the alignment belong to one sum, see ``AdversarialAlignment``.
"""
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from udatools.ops.losses import domain_classification_loss
from udatools.ops.weak_labels import category_features, classes_present, smooth_max
from udatools.registry import MODELS, OBJECTIVES

from .base import Objective, call_frozen

if TYPE_CHECKING:
    from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor


class WeakLabelObjective(Objective):
    """Base class: the tags of target images.

    Args:
        tags (str | None): JSON file ``{"classes": [...], "images": {key: [train ids]}}``, read at the first batch; images that it
            does not name teach nothing. None: the classes that the network finds in the image.
        threshold (float): without tags: probability of the image, in (0, 1), above which a class counts as found.
        k (float): of :func:`udatools.ops.weak_labels.smooth_max`.

    Raises:
        ValueError: for numbers out of range, or tags of other classes than the model's.
        FileNotFoundError: if there is no such file at the first batch.
    """

    def __init__(self, tags: str | None, threshold: float, k: float) -> None:
        super().__init__()
        if not 0 < threshold < 1 or k <= 0:
            raise ValueError(f'threshold={threshold}, k={k}; expected a probability in (0, 1) and a number above 0')
        self.tags, self.threshold, self.k = tags, threshold, k
        self._of_image: dict[str, list[int]] | None = None

    def _read(self, path: Path, num_classes: int) -> dict[str, list[int]]:
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist; {type(self).__name__} needs the tags that an ActiveLabelingHook '
                                    'with tag_file writes, or tags=None')
        content = json.loads(path.read_text(encoding='utf-8'))
        if len(content['classes']) != num_classes:
            raise ValueError(f'{path} has tags of {len(content["classes"])} classes, the model has {num_classes}; ask with the '
                             "model's classes")
        return content['images']

    def tags_of(self, target: 'DomainBatch', pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Tags of a batch.

        Args:
            target (DomainBatch): the images.
            pooled (Tensor): float32, (B, C), smooth maxima of the logits.

        Returns:
            tuple[Tensor, Tensor]: tags, float32, (B, C), 0 or 1, and whether the image has any, float32, (B, 1).
        """
        if self.tags is None:
            return (pooled.detach().sigmoid() > self.threshold).float(), torch.ones_like(pooled[:, :1])
        if self._of_image is None:
            self._of_image = self._read(Path(self.tags), pooled.shape[1])
        if not target.keys:
            raise ValueError(f"{type(self).__name__} looks tags up by the image's key; the pipeline must pack 'key' (meta_keys)")
        rows = [[float(tag in self._of_image.get(key, ())) for tag in range(pooled.shape[1])] for key in target.keys]
        known = [[float(key in self._of_image)] for key in target.keys]
        return torch.tensor(rows, device=pooled.device), torch.tensor(known, device=pooled.device)


@OBJECTIVES.register_module()
class WeakLabelClassification(WeakLabelObjective):
    r"""Binary cross-entropy of the image-level probabilities, summed over the classes, mean over the images (Eq. 1, 2).

    .. math:: L_c = -\sum_c y^c \log p^c + (1 - y^c) \log (1 - p^c), \quad
        p^c = \sigma\left(\frac{1}{k} \log \frac{1}{HW} \sum_i e^{k A_i^c}\right)

    Args:
        tags (str | None): see :class:`WeakLabelObjective`; the images must be whole, not cropped.
        threshold (float): see there; the paper's 0.2.
        k (float): see there; the paper's 1.
        loss_weight (float): the paper's 0.2 with tags of people, 0.01 with the network's own.
    """

    def __init__(self, tags: str | None = None, *, threshold: float = 0.2, k: float = 1.0, loss_weight: float = 0.2) -> None:
        super().__init__(tags, threshold, k)
        self.loss_weight = loss_weight

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_tags``, and the mean number of ``classes`` in an image to watch."""
        target = batch.domain('target', needed_by='WeakLabelClassification')
        pooled = smooth_max(target.logits['main'], self.k)
        tags, known = self.tags_of(target, pooled)
        loss = (F.binary_cross_entropy_with_logits(pooled, tags, reduction='none') * known).sum() / len(tags)
        return {'loss_tags': self.loss_weight * loss, 'classes': tags.sum(1).mean()}


@OBJECTIVES.register_module()
class CategoryAlignment(WeakLabelObjective):
    """Adversarial alignment of the features of each category that an image holds (Eq. 3 to 5).

    The source's categories are those of its labels. Sums over the classes, means over the images.

    Args:
        discriminator (dict): a ``CategoryDiscriminators`` with the channels of the aligned features and the model's classes.
        tags (str | None): see :class:`WeakLabelObjective`; the images must be whole, not cropped.
        weight (float): of the generator's term; the paper's 0.001.
        level (int): index of the backbone's output that is aligned.
        threshold (float): as of ``WeakLabelClassification``.
        k (float): as of ``WeakLabelClassification``.
        gan (str): ``'bce'`` or ``'ls'``.
    """

    def __init__(self, discriminator: dict, *, tags: str | None = None, weight: float = 0.001, level: int = -1,
                 threshold: float = 0.2, k: float = 1.0, gan: str = 'bce') -> None:
        super().__init__(tags, threshold, k)
        self.discriminators = MODELS.build(discriminator)
        self.weight, self.level, self.gan = weight, level, gan

    def optimised_parts(self) -> dict[str, nn.Module]:
        """The discriminators, under the optimiser ``discriminator``."""
        return {'discriminator': self.discriminators}

    def _features(self, domain: 'DomainBatch', model: 'UDASegmentor') -> Tensor:
        """(B, C, D), pooled by the logits at the size of the features."""
        features = domain.features[self.level]
        return category_features(features, model.upsample(domain.logits['main'], features.shape[2:]))

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_adv`` trains the segmentor, ``loss_dis`` the discriminators."""
        source = batch.domain('source', needed_by='CategoryAlignment')
        target = batch.domain('target', needed_by='CategoryAlignment')
        if source.label is None:
            raise ValueError('CategoryAlignment needs labels on the source domain; use a labelled dataset')
        of_source, of_target = self._features(source, model), self._features(target, model)
        in_source = classes_present(source.label, of_source.shape[1])
        in_target = self.tags_of(target, smooth_max(target.logits['main'], self.k))[0]

        def loss(score: Tensor, is_target: bool, present: Tensor) -> Tensor:
            return domain_classification_loss(score, is_target, self.gan, present) * present.shape[1]

        fooled = loss(call_frozen(self.discriminators, of_target), False, in_target)
        apart = (loss(self.discriminators(of_source.detach()), False, in_source)
                 + loss(self.discriminators(of_target.detach()), True, in_target))
        return {'loss_adv': self.weight * fooled, 'loss_dis': apart}
