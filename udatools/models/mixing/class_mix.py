# SPDX-License-Identifier: Apache-2.0
"""Source classes pasted into target images, labelled by ground truth and teacher (DACS, Tranheden et al., WACV 2021).

Differs from the authors' code in that colours are changed by a gain and a shift a channel, not in hue and saturation.
"""
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from udatools.ops.mixing import IGNORE, class_mix_mask, confident_share, paste
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
    """

    def __init__(self, threshold: float = 0.968, *, jitter: float = 0.2, blur_sigma_px: float = 1.0) -> None:
        if not 0 <= threshold < 1:
            raise ValueError(f'threshold is {threshold}; expected a probability in [0, 1)')
        self.threshold = threshold
        self.jitter = jitter
        self.blur_sigma_px = blur_sigma_px

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
        confidence, prediction = target.teacher_prob.max(1)
        mask = class_mix_mask(source.label, target.teacher_prob.shape[1])
        weight = confident_share(confidence, self.threshold)[:, None, None].expand_as(confidence)
        if target.label is not None:
            known = target.label != IGNORE
            prediction = torch.where(known, target.label, prediction)
            weight = torch.where(known, torch.ones_like(weight), weight)
        return (self._augment(paste(mask, source.inputs, target.inputs)), paste(mask, source.label, prediction),
                paste(mask, torch.ones_like(weight), weight))

    def _augment(self, images: Tensor) -> Tensor:
        shape, device = (len(images), images.shape[1], 1, 1), images.device
        gain = 1 + self.jitter * (2 * torch.rand(shape, device=device) - 1)
        shift = self.jitter * (2 * torch.rand(shape, device=device) - 1)
        images = images * gain + shift
        if self.blur_sigma_px:
            sharp = torch.rand(len(images), 1, 1, 1, device=device) < 0.5
            images = torch.where(sharp, images, gaussian_blur(images, [5, 5], [self.blur_sigma_px, self.blur_sigma_px]))
        return images
