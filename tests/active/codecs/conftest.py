# SPDX-License-Identifier: Apache-2.0
"""Requests with given region masks, and answers to them, for tests of codecs."""
from itertools import count

import numpy as np
import pytest

from udatools.active import Answer, Request
from udatools.active.request import RequestItem, class_table, number_regions, region_digest, write_mask, write_request

CLASSES = ('road', 'traffic light', 'tree & bush')


@pytest.fixture(scope='session')
def make_codec_request(tmp_path_factory):
    """Function: a request whose regions are given as masks {key: (H, W), 0 = not asked}."""
    root, number = tmp_path_factory.mktemp('requests'), count()

    def make(regions, kind='segments', classes=CLASSES):
        folder, items = root / str(next(number)), []
        for key, region in regions.items():
            region = np.asarray(region, np.uint16)
            if kind == 'points':
                region = number_regions(region > 0, points=True)
            asked = int((region > 0).sum())
            mask = write_mask(folder, key, region) if asked else None
            items.append(RequestItem(key, f'{key}.png', '', *region.shape, asked, asked, int(region.max()), mask,
                                     region_digest(region) if asked else ''))
        palette = [(i * 10 % 256, 128, 255 - i) for i in range(len(classes))]
        header = dict(input_hash='h', run='r', round=2, kind=kind, selector={}, ignore_index=255,
                      classes=class_table(classes, palette), images=len(items))
        write_request(folder, header, items)
        return Request.load(folder)

    return make


@pytest.fixture
def small(make_codec_request):
    """Function: a request of one 4x6 image ``city/a`` with three regions, of a kind."""
    region = [[1, 1, 0, 0, 0, 2],
              [1, 1, 0, 0, 0, 2],
              [0, 0, 0, 0, 0, 0],
              [3, 3, 3, 3, 0, 0]]
    return lambda kind='segments', **options: make_codec_request({'city/a': region}, kind, **options)


@pytest.fixture
def answer_of():
    """Function: an answer with a given map."""
    return lambda key, answer, annotator='anna', **costs: Answer(key, np.asarray(answer, np.uint8), annotator, 'test',
                                                                 **costs)


@pytest.fixture
def texts():
    """Function: the problems of a submission as one text."""
    return lambda submission: '\n'.join(str(problem) for problem in submission.problems)
