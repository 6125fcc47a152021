# SPDX-License-Identifier: Apache-2.0
"""Self-training that trusts its pseudo-labels only in part (TPLD, Shin et al., ECCV 2020, Sec. 3 and 4).

The target of the cross-entropy is a mixture of the pseudo-label and of what the model predicts itself (bootstrapping, Reed et
al., 2014), both relative to the class's threshold as in CBST. In the second phase a pixel without a pseudo-label has a soft one,
of every class. As for LRENT it is not stored: the frozen model of the round (the teacher) predicts the same augmented view.
"""
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from udatools.ops.losses import global_pixel_count
from udatools.registry import OBJECTIVES

from .base import Objective
from .soft_pseudo_label import read_thresholds

if TYPE_CHECKING:
    from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor


@OBJECTIVES.register_module()
class BootstrappedCE(Objective):
    r"""Cross-entropy with bootstrapped pseudo-labels.

    .. math:: L = -\frac{1}{|I|} \sum_{i \in I} \sum_c \left[\beta\, \hat y_{ic} + (1 - \beta)\, r_{ic}\right] \log r_{ic},
        \quad r_{ic} = p_{ic} / \theta_c

    with p the model's probabilities; the gradient flows through both places of r, as in Reed et al. I are the pixels with a
    pseudo-label, where :math:`\hat y` is 1 for the label's class. With ``soft_exponent`` I are all pixels, and those without a
    label have :math:`\hat y_{ic} = (q_{ic} / \theta_c)^\gamma`, q the teacher's probabilities. The mean runs over the global
    batch. The loss may be negative: a class of a low threshold has ratios above 1.

    Args:
        thresholds (str): ``thresholds.json`` of the round. Read at the first batch: ``PseudoLabelHook`` writes it after the
            model is built.
        domain (str): ``'target'`` or ``'source'``, whose labels are pseudo-labels then.
        beta (float): share of the pseudo-label, in [0, 1]; 1 is the plain cross-entropy, less the constant log theta.
        soft_exponent (float, optional): gamma, > 0; the paper's second phase: 2. Needs a teacher of the domain.
        heads (dict[str, float]): weight of each head's loss.
        loss_weight (float): of their sum.

    Raises:
        ValueError: for a value outside its range, a head that does not exist, a domain without labels, soft labels without a
            teacher, or thresholds of other classes.
        FileNotFoundError: if there is no ``thresholds`` file at the first batch.
    """

    def __init__(self, thresholds: str, *, domain: str = 'target', beta: float = 0.95, soft_exponent: float | None = None,
                 heads: dict[str, float] | None = None, loss_weight: float = 1.0) -> None:
        super().__init__()
        if domain not in ('source', 'target'):
            raise ValueError(f"domain is {domain!r}; expected 'source' or 'target'")
        if not 0 <= beta <= 1:
            raise ValueError(f'beta is {beta}; expected the share of the pseudo-label, in [0, 1]')
        if soft_exponent is not None and soft_exponent <= 0:
            raise ValueError(f'soft_exponent is {soft_exponent}; expected a number above 0, the paper uses 2, or None')
        self.thresholds, self.domain = thresholds, domain
        self.beta, self.soft_exponent = beta, soft_exponent
        self.heads = dict(heads or {'main': 1.0})
        self.loss_weight = loss_weight
        self.register_buffer('theta', None, persistent=False)  # of this round's file, never of a checkpoint

    def forward(self, batch: 'UDABatch', model: 'UDASegmentor') -> dict[str, Tensor]:
        """``loss_<head>`` for each head."""
        domain = batch.domain(self.domain, needed_by='BootstrappedCE')
        if domain.label is None:
            raise ValueError(f'BootstrappedCE has no pseudo-labels on the {self.domain} domain; give it a label_dir')
        if missing := self.heads.keys() - domain.logits.keys():
            raise ValueError(f'BootstrappedCE weighs the heads {sorted(missing)}, the model has {sorted(domain.logits)}')
        if self.theta is None:
            num_classes = next(iter(domain.logits.values())).shape[1]
            self.theta = read_thresholds(self.thresholds, num_classes, domain.inputs.device, needed_by='BootstrappedCE')
        known = domain.label != 255
        soft = self._soft_label(domain)
        count = global_pixel_count(known.sum() if soft is None else known.new_full((), known.numel(), dtype=torch.float32))
        losses: dict[str, Tensor] = {}
        for head, weight in self.heads.items():
            log_ratio = domain.logits[head].float().log_softmax(1) - self.theta.log()[:, None, None]
            of_label = log_ratio.gather(1, domain.label.masked_fill(~known, 0)[:, None])[:, 0]
            own = (log_ratio.exp() * log_ratio).sum(1)
            value = (self.beta * of_label + (1 - self.beta) * own) * known
            if soft is not None:
                value = value + (self.beta * (soft * log_ratio).sum(1) + (1 - self.beta) * own) * ~known
            losses[f'loss_{head}'] = -self.loss_weight * weight * value.sum() / count
        return losses

    def _soft_label(self, domain: 'DomainBatch') -> Tensor | None:
        """float32, (B, C, H, W), of the teacher; None where pixels without a label are left out."""
        if self.soft_exponent is None:
            return None
        if domain.teacher_prob is None:
            raise ValueError(f'BootstrappedCE makes soft labels of the predictions of a teacher on the {self.domain}; build the '
                             f"UDASegmentor with teacher=dict(momentum=1.0, domain='{self.domain}')")
        return (domain.teacher_prob / self.theta[:, None, None]).pow(self.soft_exponent)
