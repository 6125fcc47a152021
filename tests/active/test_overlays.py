# SPDX-License-Identifier: Apache-2.0
"""Pictures of what is asked: drawn where it is asked, once, only for people."""
import cv2
import numpy as np
import pytest

from udatools.active import Budget, RandomSelector
from udatools.active.annotators import HumanAnnotator
from udatools.active.overlays import draw_asked, write_overlays
from udatools.active.request import Request, withdraw_request

GREY = np.full((20, 20, 3), 100, np.uint8)


def test_a_region_is_outlined_and_left_as_it_is():
    region = np.zeros((20, 20), np.uint16)
    region[5:9, 4:12] = 1
    region[9:12, 4:12] = 2  # touches the first
    drawn = draw_asked(GREY, region, points=False)
    changed = (drawn != 100).any(-1)
    expected = np.zeros((20, 20), bool)
    expected[4:13, 3:13] = True
    expected[5:12, 4:12] = False
    expected[8, 3:13] = True  # between two regions the lower id has the line
    assert np.array_equal(changed, expected) and (GREY == 100).all()


def test_a_point_is_ringed_and_stays_visible():
    region = np.zeros((20, 20), np.uint16)
    region[10, 6] = 1
    changed = (draw_asked(GREY, region, points=True) != 100).any(-1)
    assert changed[10, 11] and changed[5, 6] and not changed[9:12, 5:8].any() and not changed[:, 16:].any()


@pytest.mark.parametrize('world_size', [1, 2])
def test_a_package_for_people_has_them(campaign, tmp_path, run_ranks, world_size):
    def ask(rank):
        return campaign.ask(tmp_path, annotator=HumanAnnotator(), selector=RandomSelector(0.3), budget=Budget(amount=200)).pending

    assert all(error is None and pending is not None for pending, error in run_ranks(ask, world_size))
    request = Request.load(tmp_path / 'requests' / 'round_1')
    folder = request.root / 'overlays'
    pictures = sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.jpg'))
    assert pictures == sorted(f'{key}.jpg' for key in request.asked_keys())
    picture = cv2.imread(str(folder / pictures[0]))
    assert picture.shape == (12, 17, 3) and picture.max() > 150  # the image is almost black
    assert write_overlays(request, [(key, campaign.image_root / f'{key}.png') for key in request.asked_keys()]) == 0
    withdraw_request(request.root)
    assert not folder.exists()


def test_an_oracle_needs_none_and_a_damaged_image_has_none(campaign, tmp_path):
    request = campaign.ask(tmp_path).request
    assert not (request.root / 'overlays').exists()
    key = request.asked_keys()[0]
    (tmp_path / 'broken.png').write_bytes(b'no image')
    assert write_overlays(request, [(key, tmp_path / 'broken.png')]) == 0
