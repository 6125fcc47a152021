# SPDX-License-Identifier: Apache-2.0
"""Source classes pasted into target images, labelled by ground truth and teacher (DACS, Tranheden et al., WACV 2021).

Differs from the authors' code in that colours are changed by a gain and a shift a channel, not in hue and saturation, and in that
the share of confident pixels is an image's own (paper), not the batch's.
"""
import torch
from torch import Tensor

from udatools.ops.colour import random_colour
from udatools.ops.mixing import class_mix_mask, paste, teacher_label
from udatools.registry import MODELS

from ..segmentors.batch import UDABatch


@MODELS.register_module()
class ClassMix:
    """Makes the third domain of a batch, ``mixed``, from the other two and the teacher's prediction.

    Where the target has labels (a person's answers, say) they hold and weigh 1; the teacher labels the rest.

    Args:
        threshold (float): teacher pixels weigh the share of the image that is predicted with more than this probability.
        jitter (float): gain and shift of each colour channel of a mixed image are drawn from ``1 +- jitter`` and
            ``+- jitter``, in units of the normalised image.
        blur_sigma_px (float): standard deviation of the blur that every second image, drawn at random, gets; 0 = none.
        ignore_rows (tuple[int, int]): rows at the top and at the bottom of the target images where the teacher is not
            believed: its labels weigh 0. DAFormer has (15, 120) of 512, for what rectification leaves and for the bonnet.

    Raises:
        ValueError: for a threshold or numbers of rows out of range.
    """

    def __init__(self, threshold: float = 0.968, *, jitter: float = 0.2, blur_sigma_px: float = 1.0,
                 ignore_rows: tuple[int, int] = (0, 0)) -> None:
        if not 0 <= threshold < 1:
            raise ValueError(f'threshold is {threshold}; expected a probability in [0, 1)')
        if len(ignore_rows) != 2 or min(ignore_rows) < 0:
            raise ValueError(f'ignore_rows is {ignore_rows}; expected two numbers of rows >= 0, at the top and at the bottom')
        self.threshold = threshold
        self.jitter = jitter
        self.blur_sigma_px = blur_sigma_px
        self.ignore_rows = (int(ignore_rows[0]), int(ignore_rows[1]))

    def __call__(self, batch: UDABatch) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs float (B, 3, H, W), label int64 (B, H, W) and pixel weight float32 (B, H, W) of the mixed images.

        Raises:
            ValueError: when a domain or the teacher is missing, or the sizes differ.
        """
        source = batch.domain('source', needed_by='ClassMix')
        target = batch.domain('target', needed_by='ClassMix')
        if target.teacher_prob is None:
            raise ValueError('ClassMix needs the predictions of a teacher; add teacher=dict() to the UDASegmentor')
        if source.label is None or source.inputs.shape != target.inputs.shape:
            raise ValueError(f'ClassMix needs a labelled source and batches of one shape, got {tuple(source.inputs.shape)} and '
                             f'{tuple(target.inputs.shape)}; crop both domains to one size')
        mask = class_mix_mask(source.label, target.teacher_prob.shape[1])
        label, weight = teacher_label(target.teacher_prob, self.threshold, known=target.label, ignore_rows=self.ignore_rows)
        images = random_colour(paste(mask, source.inputs, target.inputs), jitter=self.jitter, blur_sigma_px=self.blur_sigma_px)
        return images, paste(mask, source.label, label), paste(mask, torch.ones_like(weight), weight)
