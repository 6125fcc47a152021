# SPDX-License-Identifier: Apache-2.0
"""What people are spared: each filter against its definition, with every kind of selector inside."""
import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from udatools.active import EntropySelector, FilteredSelector, LabORPPLSelector, LabORSPLSelector, RandomSelector, RegionSelector
from udatools.registry import SELECTORS

HEIGHT, WIDTH = 14, 19
SPL = dict(type='LabORSPLSelector')


@pytest.fixture
def outputs():
    generator = torch.Generator().manual_seed(6)
    base = 2 * torch.randn(3, HEIGHT, WIDTH, generator=generator)
    outputs = dict(prob=base.softmax(0))
    for name in ('prob1', 'prob2'):
        outputs[name] = (base + .7 * torch.randn(3, HEIGHT, WIDTH, generator=generator)).softmax(0)
    return outputs


def rng():
    return np.random.default_rng(0)


def inner(outputs):
    return LabORSPLSelector().candidates(outputs, 'a', rng())


def components(flat_index, score):
    """[(pixels, mean score)] of the connected components of a set of pixels."""
    mask, value = np.zeros(HEIGHT * WIDTH, bool), np.zeros(HEIGHT * WIDTH)
    mask[flat_index], value[flat_index] = True, score
    part, count = ndimage.label(mask.reshape(HEIGHT, WIDTH), np.ones((3, 3)))
    return [(np.flatnonzero(part == n).tolist(), value[np.flatnonzero(part == n)].mean()) for n in range(1, count + 1)]


def grouped(found):
    return {tuple(found.flat_index[found.region == r].tolist()) for r in set(found.region.tolist())}


def test_without_a_filter_it_is_the_other_selector(outputs):
    found = FilteredSelector(SPL).candidates(outputs, 'a', rng())
    assert np.array_equal(found.flat_index, inner(outputs).flat_index) and found.region is None
    assert np.array_equal(found.score, inner(outputs).score)


def test_the_border_is_left_out_also_for_points_that_then_choose_others(outputs):
    found = FilteredSelector(SPL, border=4).candidates(outputs, 'a', rng())
    expected = [i for i in inner(outputs).flat_index if 4 <= i // WIDTH < HEIGHT - 4 and 4 <= i % WIDTH < WIDTH - 4]
    assert found.flat_index.tolist() == expected and expected
    points = FilteredSelector(dict(type='LabORPPLSelector'), border=4).candidates(outputs, 'a', rng())
    y, x = np.divmod(points.flat_index, WIDTH)
    assert ((y >= 4) & (y < HEIGHT - 4) & (x >= 4) & (x < WIDTH - 4)).all()
    free = LabORPPLSelector().candidates(outputs, 'a', rng())
    assert len(points.flat_index) == len(free.flat_index) and set(points.flat_index.tolist()) != set(free.flat_index.tolist())


@pytest.mark.parametrize('border', [7, 9, 14, 40])
def test_a_border_as_large_as_the_image_leaves_nothing(outputs, border):
    assert FilteredSelector(SPL, border=border).candidates(outputs, 'a', rng()).flat_index.size == 0


def test_the_ego_vehicle_is_left_out(outputs):
    predicted = np.zeros((HEIGHT, WIDTH), int)
    predicted[9:, 5:15] = 2
    predicted[2:4, 5:8] = 2  # another car
    prob = torch.nn.functional.one_hot(torch.from_numpy(predicted), 3).permute(2, 0, 1).float() * .9 + .03
    selector = FilteredSelector(SPL, ego_class=2)
    assert set(selector.inputs) == {'prob', 'prob1', 'prob2', 'excluded'}
    found = selector.candidates(dict(outputs, prob=prob), 'a', rng())
    assert found.flat_index.tolist() == [i for i in inner(outputs).flat_index
                                         if not (i // WIDTH >= 9 and 5 <= i % WIDTH < 15)]
    assert len(found.flat_index) < len(inner(outputs).flat_index)


@pytest.mark.parametrize('channels', [1, 3])
def test_an_ego_mask_is_left_out_and_known_by_its_content(outputs, tmp_path, channels):
    mask = np.zeros((HEIGHT, WIDTH, channels), np.uint8)
    mask[-3:, :, -1] = 7
    for name in ('a.png', 'b.png'):
        cv2.imwrite(str(tmp_path / name), mask)
    selector = FilteredSelector(SPL, ego_mask=tmp_path / 'a.png')
    found = selector.candidates(outputs, 'a', rng())
    assert found.flat_index.tolist() == [i for i in inner(outputs).flat_index if i // WIDTH < HEIGHT - 3]
    assert selector.settings() == FilteredSelector(SPL, ego_mask=str(tmp_path / 'b.png')).settings()
    cv2.imwrite(str(tmp_path / 'b.png'), 255 - mask)
    assert selector.settings() != FilteredSelector(SPL, ego_mask=tmp_path / 'b.png').settings()


def test_an_ego_mask_that_does_not_fit_is_refused(outputs, tmp_path):
    with pytest.raises(ValueError, match='cannot be read'):
        FilteredSelector(SPL, ego_mask=tmp_path / 'none.png')
    cv2.imwrite(str(tmp_path / 'small.png'), np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match=r"\(4, 5\), image 'city/1' is \(14, 19\)"):
        FilteredSelector(SPL, ego_mask=tmp_path / 'small.png').candidates(outputs, 'city/1', rng())


def test_small_components_are_left_out_and_large_ones_stay_whole(outputs):
    found = FilteredSelector(SPL, min_size=4).candidates(outputs, 'a', rng())
    every = components(inner(outputs).flat_index, inner(outputs).score)
    assert grouped(found) == {tuple(p) for p, _ in every if len(p) >= 4} and len(grouped(found)) < len(every)
    for pixels, mean in every:
        values = set(found.score[np.isin(found.flat_index, pixels)].tolist())
        assert values == set() if len(pixels) < 4 else len(values) == 1 and values.pop() == pytest.approx(mean, rel=1e-3)


def test_the_best_components_by_their_mean_score_are_kept(outputs):
    found = FilteredSelector(SPL, min_size=2, max_regions=3).candidates(outputs, 'a', rng())
    every = [(p, mean) for p, mean in components(inner(outputs).flat_index, inner(outputs).score) if len(p) >= 2]
    best = sorted(every, key=lambda part: -part[1])[:3]
    assert grouped(found) == {tuple(p) for p, _ in best} and len(every) > 3


def test_drawn_scores_do_not_favour_small_components(outputs):
    drawn = FilteredSelector(dict(type='LabORSPLSelector', score='uniform'), max_regions=1)
    picked = [len(drawn.candidates(outputs, 'a', np.random.default_rng(seed)).flat_index) for seed in range(300)]
    every = components(inner(outputs).flat_index, inner(outputs).score)
    sizes = [len(p) for p, _ in every]
    assert len(every) > 5 and np.mean(picked) == pytest.approx(np.mean(sizes), rel=.2)
    assert RandomSelector().unit_score == 'first' and EntropySelector().unit_score == 'mean'


def test_the_best_points_and_the_best_regions_are_kept(outputs):
    points = LabORPPLSelector(points_per_class=3).candidates(outputs, 'a', rng())
    few = FilteredSelector(dict(type='LabORPPLSelector', points_per_class=3), max_regions=4).candidates(outputs, 'a', rng())
    assert few.region is None and few.flat_index.tolist() == sorted(few.flat_index.tolist())
    assert sorted(few.score.tolist()) == sorted(points.score.tolist())[-4:] and len(points.score) > 4
    regions = RegionSelector(portion=1.0).candidates(outputs, 'a', rng())
    selector = FilteredSelector(dict(type='RegionSelector', portion=1.0), min_size=5, max_regions=2)
    kept = selector.candidates(outputs, 'a', rng())
    means = {pixels: regions.score[np.isin(regions.flat_index, pixels)][0] for pixels in grouped(regions) if len(pixels) >= 5}
    assert grouped(kept) == set(sorted(means, key=lambda pixels: -float(means[pixels]))[:2]) and len(means) > 2
    assert selector.kind == 'regions'


def test_answered_pixels_stay_excluded(outputs):
    excluded = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    excluded[:, :9] = True
    found = FilteredSelector(EntropySelector(.5), border=1).candidates(dict(outputs, excluded=excluded), 'a', rng())
    assert (found.flat_index % WIDTH >= 9).all() and len(found.flat_index) == 9 * 12  # all that is left inside the border


@pytest.mark.parametrize('arguments, message', [
    (dict(min_size=-1), 'min_size'), (dict(border=-1), 'border'), (dict(ego_class=-1), 'ego_class'),
    (dict(max_regions=0), 'max_regions')])
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FilteredSelector(SPL, **arguments)


def test_a_minimum_size_of_points_is_refused():
    with pytest.raises(ValueError, match='min_size is 5.*LabORPPLSelector'):
        FilteredSelector(dict(type='LabORPPLSelector'), min_size=5)


def test_settings_name_what_is_on():
    selector = SELECTORS.build(dict(type='FilteredSelector', selector=SPL, border=2, ego_class=0))
    assert selector.settings() == dict(type='FilteredSelector', selector=LabORSPLSelector().settings(), border=2, ego_class=0)
    assert (selector.kind, FilteredSelector(LabORPPLSelector()).kind) == ('segments', 'points')
