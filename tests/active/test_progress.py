# SPDX-License-Identifier: Apache-2.0
"""How much of a request is answered, in points and regions."""
import numpy as np
import pytest

from udatools.active import LabelLedger
from udatools.active.progress import Progress, request_progress

MASK = np.array([[True, True, False, True], [False, False, False, True]])  # two segments, four points


@pytest.mark.parametrize('kind, expected', [
    ('points', [(8, 0, 0), (8, 1, 0), (8, 2, 0), (8, 4, 1)]), ('segments', [(4, 0, 0), (4, 0, 0), (4, 1, 0), (4, 2, 1)])])
def test_a_region_counts_when_all_of_it_is_answered(tmp_path, make_request, make_answer, kind, expected):
    request = make_request({'a': MASK, 'b': MASK, 'c': ~MASK & MASK}, kind=kind)
    found = []
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        ledger.add_request(request)
        found.append(request_progress(ledger, request))
        for who, answer in (('anna', [[0, 255, 255, 255], [255] * 4]), ('bob', [[255, 254, 255, 255], [255] * 4]),
                            ('anna', [[255, 255, 255, 1], [255, 255, 255, 1]])):
            ledger.record(request, [make_answer('a', answer, who)])
            found.append(request_progress(ledger, request))
    assert [(progress.asked, progress.answered, progress.done) for progress in found] == expected
    assert {(progress.images, progress.unit) for progress in found} == {(2, 'points' if kind == 'points' else 'regions')}
    assert found[-1].open == found[-1].asked - found[-1].answered and found[-1].share == 0.5


def test_nothing_asked_is_all_answered():
    assert Progress('points', 0, 0, 0, 0).share == 1.0
