# SPDX-License-Identifier: Apache-2.0
"""A tiny target set with fixed predictions, and a predictor of them that counts its calls."""

import pytest
import torch


class FixedPredictor:
    """The Predictor of a list of probability maps; ``inferred`` and ``expanded`` record what was asked for."""

    def __init__(self, predictions):
        self.predictions = predictions
        self.inferred, self.expanded = [], []

    def infer(self, index):
        self.inferred.append(index)
        return index, self.predictions[index].log().numpy()

    def expand(self, compact):
        index, _ = compact
        self.expanded.append(index)
        return self.predictions[index]


@pytest.fixture
def fixed_predictor():
    return FixedPredictor


@pytest.fixture
def predictions():
    """Seven (4, 9, 11) probability maps; class 3 is never predicted."""
    generator = torch.Generator().manual_seed(3)
    logits = [4 * torch.randn(4, 9, 11, generator=generator) for _ in range(7)]
    for logit in logits:
        logit[3] = -9
    return [logit.softmax(0) for logit in logits]


@pytest.fixture
def keys():
    return [f'city/frame_{i}' for i in range(7)]


@pytest.fixture
def predictor(predictions):
    return FixedPredictor(predictions)
