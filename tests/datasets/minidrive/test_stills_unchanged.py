# SPDX-License-Identifier: Apache-2.0
"""Stills of MiniDrive are what they were when results on them were measured: a few are kept beside this file.

A picture that differs anywhere else than in the last grey level (rounding of another processor) is a new data set: raise
``GENERATOR_VERSION`` and measure again.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from udatools.datasets.minidrive import render_still
from udatools.utils.png import read_png

GOLDEN = Path(__file__).parent / 'golden'


@pytest.mark.parametrize('domain, split, index', [('sim', 'train', 1), ('real', 'train', 0), ('real', 'val', 2)])
def test_still_is_the_stored_one(domain, split, index):
    item = render_still(domain, index, split, 0, (96, 48))
    image = read_png(GOLDEN / f'{domain}_{split}_{index}_image.png')[:, :, ::-1].astype(int)
    assert (item['label'] == read_png(GOLDEN / f'{domain}_{split}_{index}_label.png')).all()
    difference = np.abs(item['image'] - image)
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
