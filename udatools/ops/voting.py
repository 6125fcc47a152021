# SPDX-License-Identifier: Apache-2.0
"""Sliding-window voting: pixels without a pseudo-label take one that confident neighbours share (TPLD, Shin et al., ECCV 2020).

Values of the neighbours are rounded to multiples of 2**-16 and summed as integers over integral images: a window costs the same
whatever its size, and the sums are exact, so that labels depend neither on the device nor on the order of additions. The paper
leaves open how the neighbours' values are pooled; here it is the mean over those that have the label in question.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

_UNITS = 1 << 16


def window_sum(values: Tensor, window: int, y: Tensor, x: Tensor) -> Tensor:
    """Sums over a square window around some pixels, cut off at the borders.

    Args:
        values (Tensor): int64, (H, W).
        window (int): side in pixels, odd.
        y, x (Tensor): int64, (N,), rows and columns of the pixels.

    Returns:
        Tensor: int64, (N,), exact as long as the sum of all values fits.
    """
    integral = F.pad(values.cumsum(1).cumsum(0), (1, 0, 1, 0))
    (top, bottom), (left, right) = (((at - window // 2).clamp(min=0), (at + window // 2 + 1).clamp(max=length))
                                    for at, length in zip((y, x), values.shape))
    return integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]


def densify_by_voting(classes: Tensor, ratios: Tensor, *, window: int, weight: float = 0.7, iterations: int = 3,
                      ignore_index: int = 255) -> Tensor:
    r"""Labels where a ratio of probability and threshold reaches 1, alone or with the votes of the neighbours.

    A pixel whose largest ratio is at least 1 has that class. For any other the two classes of the largest ratios compete:

    .. math:: v_c = w\, r_c + (1 - w)\, \bar r_c

    where :math:`\bar r_c` is the mean value of the pixels in the window that have the label c, 0 without one. The class of the
    larger :math:`v_c` is taken if it is at least 1, the first of equal ones; that value then votes in the next iteration.

    Args:
        classes (Tensor): int64, (2, H, W), the classes of the largest and of the second largest ratio, 0..C-1, C <= 255.
        ratios (Tensor): float, (2, H, W), these ratios, in descending order, >= 0; < 0 where there is no second class.
        window (int): side of the window in pixels, odd.
        weight (float): w, of the pixel's own ratio, in [0, 1].
        iterations (int): how often it is voted, >= 0.
        ignore_index (int): value of the pixels without a label.

    Returns:
        Tensor: uint8, (H, W), train ids or ``ignore_index``.

    Raises:
        ValueError: for an even window, or a value outside its range.

    Example:
        >>> classes, ratios = torch.tensor([[[3, 3]], [[0, 0]]]), torch.tensor([[[1.5, 0.9]], [[0.1, 0.8]]])
        >>> densify_by_voting(classes, ratios, window=3)  # 0.7 * 0.9 + 0.3 * 1.5 is 1.08
        tensor([[3, 3]], dtype=torch.uint8)
    """
    if window < 1 or window % 2 == 0 or not 0 <= weight <= 1 or iterations < 0:
        raise ValueError(f'window={window}, weight={weight}, iterations={iterations}; expected an odd window, a weight in [0, 1] '
                         'and iterations >= 0')
    y, x = (ratios[0] < 1).nonzero(as_tuple=True)
    rivals, own = classes[:, y, x], ratios[:, y, x].double() * _UNITS
    label = torch.where(ratios[0] >= 1, classes[0], ignore_index)
    value = torch.where(label != ignore_index, ratios[0].double() * _UNITS, 0.0).round().long()
    votes, undecided = weight * own, torch.ones_like(y, dtype=torch.bool)
    changed = label[label != ignore_index]
    for _ in range(iterations):
        for class_id in changed.unique().tolist():  # what the others have to say is known
            place, pixel = (rivals == class_id).nonzero(as_tuple=True)
            voters = label == class_id
            total = window_sum(torch.where(voters, value, 0), window, y[pixel], x[pixel])
            count = window_sum(voters.long(), window, y[pixel], x[pixel])
            votes[place, pixel] = weight * own[place, pixel] + (1 - weight) * (total.double() / count.clamp(min=1))
        chosen = (votes[1] > votes[0]).long()[None]
        best, winner = votes.gather(0, chosen)[0], rivals.gather(0, chosen)[0]
        new = undecided & (best >= _UNITS)
        label[y[new], x[new]] = changed = winner[new]
        value[y[new], x[new]] = best[new].round().long()
        undecided &= ~new
    return label.to(torch.uint8)
