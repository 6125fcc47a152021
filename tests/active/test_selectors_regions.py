# SPDX-License-Identifier: Apache-2.0
"""Selectors of windows and of whole regions, against literal loops."""
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from udatools.active import RegionSelector, RIPUPixelSelector, RIPURegionSelector
from udatools.ops.impurity import ripu_score

HEIGHT, WIDTH = 12, 17


def predictions(seed=0, size=(HEIGHT, WIDTH)):
    generator = torch.Generator().manual_seed(seed)
    outputs = {name: (2 * torch.randn(3, *size, generator=generator)).softmax(0) for name in ('prob', 'prob1', 'prob2')}
    # Smooth, so that there are regions of more than one pixel.
    outputs['prob'] = torch.nn.functional.avg_pool2d(outputs['prob'], 3, 1, 1, count_include_pad=False)
    return outputs


def rng():
    return np.random.default_rng(0)


def windows_by_argmax(score, radius, limit, allowed):
    """The loop of the authors with disjoint windows: one argmax of the map, one window, and so on."""
    value = np.where(allowed, score.astype(float), -1)
    height, width = score.shape
    found = []
    while len(found) < limit and value.max() >= 0:
        y, x = divmod(int(value.argmax()), width)
        inside = [v * width + u for v in range(max(0, y - radius), min(height, y + radius + 1))
                  for u in range(max(0, x - radius), min(width, x + radius + 1)) if allowed[v, u]]
        found.append((float(score[y, x]), inside))
        value[max(0, y - 2 * radius):y + 2 * radius + 1, max(0, x - 2 * radius):x + 2 * radius + 1] = -1
    return found


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 9]), st.sampled_from([.02, .2, 1.]), st.booleans(),
       st.sampled_from([(12, 17), (1, 9), (7, 1), (1, 1)]))
@settings(max_examples=40, deadline=None)
def test_windows_are_those_of_the_literal_loop(seed, radius, portion, exclude, size):
    outputs = predictions(seed, size)
    excluded = np.random.default_rng(seed).random(size) < (.3 if exclude else 0)
    found = RIPURegionSelector(portion, radius=radius).candidates(
        dict(prob=outputs['prob'], excluded=torch.from_numpy(excluded)), 'a', rng())
    score = ripu_score(outputs['prob'], radius).half().numpy()
    limit = max(1, int(portion * size[0] * size[1] / (2 * radius + 1)**2))
    expected = windows_by_argmax(score, radius, limit, ~excluded)
    assert len(np.unique(found.flat_index)) == found.flat_index.size  # disjoint
    for name, (value, inside) in enumerate(expected):
        own = found.region == name
        assert sorted(found.flat_index[own].tolist()) == inside
        assert set(found.score[own].tolist()) == ({value} if inside else set())
    assert found.flat_index.size == sum(len(inside) for _, inside in expected)
    assert (found.flat_index.dtype, found.score.dtype, found.region.dtype) == (np.int32, np.float16, np.int32)


def test_pixels_of_ripu_are_the_best_of_the_score():
    outputs = predictions()
    found = RIPUPixelSelector(portion=.1, radius=2, kind='points').candidates(outputs, 'a', rng())
    score = ripu_score(outputs['prob'], 2).half().numpy().astype(float)
    best = sorted((-score.ravel()[i], i) for i in range(score.size))[:20]
    assert found.flat_index.tolist() == sorted(i for _, i in best) and found.region is None
    assert RIPUPixelSelector(radius=2).settings() == dict(type='RIPUPixelSelector', portion=0.05, radius=2)


def score_of_pixels(outputs, name):
    p, p1, p2 = (outputs[key].double().numpy() for key in ('prob', 'prob1', 'prob2'))
    ranked = np.sort(p, 0)
    return {'entropy': lambda: -(p * np.log(p)).sum(0), 'margin': lambda: 1 - ranked[-1] + ranked[-2],
            'confidence': lambda: 1 - ranked[-1], 'discrepancy': lambda: np.abs(p1 - p2).sum(0),
            'mcdal': lambda: sum(np.abs(a - b).sum(0) for a, b in ((p1, p2), (p, p1), (p, p2)))}[name]()


@pytest.mark.parametrize('score', ['entropy', 'margin', 'confidence', 'discrepancy', 'mcdal'])
@pytest.mark.parametrize('exclude', [False, True])
def test_regions_of_the_prediction_by_their_mean_score(score, exclude):
    outputs = predictions(1)
    predicted, value = outputs['prob'].argmax(0).numpy(), score_of_pixels(outputs, score)
    allowed = rng().random((HEIGHT, WIDTH)) < (.7 if exclude else 2)
    regions = []
    for k in range(3):
        part, count = ndimage.label(predicted == k, np.ones((3, 3)))
        for number in range(1, count + 1):
            inside = np.flatnonzero((part == number) & allowed)
            if len(inside) >= 3:
                regions.append((float(value.ravel()[inside].mean()), inside.tolist()))
    regions.sort(key=lambda region: (-region[0], region[1][0]))
    expected, covered = [], 0
    for mean, inside in regions:
        if expected and covered + len(inside) > .4 * HEIGHT * WIDTH:
            break
        expected.append((mean, inside))
        covered += len(inside)
    selector = RegionSelector(score=score, portion=.4, min_size=3)
    outputs['excluded'] = torch.from_numpy(~allowed)
    found = selector.candidates({name: outputs[name] for name in selector.inputs}, 'a', rng())
    assert selector.kind == 'regions' and len(expected) > 1
    assert {tuple(found.flat_index[found.region == r].tolist()) for r in set(found.region.tolist())} == {
        tuple(inside) for _, inside in expected}
    for mean, inside in expected:
        values = set(found.score[np.isin(found.flat_index, inside)].tolist())
        assert len(values) == 1 and values.pop() == pytest.approx(mean, rel=2e-3)


def test_the_best_region_is_offered_also_if_it_is_larger_than_the_portion():
    outputs = predictions(1)
    found = RegionSelector(portion=1e-6).candidates(outputs, 'a', rng())
    assert len(set(found.region.tolist())) == 1


def test_one_prediction_everywhere_is_one_region():
    prob = torch.tensor([.7, .2, .1]).view(3, 1, 1).expand(3, 4, 5)
    found = RegionSelector().candidates(dict(prob=prob), 'a', rng())
    assert found.flat_index.tolist() == list(range(20)) and set(found.region.tolist()) == {0}


def fake_scikit_image(monkeypatch, slic):
    """A skimage.segmentation with this slic, whether the real one is installed or not."""
    package, module = ModuleType('skimage'), ModuleType('skimage.segmentation')
    module.slic = slic
    package.segmentation = module
    monkeypatch.setitem(sys.modules, 'skimage', package)
    monkeypatch.setitem(sys.modules, 'skimage.segmentation', module)


def test_superpixels_are_asked_of_scikit_image_and_scored(monkeypatch):
    calls = []

    def blocks(image, **arguments):
        calls.append((image.shape, image.dtype, image[0, 0].tolist(), arguments))
        y, x = np.indices(image.shape[:2])
        return (y // 6) * 10 + x // 6  # ids with gaps

    fake_scikit_image(monkeypatch, blocks)
    outputs = predictions(2)
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    image[:, 0, 0] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    selector = RegionSelector(dict(type='slic', size=6, compactness=20.0), portion=.4)
    assert set(selector.inputs) == {'prob', 'image', 'excluded'}
    found = selector.candidates(dict(prob=outputs['prob'], image=image), 'a', rng())
    assert calls == [((HEIGHT, WIDTH, 3), np.uint8, [1, 2, 3],
                      dict(n_segments=6, compactness=20.0, start_label=0, channel_axis=-1))]
    value = score_of_pixels(outputs, 'entropy')
    means = {(y, x): value[y:y + 6, x:x + 6].mean() for y in (0, 6) for x in (0, 6, 12)}
    best = sorted(means, key=lambda corner: -means[corner])[:2]  # 72 + 36 > 81: two at most
    y, x = np.divmod(found.flat_index, WIDTH)
    assert {(int(v) // 6 * 6, int(u) // 6 * 6) for v, u in zip(y, x)} == set(best)
    assert selector.settings()['units'] == dict(type='slic', size=6, compactness=20.0)


def test_without_scikit_image_superpixels_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'skimage', None)
    monkeypatch.delitem(sys.modules, 'skimage.segmentation', raising=False)
    with pytest.raises(ImportError, match=r"udatools\[active\].*units='components'"):
        RegionSelector('slic')


def test_real_superpixels_follow_the_edges_of_an_image():
    pytest.importorskip('skimage', reason='scikit-image, extra [active]')
    image = torch.zeros(3, 32, 64, dtype=torch.uint8)
    image[:, :, 29:] = 200
    prob = torch.full((2, 32, 64), .5)
    found = RegionSelector(dict(type='slic', size=16), portion=1.0).candidates(dict(prob=prob, image=image), 'a', rng())
    assert found.flat_index.tolist() == list(range(32 * 64)) and 4 <= len(set(found.region.tolist())) <= 12
    region = found.region.reshape(32, 64)
    assert not set(region[:, :29].ravel().tolist()) & set(region[:, 29:].ravel().tolist())


@pytest.mark.parametrize('make, message', [
    (lambda: RegionSelector('squares'), 'units'), (lambda: RegionSelector(dict(size=3)), 'units'),
    (lambda: RegionSelector(score='random'), 'score'), (lambda: RegionSelector(min_size=-1), 'min_size'),
    (lambda: RIPURegionSelector(radius=0), 'radius'), (lambda: RIPUPixelSelector(radius=0), 'radius')])
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize('arguments, message', [(dict(size=1), 'size'), (dict(compactness=0), 'compactness')])
def test_bad_superpixels_are_refused(monkeypatch, arguments, message):
    fake_scikit_image(monkeypatch, None)
    with pytest.raises(ValueError, match=message):
        RegionSelector(dict(type='slic', **arguments))
