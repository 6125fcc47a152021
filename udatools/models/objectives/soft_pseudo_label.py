# SPDX-License-Identifier: Apache-2.0
"""Self-training on soft pseudo-labels: label-regularised LRENT (CRST, Zou et al., ICCV 2019, Sec. 4.2).

The label that minimises ``-sum_c y_c log(p_c / theta_c) - alpha H(y)`` is a softened, class-balanced prediction. The
authors' code writes it to disk, one file of 19 channels an image, before each round. Here the frozen model of the round
(the teacher, momentum 1) predicts the same augmented view again and the soft label is computed there: nothing to store,
nothing to interpolate when the image is rescaled.
"""
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from udatools.ops.losses import global_pixel_count
from udatools.registry import OBJECTIVES

from .base import Objective

if TYPE_CHECKING:
    from udatools.models.segmentors import UDABatch, UDASegmentor


def soft_pseudo_label(prob_bchw: Tensor, theta: Tensor, alpha: float) -> Tensor:
    r"""Soft labels :math:`y_c \propto (p_c / \theta_c)^{1 / \alpha}`.

    Args:
        prob_bchw (Tensor): float32, (B, C, H, W), probabilities.
        theta (Tensor): float32, (C,), thresholds, > 0.
        alpha (float): temperature, > 0; towards 0 the label becomes the hard one.

    Returns:
        Tensor: float32, (B, C, H, W), sums to 1 over C.
    """
    return ((prob_bchw.log() - theta.log()[:, None, None]) / alpha).softmax(1)


def read_thresholds(path: str | Path, num_classes: int, device: torch.device, *, needed_by: str) -> Tensor:
    """The final thresholds of a round: float32, (C,).

    Args:
        path (str | Path): ``thresholds.json``.
        num_classes (int): C of the model.
        device (torch.device): where they are needed.
        needed_by (str): name of the objective, for the message.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another number of classes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; {needed_by} needs the thresholds that the PseudoLabelHook of its own '
                                'stage writes')
    theta = list(json.loads(path.read_text(encoding='utf-8'))['final'].values())
    if len(theta) != num_classes:
        raise ValueError(f'{path} has thresholds of {len(theta)} classes, the model has {num_classes}; '
                         'generate the pseudo-labels again with this model')
    return torch.tensor(theta, dtype=torch.float32, device=device)


@OBJECTIVES.register_module()
class SoftPseudoLabelCE(Objective):
    r"""Cross-entropy with soft labels of the teacher, on the target pixels that have a pseudo-label.

    .. math:: L = -\frac{1}{|\{i: y_i \ne 255\}|} \sum_{i: y_i \ne 255} \sum_c \hat y_{ic} \log q_{ic}, \quad
        \hat y_{ic} \propto (p_{ic} / \theta_c)^{1 / \alpha}

    with q the student's and p the teacher's probabilities; the mean runs over the global batch. Needs a model with a
    teacher: ``teacher=dict(momentum=1.0)`` for the model of the round.

    Args:
        thresholds (str): ``thresholds.json`` of the round. Read at the first batch: ``PseudoLabelHook`` writes it after the
            model is built.
        alpha (float): of the entropy that regularises the label, > 0. The paper's LRENT: 0.25.
        heads (dict[str, float]): weight of each head's loss.
        loss_weight (float): of their sum.

    Raises:
        ValueError: for an ``alpha`` that is not positive, a head that does not exist, a model without a teacher, a
            training set without pseudo-labels, or thresholds of other classes.
        FileNotFoundError: if there is no ``thresholds`` file at the first batch.
    """

    def __init__(self, thresholds: str, *, alpha: float = 0.25, heads: dict[str, float] | None = None,
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        if alpha <= 0:
            raise ValueError(f'alpha is {alpha}; expected a number above 0, the paper uses 0.25')
        self.thresholds = thresholds
        self.alpha = alpha
        self.heads = dict(heads or {'main': 1.0})
        self.loss_weight = loss_weight
        self.register_buffer('theta', None, persistent=False)  # of this round's file, never of a checkpoint

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_<head>`` for each head."""
        target = batch.domain('target', needed_by='SoftPseudoLabelCE')
        if target.label is None:
            raise ValueError('SoftPseudoLabelCE has no pseudo-labels on the target domain; give the target a label_dir')
        if target.teacher_prob is None:
            raise ValueError('SoftPseudoLabelCE needs the predictions of a teacher; build the UDASegmentor with '
                             'teacher=dict(momentum=1.0)')
        if missing := self.heads.keys() - target.logits.keys():
            raise ValueError(f'SoftPseudoLabelCE weighs the heads {sorted(missing)}, the model has {sorted(target.logits)}')
        if self.theta is None:
            self.theta = read_thresholds(self.thresholds, target.teacher_prob.shape[1], target.inputs.device,
                                         needed_by='SoftPseudoLabelCE')
        soft_label = soft_pseudo_label(target.teacher_prob, self.theta, self.alpha)
        kept = target.label != 255
        count = global_pixel_count(kept.sum())
        losses: dict[str, Tensor] = {}
        for head, weight in self.heads.items():
            cross_entropy = -(soft_label * target.logits[head].float().log_softmax(1)).sum(1)
            losses[f'loss_{head}'] = self.loss_weight * weight * (cross_entropy * kept).sum() / count
        return losses
