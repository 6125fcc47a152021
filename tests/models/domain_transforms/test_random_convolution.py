# SPDX-License-Identifier: Apache-2.0
"""Random textures inside of a training batch: which images, whose draws, and what is refused."""
import pytest
import torch

from udatools.registry import DOMAIN_TRANSFORMS


def batch(count=2):
    generator = torch.Generator().manual_seed(0)
    return {name: [torch.rand(3, 8, 10, generator=generator) * 255 for _ in range(count)] for name in ('source', 'target')}


def make(**kwargs):
    return DOMAIN_TRANSFORMS.build(dict(type='RandomConvolution', **kwargs))


def test_source_images_change_each_by_itself_and_the_target_stays():
    images = batch()
    torch.manual_seed(3)
    out = make()(images)
    assert out['target'] is images['target'] and len(out['source']) == 2
    changes = [(new - old).abs().mean() for new, old in zip(out['source'], images['source'])]
    assert all(change > 1 for change in changes)
    torch.manual_seed(3)
    again = make()({**images, 'source': [images['source'][0]] * 2})['source']
    assert torch.equal(again[0], out['source'][0]) and not torch.allclose(again[0], again[1], atol=1)


def test_the_share_of_images_and_how_draws_go_on():
    images = batch(400)
    torch.manual_seed(0)
    out = make(prob=0.3, sizes=[3])(images)['source']
    changed = [new is not old for new, old in zip(out, images['source'])]
    assert 80 < sum(changed) < 160
    torch.manual_seed(0)
    every = make(prob=1.0, sizes=[3])(images)['source']
    # What becomes of an image does not depend on whether those before it were changed.
    assert all(torch.equal(a, b) for a, b, hit in zip(out, every, changed) if hit)
    assert make(prob=0.0)(images)['source'][7] is images['source'][7]


def test_without_mixing_nothing_of_the_image_is_added():
    torch.manual_seed(1)
    mixed = make(sizes=[3])(batch(1))['source'][0]
    torch.manual_seed(1)
    plain = make(sizes=[3], mix=False)(batch(1))['source'][0]
    from udatools.ops.random_convolution import draw_kernel, random_convolution
    torch.manual_seed(1)
    _, share = torch.rand(2).tolist()
    kernel = draw_kernel((3, ))
    torch.testing.assert_close(plain, random_convolution(batch(1)['source'][0], kernel, 0.0))
    torch.testing.assert_close(mixed, random_convolution(batch(1)['source'][0], kernel, share))


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(prob=1.5), 'prob is 1.5'), (dict(sizes=[3, 4]), r'sizes is \[3, 4\]'), (dict(sizes=[]), 'odd numbers')])
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)
