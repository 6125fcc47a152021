# SPDX-License-Identifier: Apache-2.0
"""Random patch masks: whole squares, the right share of them, and a function of the generator alone."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.ops.masking import random_patch_mask


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), batch=st.integers(1, 3), height=st.integers(1, 9), width=st.integers(1, 9),
       block=st.integers(1, 4), ratio=st.floats(0, 1))
def test_each_square_is_seen_or_hidden_as_a_whole(seed, batch, height, width, block, ratio):
    torch.manual_seed(seed)
    mask = random_patch_mask((batch, height, width), block, ratio)
    torch.manual_seed(seed)
    draws = torch.rand(batch, (height + block - 1) // block, (width + block - 1) // block)
    assert mask.shape == (batch, height, width) and mask.dtype == torch.bool
    for own_mask, own_draws in zip(mask.tolist(), draws.tolist(), strict=True):
        for y in range(height):
            for x in range(width):
                assert own_mask[y][x] == (own_draws[y // block][x // block] >= ratio)


@pytest.mark.parametrize('ratio', [0.3, 0.7])
def test_share_of_hidden_squares_and_their_independence(ratio):
    torch.manual_seed(0)
    cells = ~random_patch_mask((4, 400, 400), 8, ratio)[:, ::8, ::8]
    assert float(cells.float().mean()) == pytest.approx(ratio, abs=0.02)
    for one, other in ((cells[0], cells[1]), (cells[:, 1:], cells[:, :-1]), (cells[:, :, 1:], cells[:, :, :-1])):
        assert float((one & other).float().mean()) == pytest.approx(ratio**2, abs=0.03)


def test_the_ends_of_the_range():
    assert random_patch_mask((1, 5, 5), 2, 0.0).all() and not random_patch_mask((1, 5, 5), 2, 1.0).any()
