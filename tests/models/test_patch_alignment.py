# SPDX-License-Identifier: Apache-2.0
"""PatchAlign: modes by brute force, both phases written out, what trains what, and its discriminator."""
import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

import udatools  # noqa: F401
from udatools.models.objectives import PatchAlignment
from udatools.models.segmentors import DomainBatch, UDABatch

CLASSES, CLUSTERS = 5, 4


def make(**kwargs):
    torch.manual_seed(0)
    discriminator = dict(type='PatchDiscriminator', in_channels=CLUSTERS, channels=(6, 7))
    return PatchAlignment(discriminator, **{'num_classes': CLASSES, 'num_clusters': CLUSTERS, 'patch_size': (8, 16),
                                            'channels': 6, **kwargs})


@pytest.fixture
def ready():
    objective = make(weight=0.5, classifier_weight=0.25)
    objective.set_centres(torch.rand(CLUSTERS, 4 * CLASSES, generator=torch.Generator().manual_seed(1)))
    return objective


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(2)
    label = torch.randint(0, CLASSES, (2, 16, 32), generator=generator)
    label[:, :8, :16] = 255  # a patch without a label
    label[0, 12, :] = 255
    domains = {}
    for name, truth in (('source', label), ('target', None)):
        logits = (3 * torch.randn(2, CLASSES, 16, 32, generator=generator)).requires_grad_()
        domains[name] = DomainBatch(torch.zeros(2, 3, 16, 32), truth, (), {'main': logits})
    return UDABatch(**domains)


def test_modes_are_the_nearest_centres(ready, batch):
    label = batch.source.label
    modes = ready.modes(label)
    for b in range(2):
        for v in range(2):
            for u in range(2):
                patch = label[b, 8 * v:8 * v + 8, 16 * u:16 * u + 16]
                if (patch == 255).all():
                    assert int(modes[b, v, u]) == 255
                    continue
                vector = []
                for cell in (patch[:4, :8], patch[:4, 8:], patch[4:, :8], patch[4:, 8:]):
                    inside = [int(value) for value in cell.flatten() if value != 255]
                    vector += [inside.count(c) / len(inside) for c in range(CLASSES)]
                distance = [sum((a - float(k))**2 for a, k in zip(vector, centre, strict=True)) for centre in ready.centres]
                assert int(modes[b, v, u]) == distance.index(min(distance))


def test_losses_equal_the_phases_written_out(ready, batch):
    values = ready(batch, None)

    def scores(domain):
        prob = domain.logits['main'].softmax(1)
        pooled = prob.view(2, CLASSES, 4, 4, 4, 8).mean((3, 5))
        first, second = ready.patch_classifier.layers[0], ready.patch_classifier.layers[2]
        hidden = F.conv2d(pooled, first.weight, first.bias, stride=2)
        return F.conv2d(F.leaky_relu(hidden, 0.2), second.weight, second.bias)

    source, target = scores(batch.source), scores(batch.target)
    modes = ready.modes(batch.source.label)
    patch = 0.25 * F.cross_entropy(source, modes, ignore_index=255)
    torch.testing.assert_close(values['loss_patch'], patch)
    discriminator = ready.discriminators['main']
    on_source, on_target = discriminator(source.softmax(1)), discriminator(target.softmax(1))
    adv = 0.5 * F.softplus(on_target).mean()  # binary cross-entropy against 0
    dis = (F.softplus(on_source).mean() + F.softplus(-on_target).mean()) / 2
    torch.testing.assert_close(values['loss_adv_main'], adv)
    torch.testing.assert_close(values['loss_dis_main'], dis)
    total = values['loss_patch'] + values['loss_adv_main'] + values['loss_dis_main']
    logits = [batch.source.logits['main'], batch.target.logits['main']]
    h_part, d_part = list(ready.patch_classifier.parameters()), list(discriminator.parameters())
    torch.testing.assert_close(torch.autograd.grad(total, [*logits, *h_part], retain_graph=True),
                               torch.autograd.grad(patch + adv, [*logits, *h_part], retain_graph=True), rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(torch.autograd.grad(total, d_part, retain_graph=True), torch.autograd.grad(dis, d_part))
    expected = [bool(k) for k in (source.argmax(1) == modes)[modes != 255]]
    assert float(values['patch_accuracy']) == pytest.approx(sum(expected) / len(expected))


def test_a_batch_without_labels_has_no_patch_loss_but_trains_the_classifier_all_the_same(ready, batch):
    batch.source.label.fill_(255)
    values = ready(batch, None)
    assert float(values['loss_patch'].detach()) == 0
    sum(value for key, value in values.items() if 'loss' in key).backward()
    assert all(parameter.grad is not None for parameter in ready.parameters())


def test_fewer_modes_than_clusters_leave_the_rest_out_of_reach():
    objective = make(num_clusters=4)
    objective.set_centres(torch.rand(2, 4 * CLASSES))
    labels = torch.randint(0, CLASSES, (20, 16, 32))
    assert set(objective.modes(labels).unique().tolist()) <= {0, 1}
    objective.set_centres(torch.ones(1, 4 * CLASSES))  # nothing of the first centres stays
    assert set(objective.modes(labels).unique().tolist()) == {0}


def test_h_and_d_share_an_optimiser_by_names_that_can_be_told_apart(ready):
    names = [name for name, _ in ready.optimised_parts()['discriminator'].named_parameters()]
    assert len(names) == len(list(ready.parameters())) == 10
    assert {name.split('.')[0] for name in names} == {'discriminators', 'patch_classifier'}


def test_what_is_missing_is_named(ready, batch):
    with pytest.raises(RuntimeError, match='PatchModesHook'):
        make()(batch, None)
    with pytest.raises(ValueError, match='num_clusters is 300'):
        make(num_clusters=300)
    with pytest.raises(ValueError, match='patch_size'):
        make(patch_size=(1, 8))
    for shape in ((CLUSTERS + 1, 20), (2, 7), (20, )):
        with pytest.raises(ValueError, match='centres have the shape'):
            ready.set_centres(torch.zeros(shape))
    batch.source.label = None
    with pytest.raises(ValueError, match='labels on the source'):
        ready(batch, None)


def test_centres_travel_with_a_checkpoint(ready):
    other = make()
    other.load_state_dict(ready.state_dict())
    assert torch.equal(other.centres, ready.centres)


def test_patch_discriminator_is_a_small_network_of_each_patch():
    torch.manual_seed(0)
    discriminator = MODELS.build(dict(type='PatchDiscriminator', in_channels=3, channels=(5, 6)))
    x = torch.randn(2, 3, 4, 5)
    weights = [(layer.weight[:, :, 0, 0], layer.bias) for layer in discriminator.layers if hasattr(layer, 'weight')]
    assert [tuple(w.shape) for w, _ in weights] == [(5, 3), (6, 5), (1, 6)]
    vector = x[1, :, 2, 3]
    for depth, (weight, bias) in enumerate(weights):
        vector = weight @ vector + bias
        if depth < 2:
            vector = torch.where(vector > 0, vector, 0.2 * vector)
    score = discriminator(x)
    assert score.shape == (2, 1, 4, 5)
    torch.testing.assert_close(score[1, :, 2, 3], vector)
    with pytest.raises(ValueError, match='in_channels'):
        MODELS.build(dict(type='PatchDiscriminator', in_channels=0))
