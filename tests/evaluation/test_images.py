# SPDX-License-Identifier: Apache-2.0
"""Scores and confusions of single images by hand."""
import math

import pytest
import torch

from udatools.evaluation.images import class_precision, image_miou, largest_confusions, reported_confusion
from udatools.evaluation.iou import apply_protocol

NAMES = ['road', 'car', 'sky']
# Rows are labels. Road 6 of 8 right, car 1 of 4 right; no sky is labelled, but 2 + 1 pixels are taken for it.
CONF = torch.tensor([[6, 0, 2], [2, 1, 1], [0, 0, 0]])


def test_image_miou_counts_the_classes_of_its_ground_truth():
    reported = apply_protocol(CONF, [0, 1, 2], 3)
    road, car = 6 / (8 + 8 - 6), 1 / (4 + 1 - 1)
    assert image_miou(reported, 3) == pytest.approx(100 * (road + car) / 2)
    assert math.isnan(image_miou(torch.zeros(4, 4, dtype=torch.int64), 3))


def test_classes_that_are_not_reported_are_misses_in_predictions_and_nothing_in_labels():
    conf = torch.tensor([[5, 3], [7, 0]])  # the protocol reports the first class alone
    reported = apply_protocol(conf, [0, 1], 1)
    assert image_miou(reported, 1) == pytest.approx(100 * 5 / 8)
    assert reported_confusion(conf, [0, 1], ['road']).tolist() == [[5, 3]]


def test_largest_confusions():
    found = largest_confusions(CONF, NAMES, 9)
    assert [(pair.truth, pair.predicted, pair.pixels, pair.share) for pair in found] == [
        ('car', 'road', 2, 0.5), ('road', 'sky', 2, 0.25), ('car', 'sky', 1, 0.25)]
    by_pixels = largest_confusions(CONF, NAMES, 2, by='pixels')
    assert [(pair.truth, pair.predicted) for pair in by_pixels] == [('road', 'sky'), ('car', 'road')]  # ties in order
    assert [pair.truth for pair in largest_confusions(CONF, NAMES, 9, least=5)] == ['road']
    assert CONF[0, 0] == 6  # the caller's matrix is left as it is
    with pytest.raises(ValueError, match="by is 'size'"):
        largest_confusions(CONF, NAMES, 1, by='size')


def test_predictions_outside_of_the_protocol_are_called_other():
    assert largest_confusions(torch.tensor([[5, 3]]), ['road'], 2) == [('road', 'other', 3, 3 / 8)]


def test_class_precision():
    found = class_precision(CONF).tolist()
    assert found[:2] == [6 / 8, 1.0] and found[2] == 0.0
    assert math.isnan(class_precision(torch.tensor([[3, 0], [2, 0]]))[1])
