# SPDX-License-Identifier: Apache-2.0
"""Masked image consistency (MIC: Hoyer, Dai, Wang, Van Gool, CVPR 2023): predict what is hidden from what is around it.

Differs from the authors' code in that the share of confident pixels is an image's own (paper), not the batch's, and that colours
are changed by a gain and a shift a channel.
"""
from typing import TYPE_CHECKING

from torch import Tensor

from udatools.ops.colour import random_colour
from udatools.ops.losses import segmentation_cross_entropy
from udatools.ops.masking import random_patch_mask
from udatools.ops.mixing import teacher_label
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


@OBJECTIVES.register_module()
class MaskedConsistency(Objective):
    r"""Cross-entropy of the student on masked target images against the teacher's labels of the whole images (Eq. 6, 7).

    .. math:: L = -\frac{1}{N} \sum_i q_i \log p_{\theta, i}(\hat y_i), \quad \hat y_i = \arg\max_c p_{\phi, i, c}

    with q the share of an image's pixels that the teacher predicts with more than ``threshold``. Costs one more forward and
    backward pass of the target. Masked pixels are 0, the mean of normalised images. Where the target has labels they hold and
    weigh 1. Of clips every frame has a mask of its own.

    Args:
        block (int): side of the squares that are hidden or not, in pixels.
        ratio (float): probability that a square is hidden, in (0, 1].
        threshold (float): see ``q``.
        jitter (float): as of ``ClassMix``, changes the colours of the masked images; 0 = none.
        blur_sigma_px (float): as of ``ClassMix``.
        ignore_rows (tuple[int, int]): as of ``ClassMix``.
        loss_weight (float): of the loss.

    Raises:
        ValueError: for numbers out of range, or when the model has no teacher.
    """

    def __init__(self, *, block: int = 64, ratio: float = 0.7, threshold: float = 0.968, jitter: float = 0.2,
                 blur_sigma_px: float = 1.0, ignore_rows: tuple[int, int] = (0, 0), loss_weight: float = 1.0) -> None:
        super().__init__()
        if block < 1 or not 0 < ratio <= 1:
            raise ValueError(f'block={block}, ratio={ratio}; expected a side in pixels >= 1 and a probability in (0, 1]')
        if not 0 <= threshold < 1 or min(ignore_rows) < 0 or len(ignore_rows) != 2:
            raise ValueError(f'threshold={threshold}, ignore_rows={ignore_rows}; expected a probability in [0, 1) and two '
                             'numbers of rows >= 0, at the top and at the bottom')
        self.block, self.ratio = int(block), ratio
        self.threshold = threshold
        self.jitter, self.blur_sigma_px = jitter, blur_sigma_px
        self.ignore_rows = (int(ignore_rows[0]), int(ignore_rows[1]))
        self.loss_weight = loss_weight

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_main``."""
        target = batch.domain('target', needed_by='MaskedConsistency')
        if target.teacher_prob is None:
            raise ValueError('MaskedConsistency needs the predictions of a teacher; add teacher=dict() to the UDASegmentor')
        label, weight = teacher_label(target.teacher_prob, self.threshold, known=target.label, ignore_rows=self.ignore_rows)
        images = random_colour(target.inputs, jitter=self.jitter, blur_sigma_px=self.blur_sigma_px)
        seen = random_patch_mask(tuple(label.shape), self.block, self.ratio, label.device)
        masked = model.forward_made(images * seen[:, None], label, weight)
        return {'loss_main': self.loss_weight * segmentation_cross_entropy(masked.logits['main'], label, pixel_weight=weight)}
