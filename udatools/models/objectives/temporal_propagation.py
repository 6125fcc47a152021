# SPDX-License-Identifier: Apache-2.0
"""Predictions of an earlier frame, brought to the current one by optical flow, as targets: DA-VSN and TPS.

``IntraDomainConsistency`` is the intra-domain temporal consistency regularisation of DA-VSN (Guan et al., ICCV 2021);
``CrossFramePseudoLabel`` is the cross-frame pseudo-labelling of TPS (Xing et al., ECCV 2022). The key frame of a target clip is
the current frame, its references are the earlier ones, and flow goes from the key frame to each of them, so that they are warped
backward. Differs from the authors' code in that all frames go through the network in one forward pass (theirs predict the earlier
frame in a pass of its own, without a gradient; here it is detached), and that the network sees single frames (theirs fuses two).
"""
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from udatools.ops.losses import global_pixel_count, segmentation_cross_entropy
from udatools.ops.mixing import IGNORE
from udatools.ops.warp import warp, warp_labels
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


def _frame_pairs(batch: 'UDABatch', head: str, needed_by: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The key frames of the target, each with each of its references: N = B (T - 1) pairs, clip after clip.

    Returns:
        tuple[Tensor, Tensor, Tensor, Tensor]: logits of the key frame, float, (N, C, H, W); probabilities of the reference,
        float32, (N, C, H, W), without a gradient; flow from the key frame to the reference, float32, (N, 2, H, W), in pixels;
        bool, (N, H, W), where that flow is known and there is a reference.
    """
    target = batch.domain('target', needed_by=needed_by)
    flow, known = target.known_flow(needed_by)
    if head not in target.logits:
        raise ValueError(f"{needed_by} reads the head '{head}', the model has {sorted(target.logits)}")
    logits = target.clips(target.logits[head])
    key = logits[:, :1].expand(-1, target.clip_length - 1, -1, -1, -1)
    if target.frame_valid is not None:
        known = known & target.frame_valid[:, 1:, None, None]
    reference = logits[:, 1:].detach().flatten(0, 1).float().softmax(1)
    return key.flatten(0, 1), reference, flow.flatten(0, 1), known.flatten(0, 1)


@OBJECTIVES.register_module()
class IntraDomainConsistency(Objective):
    r"""Uncertain predictions of the key frame follow what was predicted earlier with less entropy (DA-VSN, intra-domain TCR).

    .. math:: L = \frac{1}{|R|} \sum_{i \in R} \|p_i - \hat p_i\|_1, \quad R = \{i: E(\hat p_i) < E(p_i)\}

    with p the prediction of the key frame, :math:`\hat p` that of the reference warped onto it, bilinearly and without a
    gradient, and E the entropy. Pixels whose flow is unknown, or leads outside of the reference, are not in R. The mean is over
    the pixels of the global batch and over the references.

    Args:
        weight (float): of the loss. Default: 0.001, the authors' ``lamda_u``.
        head (str): whose softmax is meant.

    Raises:
        ValueError: in training, when the target has no clips, no flow or the model no such head.
    """

    def __init__(self, weight: float = 0.001, *, head: str = 'main') -> None:
        super().__init__()
        self.weight, self.head = weight, head

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_l1``; to watch, the same unweighted (``distance``, in [0, 2]) and the share of pixels in R (``followed``)."""
        logits, reference, flow, known = _frame_pairs(batch, self.head, 'IntraDomainConsistency')
        prob = logits.float().softmax(1)
        with torch.no_grad():
            propagated, inside = warp(reference, flow)
            surer = torch.special.entr(propagated).sum(1) < torch.special.entr(prob).sum(1)
            followed = known & inside & surer
        distance = ((prob - propagated).abs().sum(1) * followed).sum() / global_pixel_count(followed.sum())
        return {'loss_l1': self.weight * distance, 'distance': distance.detach(), 'followed': followed.float().mean()}


@OBJECTIVES.register_module()
class CrossFramePseudoLabel(Objective):
    r"""Cross-entropy of the key frame against the classes that were predicted earlier (TPS, cross-frame pseudo-labelling).

    .. math:: L = -\frac{1}{|M|} \sum_{i \in M} [\hat q_i \ge \tau] \log p_i(\hat y_i), \quad
              \hat y = W(\arg\max_c p'_c), \; \hat q = W(\max_c p'_c)

    with p' the prediction of the reference, W warping to the nearest pixel (classes are copied, never mixed), and M the pixels
    whose flow is known and leads into the reference. Uncertain pixels count as 0, as in FixMatch, instead of leaving the whole
    weight to a few certain ones; the mean is over the pixels of the global batch and over the references. The augmentation that
    the prediction must withstand is the data set's, on the key frame alone: ``ClipPhotometric(key_only=True)``.

    Args:
        weight (float): of the loss. Default: 1.
        threshold (float): tau, in [0, 1); 0 takes every label.
        head (str): that predicts.

    Raises:
        ValueError: for a threshold out of range; in training, when the target has no clips, no flow or the model no such head.
    """

    def __init__(self, weight: float = 1.0, *, threshold: float = 0.9, head: str = 'main') -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise ValueError(f'threshold is {threshold}; expected a probability in [0, 1), 0 takes every label')
        self.weight, self.threshold, self.head = weight, threshold, head

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_ce``, and ``kept``, the share of labels that are certain enough, to watch."""
        logits, reference, flow, known = _frame_pairs(batch, self.head, 'CrossFramePseudoLabel')
        with torch.no_grad():
            confidence, predicted = reference.max(1)
            label = warp_labels(predicted, flow, IGNORE).masked_fill(~known, IGNORE)
            certain = warp(confidence[:, None], flow, mode='nearest')[0][:, 0] >= self.threshold
            usable = label != IGNORE
        value = segmentation_cross_entropy(logits, label, pixel_weight=certain.float())
        return {'loss_ce': self.weight * value, 'kept': (certain & usable).sum() / usable.sum().clamp(min=1)}
