# SPDX-License-Identifier: Apache-2.0
"""The conditional prior: what its losses are, whom they train, and that it learns shapes from labels."""
import pytest
import torch
import torch.nn.functional as F

import udatools  # noqa: F401
from udatools.models.objectives import ConditionalPrior
from udatools.models.objectives.conditional_prior import ConditionalPriorNetwork
from udatools.models.segmentors import DomainBatch, UDABatch

CLASSES = 4


def make(seed=0, **kwargs):
    torch.manual_seed(seed)
    return ConditionalPrior(CLASSES, **{'weight': 0.5, 'stride': 2, 'channels': (6, 8), 'bottleneck': 3, **kwargs})


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    domains = {}
    for name in ('source', 'target'):
        label = torch.randint(0, CLASSES, (2, 8, 12), generator=generator)
        label[:, 0] = 255
        logits = (2 * torch.randn(2, CLASSES, 8, 12, generator=generator)).requires_grad_()
        domains[name] = DomainBatch(torch.randn(2, 3, 8, 12, generator=generator), label if name == 'source' else None, (),
                                    {'main': logits})
    return UDABatch(**domains)


def test_losses_equal_the_formula(batch):
    objective = make()
    torch.manual_seed(5)
    values = objective(batch, None)
    torch.manual_seed(5)
    permuted = torch.randperm(CLASSES)
    shares, main = torch.zeros(2, CLASSES, 4, 6), torch.full((2, 4, 6), 255)
    for b in range(2):
        for v in range(4):
            for u in range(6):
                square = batch.source.label[b, 2 * v:2 * v + 2, 2 * u:2 * u + 2].flatten().tolist()
                for value in square:
                    if value != 255:
                        shares[b, permuted[value], v, u] += 0.25
                top = max(range(CLASSES), key=lambda c: (float(shares[b, c, v, u]), -c))
                if shares[b, top, v, u] >= 0.5:
                    main[b, v, u] = top
    assert 0 < (main == 255).sum() < main.numel()
    source = F.avg_pool2d(batch.source.inputs, 2)
    logits = objective.prior(shares, source)
    torch.testing.assert_close(values['loss_fit'], F.cross_entropy(logits, main, ignore_index=255))
    correct = (logits.argmax(1) == main)[main != 255].float().mean()
    torch.testing.assert_close(values['prior_accuracy'], correct)
    prob = F.avg_pool2d(batch.target.logits['main'].softmax(1), 2)
    energy = -(prob * objective.prior(prob, F.avg_pool2d(batch.target.inputs, 2)).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(values['loss_prior'], 0.5 * energy)


def test_each_loss_trains_its_own_part(batch):
    objective = make()
    weights = list(objective.prior.parameters())
    logits = batch.target.logits['main']
    values = objective(batch, None)
    assert all(gradient is None for gradient in torch.autograd.grad(values['loss_prior'], weights, retain_graph=True,
                                                                    allow_unused=True))
    gradient, = torch.autograd.grad(values['loss_prior'], logits, retain_graph=True)
    assert gradient.abs().sum() > 0
    fit = torch.autograd.grad(values['loss_fit'], weights, retain_graph=True)
    assert all(one.abs().sum() > 0 for one in fit)
    assert torch.autograd.grad(values['loss_fit'], [logits, batch.source.logits['main']], allow_unused=True) == (None, None)
    assert [name for name, _ in objective.optimised_parts()['discriminator'].named_parameters()][0].startswith('prior.encoder')


def test_a_stage_ahead_needs_no_target(batch):
    batch.target = None
    assert set(make(weight=0.0)(batch, None)) == {'loss_fit', 'prior_accuracy'}
    with pytest.raises(ValueError, match="ConditionalPrior needs the domain 'target'"):
        make()(batch, None)


def test_a_batch_without_labels_still_uses_every_weight(batch):
    batch.source.label.fill_(255)
    objective = make()
    values = objective(batch, None)
    assert float(values['loss_fit'].detach()) == 0
    sum(value for name, value in values.items() if 'loss' in name).backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())


@pytest.mark.parametrize('size', [(8, 16), (9, 17), (5, 7)])
def test_the_network_keeps_any_size(size):
    network = ConditionalPriorNetwork(CLASSES, (4, 6, 8), 2)
    assert network(torch.rand(2, CLASSES, *size), torch.rand(2, 3, *size)).shape == (2, CLASSES, *size)
    assert ConditionalPriorNetwork(CLASSES, (4, ), 2)(torch.rand(1, CLASSES, *size), torch.rand(1, 3, *size)).shape[1] == CLASSES


def test_the_segmentation_passes_the_bottleneck_alone():
    """With the bottleneck cut, the reconstruction is a function of the image."""
    network = ConditionalPriorNetwork(CLASSES, (4, 6), 2)
    image = torch.rand(1, 3, 8, 8)
    one, two = (network(torch.rand(1, CLASSES, 8, 8), image) for _ in range(2))
    assert not torch.allclose(one, two)
    with torch.no_grad():
        network.encoder[-1].weight.zero_()
        network.encoder[-1].bias.zero_()
    one, two = (network(torch.rand(1, CLASSES, 8, 8), image) for _ in range(2))
    assert torch.equal(one, two)


def test_a_trained_prior_likes_shapes_and_no_noise():
    """Images of a bright box: after training on labels, a box costs less than blots of the same two classes."""
    objective = make(stride=1, channels=(16, ), bottleneck=8)
    optimiser = torch.optim.Adam(objective.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)

    def scene(count):
        label = torch.zeros(count, 12, 12, dtype=torch.int64)
        for one in label:
            y, x = torch.randint(0, 7, (2, ), generator=generator).tolist()
            one[y:y + 5, x:x + 5] = 1
        image = label[:, None].float().repeat(1, 3, 1, 1) * 2 - 1 + 0.1 * torch.randn(count, 3, 12, 12, generator=generator)
        return image, label

    def losses(image, label, segmentation):
        logits = 8 * F.one_hot(segmentation, CLASSES).movedim(-1, 1).float()
        target = DomainBatch(image, None, (), {'main': logits})
        return objective(UDABatch(source=DomainBatch(image, label, ()), target=target), None)

    accuracy = []
    for _ in range(80):
        image, label = scene(8)
        optimiser.zero_grad()
        values = losses(image, label, label)
        values['loss_fit'].backward()
        optimiser.step()
        accuracy.append(float(values['prior_accuracy']))
    assert sum(accuracy[-20:]) / 20 > 0.75  # which class is permuted, so this is no matter of the image alone
    image, label = scene(16)
    blots = torch.randint(0, 2, label.shape, generator=generator)
    assert losses(image, label, label)['loss_prior'] < 0.5 * losses(image, label, blots)['loss_prior']


def test_what_is_refused():
    for wrong in (dict(weight=-1.0), dict(stride=0), dict(channels=())):
        with pytest.raises(ValueError, match='expected a weight >= 0'):
            make(**wrong)
