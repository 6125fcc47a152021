# SPDX-License-Identifier: Apache-2.0
"""VAT: the tube matching objective, the sequence discriminator, and what AdversarialAlignment gives it (Eq. 6 to 9)."""
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmseg.registry import MODELS

import udatools  # noqa: F401
from udatools.models.objectives import AdversarialAlignment, TubeMatching
from udatools.models.segmentors import DomainBatch, UDABatch
from udatools.ops.tubes import tube_matching_loss


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='SequenceDiscriminator', **kwargs))


def clip_batch(seed=0, b=2, t=2, c=3, size=(8, 16)):
    """Two domains of clips with logits that need a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def domain():
        logits = torch.randn(b * t, c, *size, generator=generator).requires_grad_()
        label = torch.randint(0, c, (b * t, *size), generator=generator)
        return DomainBatch(torch.zeros(b * t, 3, *size), label, (torch.randn(b * t, 6, *size, generator=generator), ),
                           {'main': logits}, clip_length=t)

    return UDABatch(source=domain(), target=domain())


# -- sequence discriminator --------------------------------------------------------------------------------------------------


def test_layout_is_the_image_discriminators_but_for_the_first():
    layers = list(build(in_channels=15).layers)
    convolutions, activations = layers[::2], layers[1::2]
    first = convolutions[0]
    assert (type(first), first.kernel_size, first.stride, first.padding) == (nn.Conv3d, (2, 4, 4), (2, 2, 2), (0, 1, 1))
    assert [conv.in_channels for conv in convolutions] == [15, 64, 128, 256, 512]
    assert [conv.out_channels for conv in convolutions] == [64, 128, 256, 512, 1]
    for conv in convolutions[1:]:
        assert (type(conv), conv.kernel_size, conv.stride, conv.padding) == (nn.Conv2d, (4, 4), (2, 2), (1, 1))
    assert all(layer.negative_slope == 0.2 for layer in activations) and len(activations) == 4


def test_two_frames_are_two_image_convolutions_added():
    network = build(in_channels=3, channels=(4, ))
    x = torch.randn(2, 3, 2, 16, 24)
    first, last = network.layers[0], network.layers[2]
    expected = sum(F.conv2d(x[:, :, t], first.weight[:, :, t], stride=2, padding=1) for t in range(2))
    expected = F.leaky_relu(expected + first.bias[:, None, None], 0.2)
    torch.testing.assert_close(network(x), F.conv2d(expected, last.weight, last.bias, stride=2, padding=1))


def test_longer_clips_are_scored_pair_by_pair():
    network = build(in_channels=3, channels=(4, ))
    x = torch.randn(2, 3, 5, 16, 24)
    score = network(x)
    assert score.shape == (4, 1, 4, 6)
    torch.testing.assert_close(score[:2], network(torch.cat([x[:1, :, :2], x[:1, :, 2:4]])))


def test_order_of_the_frames_matters():
    network, x = build(in_channels=3, channels=(4, )), torch.randn(1, 3, 2, 16, 16)
    assert not torch.allclose(network(x), network(x.flip(2)))


@pytest.mark.parametrize(('shape', 'message'), [
    ((1, 2, 32, 32), r'shape \(1, 2, 32, 32\); expected \(B, C, T, H, W\).*ClipDataset'),
    ((1, 2, 1, 32, 32), 'with T >= 2'),
    ((1, 2, 2, 31, 64), '31 x 64.*need 32 pixels'),
])
def test_inputs_that_do_not_fit_are_named(shape, message):
    with pytest.raises(ValueError, match=message):
        build(in_channels=2)(torch.zeros(shape))


# -- Eq. 8 -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('gan', ['bce', 'ls'])
def test_alignment_of_clips_is_equation_8(gan):
    torch.manual_seed(0)
    objective = AdversarialAlignment(dict(type='SequenceDiscriminator', in_channels=3, channels=(4, )),
                                     weights=dict(main=0.3), gan=gan)
    batch = clip_batch()
    losses = objective(batch, None)
    discriminator = objective.discriminators['main']

    def stacked(domain):  # U = [P_t, P_{t - tau}] of each clip, written out
        prob = domain.logits['main'].softmax(1)
        return torch.stack([torch.stack([prob[2 * b], prob[2 * b + 1]], 1) for b in range(2)])

    criterion = F.binary_cross_entropy_with_logits if gan == 'bce' else F.mse_loss

    def loss(score, truth):
        return criterion(score, torch.full_like(score, truth))

    fooled = 0.3 * loss(discriminator(stacked(batch.target)), 0.0)
    of_source, of_target = (discriminator(stacked(domain).detach()) for domain in (batch.source, batch.target))
    trained = (loss(of_source, 0.0) + loss(of_target, 1.0)) / 2
    torch.testing.assert_close(losses['loss_adv_main'], fooled)
    torch.testing.assert_close(losses['loss_dis_main'], trained)
    # One sum: the segmentor's gradient is that of the first term, the discriminator's that of the second.
    total, weights = losses['loss_adv_main'] + losses['loss_dis_main'], list(discriminator.parameters())
    ours = torch.autograd.grad(total, [batch.target.logits['main'], *weights])
    torch.testing.assert_close(ours[0], torch.autograd.grad(fooled, batch.target.logits['main'])[0])
    torch.testing.assert_close(ours[1:], torch.autograd.grad(trained, weights))


def test_an_image_discriminator_sees_the_frames_of_clips():
    torch.manual_seed(0)
    objective = AdversarialAlignment(dict(type='ImageDiscriminator', in_channels=3, channels=(4, )), weights=dict(main=1.0))
    clips, images = clip_batch(), clip_batch()
    for domain in (images.source, images.target):
        domain.clip_length = 1
    torch.testing.assert_close(objective(clips, None), objective(images, None))


def test_features_and_entropies_of_clips_can_be_aligned_too():
    for arguments in (dict(space='feature', weights={'0': 1.0}), dict(space='entropy', weights=dict(main=1.0))):
        channels = 6 if arguments['space'] == 'feature' else 3
        objective = AdversarialAlignment(dict(type='SequenceDiscriminator', in_channels=channels, channels=(4, )), **arguments)
        assert all(value.isfinite() for value in objective(clip_batch(), None).values())


def test_local_weights_of_clips_are_refused():
    with pytest.raises(ValueError, match='local_weight weighs single frames, SequenceDiscriminator scores clips'):
        AdversarialAlignment(dict(type='SequenceDiscriminator', in_channels=3), weights=dict(main=1.0), local_weight={})


def test_single_images_are_named():
    batch = clip_batch(t=1)
    objective = AdversarialAlignment(dict(type='SequenceDiscriminator', in_channels=3, channels=(4, )), weights=dict(main=1.0))
    with pytest.raises(ValueError, match=r'expected \(B, C, T, H, W\) with T >= 2'):
        objective(batch, None)


# -- tube matching -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('mode', ['tube', 'single'])
def test_objective_is_the_function_on_the_sources_clips(mode):
    batch = clip_batch()
    losses = TubeMatching(0.5, mode=mode, reduction='mean')(batch, None)
    prob, label = batch.source.logits['main'].softmax(1), batch.source.label
    clips = torch.stack([prob[:2], prob[2:]]), torch.stack([label[:2], label[2:]])
    expected = tube_matching_loss(*clips, mode=mode, reduction='mean')
    torch.testing.assert_close(losses[f'loss_{mode}'], 0.5 * expected)
    torch.testing.assert_close(losses[f'distance_{mode}'], expected.detach())
    assert not losses[f'distance_{mode}'].requires_grad
    losses[f'loss_{mode}'].backward()
    assert batch.source.logits['main'].grad.abs().sum() > 0 and batch.target.logits['main'].grad is None


def test_descent_on_the_objective_finds_the_labels():
    batch = clip_batch(b=1, size=(2, 3))
    logits = batch.source.logits['main']
    for _ in range(60):
        gradient, = torch.autograd.grad(TubeMatching()(batch, None)['loss_tube'], logits)
        with torch.no_grad():
            logits -= 5 * gradient
    assert torch.equal(logits.argmax(1), batch.source.label)


@pytest.mark.parametrize(('change', 'message'), [
    (dict(label=None), 'no labels on the source'),
    (dict(clip_length=1), r'clips of 2 or more frames, the source has 1.*frame_offsets=\(0, -1\)'),
    (dict(logits={'aux': torch.zeros(1)}), r"matches the head 'main', the model has \['aux'\]"),
])
def test_batches_that_do_not_fit_are_named(change, message):
    batch = clip_batch()
    for name, value in change.items():
        setattr(batch.source, name, value)
    with pytest.raises(ValueError, match=message):
        TubeMatching()(batch, None)


@pytest.mark.parametrize('change', [dict(mode='clip'), dict(reduction='none')])
def test_bad_choices_are_refused(change):
    with pytest.raises(ValueError, match='expected'):
        TubeMatching(**change)


def test_single_frames_need_no_clips():
    assert TubeMatching(mode='single')(clip_batch(t=1), None)['loss_single'].isfinite()
