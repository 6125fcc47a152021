# SPDX-License-Identifier: Apache-2.0
"""Every kind of selector goes through the hook: what it reads is given, and its regions reach the request."""
import cv2
import numpy as np
import pytest
import torch

from udatools.active import Request
from udatools.active.selectors.regions import UNITS, Components
from udatools.engine.inference import TargetImages
from udatools.registry import HOOKS

SELECTORS = {
    'points': dict(type='LabORPPLSelector', points_per_class=2),
    'windows': dict(type='RIPURegionSelector', portion=0.2),
    'people': dict(type='FilteredSelector', selector=dict(type='LabORSPLSelector'), border=3, min_size=2, ego_class=0),
    'mcdal': dict(type='MCDALSelector', kind='points', spacing=6),
    'regions': dict(type='RegionSelector', score='discrepancy', portion=0.3),
}


class Quarters(Components):
    """Four rectangles; notes the images that it was given."""

    inputs = ('image', )
    seen: list[torch.Tensor] = []

    def __call__(self, outputs):
        image = outputs['image']
        self.seen.append(image)
        y, x = np.indices(image.shape[1:])
        return (2 * y // image.shape[1]) * 2 + 2 * x // image.shape[2]


def ask(setup, root, selector, budget):
    hook = HOOKS.build(dict(
        type='ActiveLabelingHook', selector=selector, annotator=dict(
            type='GroundTruthOracle', dataset={**setup.dataset, 'labelled': True}), model=setup.model,
        checkpoint=setup.checkpoint, selector_model=setup.selector_model, selector_checkpoint=setup.selector_checkpoint,
        dataset=setup.dataset, ledger=str(root / 'ledger.sqlite'), request_dir=str(root / 'request'),
        label_dir=str(root / 'labels'), budget=budget))
    hook.before_train(setup.runner)
    return Request.load(root / 'request')


@pytest.mark.parametrize('name', SELECTORS)
def test_clicks_are_planned_and_never_exceeded(setup, tmp_path, name):
    request = ask(setup, tmp_path, SELECTORS[name], dict(unit='clicks', amount=3, per='image'))
    assert 0 < request.header['budget']['planned'] <= 12
    for key in setup.keys:
        assert len(np.unique(request.regions(key))) - 1 <= 3
        if name == 'people':
            assert not request.regions(key)[:3].any() and not request.regions(key)[:, -3:].any()


def test_a_budget_that_does_not_count_what_is_asked_is_refused_at_once(setup, tmp_path):
    with pytest.raises(ValueError, match='asks for regions'):
        ask(setup, tmp_path, SELECTORS['regions'], dict(unit='points', amount=3))
    assert not (tmp_path / 'ledger.sqlite').exists()


def test_superpixels_are_given_the_image_at_native_resolution(setup, tmp_path, monkeypatch):
    monkeypatch.setitem(UNITS, 'components', Quarters)
    Quarters.seen = []
    request = ask(setup, tmp_path, dict(type='RegionSelector', portion=0.5), dict(unit='regions', amount=1, per='image'))
    for key, image in zip(setup.keys, Quarters.seen):
        bgr = cv2.imread(str(setup.root / 'leftImg8bit/train' / f'{key}.png'))
        assert image.dtype == torch.uint8 and np.array_equal(image.permute(1, 2, 0).numpy(), bgr[:, :, ::-1])
        assert request[key].asked == 12 * 20 and request[key].components == 1
    assert len(Quarters.seen) == 4


def test_a_damaged_image_is_named(setup):
    images = TargetImages(setup.dataset)
    images.path(setup.keys[1]).write_bytes(b'\x89PNG')
    with pytest.raises((ValueError, OSError), match='aachen_000001'):
        images.native_image(1)
