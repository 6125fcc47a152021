# SPDX-License-Identifier: Apache-2.0
"""A batch with pseudo-labels of half of its pixels, a teacher's probabilities, and the thresholds of five classes."""
import torch

from udatools.models.segmentors import DomainBatch

THETA = [0.9, 0.5, 0.3, 1.0, 0.7]


def make_domain(seed=0, **changes):
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(2, 5, 3, 4, generator=generator).softmax(1)
    label = torch.randint(0, 5, (2, 3, 4), generator=generator)
    label[torch.rand(2, 3, 4, generator=generator) < 0.5] = 255
    logits = torch.randn(2, 5, 3, 4, generator=generator).requires_grad_()
    domain = DomainBatch(torch.zeros(2, 3, 3, 4), label, (), {'main': logits}, teacher)
    for name, value in changes.items():
        setattr(domain, name, value)
    return domain
