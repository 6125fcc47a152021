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


def permuted_with(seed, label):
    """The labels that ``loss_fit`` learns from after ``torch.manual_seed(seed)``: of each image another permutation."""
    torch.manual_seed(seed)
    draws = torch.rand(len(label), CLASSES)
    result = label.clone()
    for b in range(len(label)):
        order = sorted(range(CLASSES), key=lambda c: float(draws[b, c]))
        for before, after in enumerate(order):
            result[b][label[b] == before] = after
    return result


def reconstruction(objective, label, image):
    """Squares of two pixels as shares of classes -> logits of every pixel."""
    shares = torch.zeros(2, CLASSES, 4, 6)
    for b in range(2):
        for v in range(4):
            for u in range(6):
                for value in label[b, 2 * v:2 * v + 2, 2 * u:2 * u + 2].flatten().tolist():
                    if value != 255:
                        shares[b, value, v, u] += 0.25
    small = torch.stack([image[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]).mean(0)
    return F.interpolate(objective.prior(shares, small), image.shape[2:], mode='bilinear', align_corners=False)


def test_losses_equal_the_formula(batch):
    objective = make()
    torch.manual_seed(5)
    values = objective(batch, None)
    label = permuted_with(5, batch.source.label)
    assert all(len({(int(a), int(b)) for a, b in zip(label[i].flatten(), batch.source.label[i].flatten())}) == CLASSES + 1
               for i in range(2)), 'each class is another class, and 255 stays'
    logits = reconstruction(objective, label, batch.source.inputs)
    torch.testing.assert_close(values['loss_fit'], F.cross_entropy(logits, label, ignore_index=255))
    torch.testing.assert_close(values['prior_accuracy'], (logits.argmax(1) == label)[label != 255].float().mean())
    target = batch.target.logits['main']
    predicted = target.argmax(1)
    made = reconstruction(objective, predicted, batch.target.inputs).argmax(1)
    torch.testing.assert_close(values['loss_prior'], 0.5 * F.cross_entropy(target, made))
    torch.testing.assert_close(values['changed'], (made != predicted).float().mean())
    assert 0 < values['changed'] < 1


def test_a_teacher_is_corrected_in_place_of_the_student(batch):
    objective = make()
    batch.target.teacher_prob = torch.randn(2, CLASSES, 8, 12).softmax(1)
    made = reconstruction(objective, batch.target.teacher_prob.argmax(1), batch.target.inputs).argmax(1)
    values = objective(batch, None)
    torch.testing.assert_close(values['loss_prior'], 0.5 * F.cross_entropy(batch.target.logits['main'], made))
    torch.testing.assert_close(values['changed'], (made != batch.target.teacher_prob.argmax(1)).float().mean())


def test_images_are_permuted_apart(batch):
    label = batch.source.label[:1].repeat(2, 1, 1)
    one, two = permuted_with(5, label)
    assert not torch.equal(one, two)
    batch.source.label, batch.source.inputs = label, batch.source.inputs[:1].repeat(2, 1, 1, 1)
    objective = make()
    torch.manual_seed(5)
    both = objective(batch, None)['loss_fit']
    torch.testing.assert_close(both, F.cross_entropy(reconstruction(objective, torch.stack([one, two]), batch.source.inputs),
                                                     torch.stack([one, two]), ignore_index=255))


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


def test_a_trained_prior_mends_blots():
    """Images of a bright box: after training on labels, a tenth of wrong pixels is less, and whole boxes stay."""
    objective = make(weight=0.0, stride=1, channels=(16, ), bottleneck=8)
    optimiser = torch.optim.Adam(objective.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)

    def scene(count):
        label = torch.zeros(count, 12, 12, dtype=torch.int64)
        for one in label:
            y, x = torch.randint(0, 7, (2, ), generator=generator).tolist()
            one[y:y + 5, x:x + 5] = 1
        image = label[:, None].float().repeat(1, 3, 1, 1) * 2 - 1 + 0.1 * torch.randn(count, 3, 12, 12, generator=generator)
        return image, label

    def losses(image, label):
        return objective(UDABatch(source=DomainBatch(image, label, ()), target=None), None)

    accuracy = []
    for _ in range(80):
        image, label = scene(8)
        optimiser.zero_grad()
        values = losses(image, label)
        values['loss_fit'].backward()
        optimiser.step()
        accuracy.append(float(values['prior_accuracy']))
    assert sum(accuracy[-20:]) / 20 > 0.75  # which class is permuted, so this is no matter of the image alone
    image, label = scene(16)
    blots = torch.where(torch.rand(label.shape, generator=generator) < 0.1, 1 - label, label)
    wrong = [float((objective.reconstruct(one, image).argmax(1) != label).float().mean()) for one in (label, blots)]
    assert wrong[0] < 0.04 and wrong[1] < 0.6 * float((blots != label).float().mean()), wrong


def test_what_is_refused():
    for wrong in (dict(weight=-1.0), dict(stride=0), dict(channels=())):
        with pytest.raises(ValueError, match='expected a weight >= 0'):
            make(**wrong)
