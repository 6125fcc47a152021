# SPDX-License-Identifier: Apache-2.0
"""How good a model may be on images without labels: three numbers made of its predictions alone.

Mean entropy, agreement under augmentation, and soft neighbourhood density (Saito et al., "Tune it the Right Way: Unsupervised
Validation of Domain Adaptation via Soft Neighborhood Density", ICCV 2021, Eq. 1 to 3). None of them knows the truth: a model
that predicts one class everywhere, with certainty, has the best entropy and the best agreement.
"""
import math

import torch
from torch import Tensor


def mean_entropy(prob_chw: Tensor) -> float:
    r"""Mean over the pixels of :math:`-\frac{1}{\log C} \sum_c p_c \log p_c`.

    Args:
        prob_chw (Tensor): float, (C, H, W), in [0, 1], summing to 1 over C >= 2.

    Returns:
        float: in [0, 1]; 0 for certain predictions, 1 for uniform ones.

    Example:
        >>> mean_entropy(torch.tensor([0.5, 0.5]).view(2, 1, 1))
        1.0
    """
    if prob_chw.ndim != 3 or prob_chw.shape[0] < 2:
        raise ValueError(f'prob_chw has shape {tuple(prob_chw.shape)}; expected (C, H, W) with two or more classes')
    prob = prob_chw.double()
    return float(-torch.xlogy(prob, prob).sum(0).mean() / math.log(prob.shape[0]))


def label_agreement(prob_chw: Tensor, other_chw: Tensor) -> float:
    """Share of the pixels whose most probable class is the same in two predictions.

    Args:
        prob_chw (Tensor): float, (C, H, W).
        other_chw (Tensor): float, (C, H, W), of the same pixels.

    Returns:
        float: in [0, 1]; nan where a prediction is not finite, whose argmax would always agree.
    """
    if prob_chw.shape != other_chw.shape or prob_chw.ndim != 3:
        raise ValueError(f'got predictions of shapes {tuple(prob_chw.shape)} and {tuple(other_chw.shape)}; '
                         'expected (C, H, W) twice: bring both to one size')
    if not bool(torch.isfinite(prob_chw).all() & torch.isfinite(other_chw).all()):
        return math.nan
    return float((prob_chw.argmax(0) == other_chw.argmax(0)).double().mean())


def soft_neighbourhood_density(prob_nc: Tensor, temperature: float = 0.05, *, chunk: int = 1024) -> float:
    r"""Entropy of the similarities of each point to all others, mean over the points (SND).

    .. math:: P_{ij} = \frac{\exp(s_{ij} / \tau)}{\sum_{k \ne i} \exp(s_{ik} / \tau)}, \quad
              H = -\frac{1}{N} \sum_i \sum_{j \ne i} P_{ij} \log P_{ij}

    with the cosine similarity :math:`s_{ij}` of the softmax vectors of points i and j.

    Args:
        prob_nc (Tensor): float, (N, C), softmax outputs of N >= 2 points.
        temperature (float): tau, > 0.
        chunk (int): points whose similarities to all others are in memory at once.

    Returns:
        float: in [0, log(N - 1)]; large where points have many close neighbours. Compare it for equal N only.

    Example:
        >>> round(soft_neighbourhood_density(torch.tensor([[1.0, 0], [1, 0], [1, 0]])), 4)  # log 2: two equal neighbours
        0.6931
    """
    if prob_nc.ndim != 2 or len(prob_nc) < 2:
        raise ValueError(f'prob_nc has shape {tuple(prob_nc.shape)}; expected (N, C) with two or more points')
    if temperature <= 0:
        raise ValueError(f'temperature is {temperature}; expected a positive number, the paper uses 0.05')
    points = torch.nn.functional.normalize(prob_nc.double(), dim=1)
    total = 0.0
    for start in range(0, len(points), chunk):
        similarity = points[start:start + chunk] @ points.T / temperature
        rows = torch.arange(len(similarity), device=points.device)
        similarity[rows, start + rows] = -math.inf
        weight = similarity.softmax(1)
        total += float(-torch.xlogy(weight, weight).sum())
    return total / len(points)
