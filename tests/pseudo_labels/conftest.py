# SPDX-License-Identifier: Apache-2.0
"""A tiny target set with fixed predictions, and a runner of two gloo ranks."""

import pytest
import torch


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
