# SPDX-License-Identifier: Apache-2.0
"""Criteria on hand-made models and images, their draw of pixels, the choice, and two ranks against one."""
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from udatools.evaluation.model_selection import (
    AugmentationConsistency,
    MeanEntropy,
    SoftNeighbourhoodDensity,
    choose,
    describe_selection,
    format_selection,
    parse_select,
    score_model,
)
from udatools.ops.model_selection import soft_neighbourhood_density

SIZES = [(6, 8), (4, 10), (5, 5), (6, 8), (7, 9)]


class Images:
    """Five images of several sizes; the network sees them at double size."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.keys = [f'city/{i}' for i in range(len(SIZES))]
        self.pictures = [torch.rand(3, 2 * height, 2 * width, generator=generator) for height, width in SIZES]

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        return self.pictures[index], SimpleNamespace(ori_shape=SIZES[index])


class Model:
    """Softmax of the three channels times a sharpness, plus a bias by column: mirroring changes the labels."""

    def __init__(self, sharpness=4.0, bias=0.0):
        self.sharpness, self.bias = sharpness, bias

    def data_preprocessor(self, data, training):
        assert training is False
        return {'inputs': torch.stack(data['inputs'])}

    def predict_prob(self, inputs, size):
        logits = self.sharpness * inputs
        logits = logits + self.bias * torch.linspace(0, 1, inputs.shape[3]) * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
        return interpolate(logits, size, mode='bilinear', align_corners=False).softmax(1)


def test_entropy_is_the_mean_over_all_pixels():
    images, model = Images(), Model()
    pixels = torch.cat([model.predict_prob(picture[None], size)[0].flatten(1)
                        for picture, size in zip(images.pictures, SIZES, strict=True)], 1).double()
    expected = float(-(pixels * pixels.log()).sum(0).mean() / math.log(3))
    assert score_model(MeanEntropy(), model, images) == pytest.approx(expected, abs=1e-9)


def test_consistency_is_the_agreement_with_a_mirrored_and_smaller_view():
    images, model = Images(), Model(bias=3.0)
    same = total = 0
    for picture, (height, width) in zip(images.pictures, SIZES, strict=True):
        view = interpolate(picture[None].flip(3), (round(height * 1.5), round(width * 1.5)), mode='bilinear',
                           align_corners=False, antialias=True)
        first = model.predict_prob(picture[None], (height, width))[0].argmax(0)
        second = model.predict_prob(view, (height, width))[0].argmax(0)
        for y in range(height):
            for x in range(width):
                same += int(first[y, x] == second[y, width - 1 - x])
                total += 1
    value = score_model(AugmentationConsistency(), model, images)
    assert value == pytest.approx(same / total) and 0 < value < 1


def test_density_is_over_the_drawn_pixels_of_all_images():
    images, model = Images(), Model()
    criterion = SoftNeighbourhoodDensity(pixels=60)
    parts = [criterion.measure(model, picture[None], size, key, 5)
             for picture, size, key in zip(images.pictures, SIZES, images.keys, strict=True)]
    assert [part.shape for part in parts] == [(12, 3)] * 5 and parts[0].dtype == np.float32
    expected = soft_neighbourhood_density(torch.from_numpy(np.concatenate(parts)))
    assert score_model(criterion, model, images) == pytest.approx(expected, abs=1e-12)
    rows = model.predict_prob(images.pictures[1][None], SIZES[1])[0].flatten(1).T.numpy()
    found = [int(np.flatnonzero((rows == row).all(1))[0]) for row in parts[1]]
    assert found == sorted(set(found))  # pixels of that image, none twice


def test_density_draws_the_same_pixels_of_every_model_and_others_for_another_seed():
    picture, size = Images().pictures[0], SIZES[0]

    def drawn(seed, key='a'):
        """Columns of the drawn pixels, from a model that answers with the pixel's number."""
        numbers = torch.arange(size[0] * size[1], dtype=torch.float32).view(1, 1, *size)
        model = SimpleNamespace(predict_prob=lambda inputs, size: numbers)
        return SoftNeighbourhoodDensity(pixels=10, seed=seed).measure(model, picture[None], size, key, 1)[:, 0].tolist()

    assert drawn(0) == drawn(0) and drawn(0) != drawn(1) and drawn(0) != drawn(0, 'b')


def test_more_pixels_than_an_image_has():
    assert len(SoftNeighbourhoodDensity(pixels=10**6).measure(Model(), Images().pictures[2][None], (5, 5), 'a', 5)) == 25


@pytest.mark.parametrize('count, expected', [(None, 5), (2, 2), (5, 5), (99, 5)])
def test_a_part_of_the_images_is_evenly_spaced(count, expected):
    seen = []

    class Spy(MeanEntropy):

        def measure(self, model, inputs, size, key, share):
            seen.append((key, share))
            return super().measure(model, inputs, size, key, share)

    score_model(Spy(images=count), Model(), Images())
    assert len(seen) == expected and {share for _, share in seen} == {expected}
    if count == 2:
        assert [key for key, _ in seen] == ['city/0', 'city/2']


def test_order_of_hand_made_models():
    """Sure beats unsure, steady beats one that looks at where a thing is."""
    images = Images()
    sure, unsure = (score_model(MeanEntropy(), Model(sharpness=value), images) for value in (20, 1))
    assert sure < unsure and choose([unsure, sure], higher_is_better=MeanEntropy.higher_is_better) == 1
    steady, fickle = (score_model(AugmentationConsistency(), Model(bias=value), images) for value in (0, 8))
    assert steady > fickle and choose([fickle, steady], higher_is_better=AugmentationConsistency.higher_is_better) == 1


@pytest.mark.parametrize('values, higher, expected', [
    ([1.0, 3.0, 2.0], True, 1),
    ([1.0, 3.0, 2.0], False, 0),
    ([3.0, 1.0, 3.0], True, 2),  # of equal ones the latest
    ([1.0, 1.0, 3.0], False, 1),
    ([None, 0.2, math.nan], True, 1),
    ([math.inf, 0.2], True, 1),
    ([None, math.nan], False, 1),
    ([5.0], False, 0),
])
def test_choice(values, higher, expected):
    assert choose(values, higher_is_better=higher) == expected


def test_settings():
    assert parse_select(None) == parse_select('last') == 'last' and parse_select('target_miou') == 'target_miou'
    assert isinstance(parse_select('entropy'), MeanEntropy) and parse_select('density', seed=3).seed == 3
    criterion = parse_select(dict(criterion='density', pixels=100, images=7, seed=5), seed=3)
    assert criterion.settings() == dict(criterion='density', pixels=100, temperature=0.05, images=7, seed=5)
    assert parse_select(dict(criterion='consistency', scale=0.5)).settings()['scale'] == 0.5


@pytest.mark.parametrize('select, message', [
    ('best', "select is 'best'; expected one of last, entropy, consistency, density, target_miou"),
    (dict(pixels=3), 'expected one of last'),
    (dict(criterion='entropy', pixels=3), "unexpected keyword argument 'pixels'"),
    (dict(criterion='last', images=3), r"takes no settings, got \['images'\]"),
    (dict(criterion='entropy', images=0), 'images is 0'),
    (dict(criterion='density', pixels=1), 'pixels >= 2'),
    (dict(criterion='consistency', scale=0), 'scale is 0'),
])
def test_settings_refused(select, message):
    with pytest.raises(ValueError, match=message):
        parse_select(select)


def test_no_images():
    with pytest.raises(ValueError, match='no target image'):
        score_model(MeanEntropy(), Model(), [])


@pytest.mark.parametrize('criterion', [MeanEntropy(), AugmentationConsistency(), SoftNeighbourhoodDensity(pixels=40)],
                         ids=lambda criterion: criterion.name)
@pytest.mark.parametrize('world', [2, 3])
def test_ranks_give_one_number(criterion, world, run_ranks):
    expected = score_model(criterion, Model(bias=2.0), Images())
    for value, error in run_ranks(lambda rank: score_model(criterion, Model(bias=2.0), Images()), world):
        assert error is None, error
        assert value == expected  # to the last bit


def test_contributions_are_reduced_in_the_order_of_the_data_set(run_ranks):

    class Order(MeanEntropy):

        def measure(self, model, inputs, size, key, share):
            return np.array(int(key[-1]))

        def reduce(self, parts):
            return float(''.join(str(part) for part in parts))

    for world in (2, 3):
        for value, error in run_ranks(lambda rank: score_model(Order(), Model(), Images()), world):
            assert error is None, error
            assert value == 1234


def test_an_error_reaches_all_ranks(run_ranks):

    class Broken(Images):

        def __getitem__(self, index):
            if index == 3:  # of rank 1
                raise OSError('picture 3 is gone')
            return super().__getitem__(index)

    results = run_ranks(lambda rank: score_model(MeanEntropy(), Model(), Broken()))
    assert 'rank 1 failed while choosing a checkpoint: OSError: picture 3 is gone' in results[0][1]
    assert 'picture 3 is gone' in results[1][1]


SELECTION = dict(
    criterion='entropy', uses_target_labels=False, higher_is_better=False, chosen='stages/00_train/iter_20.pth',
    candidates=[dict(checkpoint=f'stages/00_train/iter_{number}.pth', value=value)
                for number, value in ((5, 0.5), (20, 0.25), (25, None))])


def test_table():
    assert format_selection(SELECTION).splitlines() == [
        'checkpoint by entropy (lower is better; no target labels)',
        '  iter_5    0.50000',
        '  iter_20   0.25000  <- chosen',
        '  iter_25       n/a',
    ]
    line = 'train: iter_20, one of 3 checkpoints, chosen by entropy (without target labels)'
    assert describe_selection('train', SELECTION) == line


def test_whoever_looks_at_target_labels_is_called_an_oracle():
    oracle = dict(SELECTION, criterion='target_miou', uses_target_labels=True, higher_is_better=True)
    assert 'looks at target labels: an oracle, not a result' in format_selection(oracle)
    assert 'looks at target labels: an oracle, not a result' in describe_selection('train', oracle)
