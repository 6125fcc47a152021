# SPDX-License-Identifier: Apache-2.0
"""Dice between the predicted and the true tube of every class (Shin et al., Video DA, 2021, Eq. 6 and 7).

A tube is one class through the frames of a clip. Dice with squares in the denominator is that of V-Net (Milletari et al., 2016).
The paper leaves open what Dice is for a class that the clip does not show. Eq. 7 gives 0 there for any soft prediction: a loss
of 1 without a gradient. Here such a class is left out, which changes no gradient of the sum, covers 0 / 0, and makes the logged
value a measure of errors instead of a count of absent classes.
"""
import torch
from torch import Tensor


def tube_dice(prob: Tensor, label: Tensor, ignore_index: int = 255) -> tuple[Tensor, Tensor]:
    r"""Dice of every class over all frames of each clip (Eq. 7).

    .. math:: D_k = \frac{2 \sum p_k q_k}{\sum p_k^2 + \sum q_k^2}

    where the sums run over the labelled pixels of all frames, and q is the one-hot ground truth.

    Args:
        prob (Tensor): float, (B, T, C, H, W), probabilities.
        label (Tensor): int64, (B, T, H, W), 0..C-1, ``ignore_index`` = out of both p and q.
        ignore_index (int): the value that is left out.

    Returns:
        tuple[Tensor, Tensor]: Dice, float32 (B, C), in [0, 1], 1 with a zero gradient for a class that the clip does not show;
        and whether it shows it, bool (B, C).

    Raises:
        ValueError: when the two do not describe the same pixels.

    Example:
        >>> prob = torch.tensor([0.5, 0.5]).reshape(1, 1, 2, 1, 1)
        >>> dice, shown = tube_dice(prob, torch.zeros(1, 1, 1, 1, dtype=torch.int64))
        >>> dice.tolist(), shown.tolist()
        ([[0.800000011920929, 1.0]], [[True, False]])
    """
    if prob.ndim != 5 or prob.shape[:2] != label.shape[:2] or prob.shape[3:] != label.shape[2:]:
        raise ValueError(f'prob {tuple(prob.shape)} and label {tuple(label.shape)} do not describe the same pixels; expected '
                         '(B, T, C, H, W) and (B, T, H, W)')
    prob = prob.float()
    classes = torch.arange(prob.shape[2], device=prob.device)[:, None, None]
    truth = label[:, :, None] == classes  # bool (B, T, C, H, W)
    known = (label != ignore_index)[:, :, None]
    area = truth.sum((1, 3, 4))
    overlap = (prob * truth).sum((1, 3, 4))
    size = (prob.square() * known).sum((1, 3, 4)) + area
    shown = area > 0
    return torch.where(shown, 2 * overlap / size.clamp(min=1), torch.ones_like(size)), shown


def tube_matching_loss(prob: Tensor, label: Tensor, *, mode: str = 'tube', reduction: str = 'sum',
                       ignore_index: int = 255) -> Tensor:
    r"""Tube matching loss, mean over the clips (Eq. 6).

    .. math:: L = \sum_k (1 - D_k)

    Args:
        prob (Tensor): float, (B, T, C, H, W), probabilities.
        label (Tensor): int64, (B, T, H, W), 0..C-1 or ``ignore_index``.
        mode (str): ``'tube'``, or ``'single'``: every frame is a tube of its own, mean over the frames (Table 3, row 3).
        reduction (str): over the classes: ``'sum'`` (Eq. 6) or ``'mean'`` over those that the tube shows.
        ignore_index (int): label value that is left out.

    Returns:
        Tensor: float32 scalar; 0 with a zero gradient where nothing is labelled.

    Raises:
        ValueError: for an unknown mode or reduction, or shapes that do not fit.
    """
    if mode not in ('tube', 'single'):
        raise ValueError(f"mode is {mode!r}; expected 'tube' or 'single'")
    if reduction not in ('sum', 'mean'):
        raise ValueError(f"reduction is {reduction!r}; expected 'sum' or 'mean'")
    if mode == 'single':
        prob, label = prob.flatten(0, 1)[:, None], label.flatten(0, 1)[:, None]
    dice, shown = tube_dice(prob, label, ignore_index)
    loss = (1 - dice).sum(1)
    if reduction == 'mean':
        loss = loss / shown.sum(1).clamp(min=1)
    return loss.mean()
