# SPDX-License-Identifier: Apache-2.0
"""Learning from scale-invariant examples (LSE: Subhani and Ali, ECCV 2020): patches keep their labels when they are scaled up.

The network is less certain of a patch that is scaled up than of the same pixels in their image. So the pseudo-labels of the most
confident images teach it what their patches show.
"""
import json
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from udatools.ops.losses import segmentation_cross_entropy
from udatools.ops.patches import scaled_patches
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


def most_confident(difficulty: Mapping[str, float], portion: float) -> frozenset[str]:
    """The ``portion`` of the images, rounded up, that are easiest; of equal ones the first by key."""
    ranked = sorted(difficulty, key=lambda key: (difficulty[key], key))
    return frozenset(ranked[:ceil(round(portion * len(ranked), 9))])


@OBJECTIVES.register_module()
class ScaleInvariantPatches(Objective):
    """Cross-entropy or focal loss on patches of target images, scaled up to the size of the image, with its pseudo-labels.

    Costs one more forward and backward pass of the target. An image that is not among the most confident ones, and a pixel
    without a pseudo-label, teach nothing.

    Args:
        pseudo_labels (str): folder of the round, read at the first batch: ``PseudoLabelHook`` writes it after the model is built.
            Its images must be ranked: by mean entropy with ``ranking=dict(type='EntropyRanking')``.
        portion (float | None): share of the images that are taken, in (0, 1]; None: that which the policy of the round keeps of
            the pixels of each class.
        scale (float): magnification, above 1: a patch is 1 / scale as high and wide as its image.
        gamma (float): of the focal loss, see ``SegmentationCE``; 0 is cross-entropy.
        loss_weight (float): of the loss.

    Raises:
        ValueError: for numbers out of range; in training for a target without labels or identities, or one that the file does not
            know.
        FileNotFoundError: if the folder lacks ``split.json`` at the first batch.
    """

    def __init__(self, pseudo_labels: str, *, portion: float | None = None, scale: float = 2.0, gamma: float = 0.0,
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        if portion is not None and not 0 < portion <= 1:
            raise ValueError(f'portion is {portion}; expected a share in (0, 1], or None for that of the policy')
        if scale <= 1:
            raise ValueError(f'scale is {scale}; expected a magnification above 1, such as 2')
        self.folder, self.portion = Path(pseudo_labels), portion
        self.scale, self.gamma, self.loss_weight = float(scale), gamma, loss_weight
        self._known: frozenset[str] = frozenset()
        self._chosen: frozenset[str] | None = None

    def _is_chosen(self, keys: tuple[str, ...]) -> list[bool]:
        if self._chosen is None:
            path = self.folder / 'split.json'
            if not path.is_file():
                raise FileNotFoundError(f'{path} does not exist; ScaleInvariantPatches needs to know how certain each image is, '
                                        'which the PseudoLabelHook of its own stage writes with a ranking')
            difficulty = json.loads(path.read_text(encoding='utf-8'))['difficulty']
            self._known, self._chosen = frozenset(difficulty), most_confident(difficulty, self._portion())
        if not keys or not self._known.issuperset(keys):
            raise ValueError(f'the target images are {list(keys[:2])}..., {self.folder} is about others; the pipeline must '
                             "pack 'key' (meta_keys), and the pseudo-labels must be of the same images")
        return [key in self._chosen for key in keys]

    def _portion(self) -> float:
        if self.portion is not None:
            return self.portion
        policy = json.loads((self.folder / 'thresholds.json').read_text(encoding='utf-8'))['policy']
        if 'portion' not in policy:
            raise ValueError(f'the pseudo-labels in {self.folder} are of {policy["type"]}, which has no portion; give portion=')
        return float(policy['portion'])

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_main``, and the share of ``chosen`` images to watch."""
        target = batch.domain('target', needed_by='ScaleInvariantPatches')
        if target.label is None:
            raise ValueError('ScaleInvariantPatches has no pseudo-labels on the target domain; give the target a label_dir')
        chosen = torch.tensor(self._is_chosen(target.keys), device=target.label.device)
        images, label = scaled_patches(target.inputs, target.label, self.scale)
        label = label.masked_fill(~chosen[:, None, None], 255)
        patches = model.forward_made(images, label, torch.ones_like(label, dtype=torch.float32))
        loss = segmentation_cross_entropy(patches.logits['main'], label, gamma=self.gamma)
        return {'loss_main': self.loss_weight * loss, 'chosen': chosen.float().mean()}
