# SPDX-License-Identifier: Apache-2.0
"""End-point and photometric errors by hand, against loops, and in parts that add up."""
import math

import pytest
import torch

from udatools.evaluation.flow import EndPointError, PhotometricError


def test_end_point_error_by_hand():
    exact = torch.zeros(2, 1, 5)
    flow = torch.tensor([[[3.0, 0.0, 1.0, 50.0, 2.0]], [[4.0, 3.0, 0.0, 0.0, 2.5]]])
    valid = torch.tensor([[True, True, True, False, True]])
    error = EndPointError().add(flow, exact, valid)
    assert error.pixels == 4 and error.mean == pytest.approx((5 + 3 + 1 + math.sqrt(10.25)) / 4)
    assert error.outliers == 2 and error.outlier_share == 0.5  # 5 and 3.2; exactly 3 is none
    assert error.summary() == dict(total=error.total, outliers=2, pixels=4, mean=error.mean, outlier_share=0.5)


def test_parts_add_up_and_nothing_has_no_mean():
    generator = torch.Generator().manual_seed(0)
    flow, exact = (4 * torch.randn(3, 2, 6, 7, generator=generator) for _ in range(2))
    valid = torch.rand(3, 6, 7, generator=generator) < 0.6
    whole = EndPointError().add(flow, exact, valid)
    parts = EndPointError().add(flow[0], exact[0], valid[0]).merge(EndPointError().add(flow[1:], exact[1:], valid[1:]))
    assert (parts.pixels, parts.outliers) == (whole.pixels, whole.outliers) and parts.mean == pytest.approx(whole.mean)
    errors = [math.dist(flow[n, :, y, x].tolist(), exact[n, :, y, x].tolist()) for n, y, x in valid.nonzero().tolist()]
    assert whole.mean == pytest.approx(sum(errors) / len(errors)) and whole.outliers == sum(error > 3 for error in errors)
    nothing = EndPointError().add(flow, exact, torch.zeros_like(valid))
    assert math.isnan(nothing.mean) and math.isnan(nothing.outlier_share)


def test_unknown_flow_has_to_be_masked():
    flow, exact = torch.zeros(2, 1, 2), torch.zeros(2, 1, 2)
    flow[0, 0, 1] = math.nan
    assert EndPointError().add(flow, exact, torch.tensor([[True, False]])).mean == 0
    with pytest.raises(ValueError, match='not finite'):
        EndPointError().add(flow, exact, torch.tensor([[True, True]]))
    with pytest.raises(ValueError, match=r'\(\.\.\., 2, H, W\)'):
        EndPointError().add(flow, exact, torch.ones(2, dtype=torch.bool))


def test_photometric_error_by_hand():
    reference = torch.tensor([0.0, 0.2, 0.4, 0.8]).view(1, 1, 1, 4).expand(1, 3, 1, 4).contiguous()
    image = reference.roll(-1, 3)  # 0.2, 0.4, 0.8, 0
    image[0, 0, 0, 1] += 0.3
    flow = torch.zeros(1, 2, 1, 4)
    flow[:, 0] = 1
    known = torch.ones(1, 1, 4, dtype=torch.bool)
    error = PhotometricError().add(image, reference, flow, known)
    assert (error.pixels, error.inside, error.visible) == (4, 3, 2)  # the last one leads outside, the second looks different
    assert error.mean == pytest.approx(0.3 / 3 / 3) and error.visible_share == 0.5
    assert PhotometricError().add(image, reference, flow, known, alpha=1.0).visible == 3
    known[0, 0, 1] = False
    without = PhotometricError().add(image, reference, flow, known)
    assert (without.inside, without.visible) == (2, 2) and without.mean == pytest.approx(0, abs=1e-6)
    both = without.merge(error)
    assert (both.pixels, both.inside, both.visible) == (8, 5, 4) and both.mean == pytest.approx(0.1 / 5)
    assert both.summary()['visible_share'] == 0.5
    assert math.isnan(PhotometricError().mean)
