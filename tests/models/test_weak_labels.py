# SPDX-License-Identifier: Apache-2.0
"""WDA: both objectives against loops over images and classes, tags of people and of the network, one backward for both terms."""
import json
import math

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

import udatools  # noqa: F401
from udatools.models.discriminators import CategoryDiscriminators
from udatools.models.objectives import CategoryAlignment, WeakLabelClassification
from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor

KEYS = ('a', 'b')
DISCRIMINATOR = dict(type='CategoryDiscriminators', in_channels=4, num_classes=3, channels=(5, ))


class Model:
    """Stands in for the segmentor: upsampling alone."""

    upsample = staticmethod(lambda logits, size: F.interpolate(logits, tuple(size), mode='bilinear'))


def make_domain(seed, label=None, keys=KEYS):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 4, 6, generator=generator).mul(3).requires_grad_()
    features = torch.randn(2, 4, 4, 6, generator=generator).requires_grad_()
    return DomainBatch(torch.zeros(2, 3, 4, 6), label, (torch.zeros(2, 1, 8, 8), features), {'main': logits}, keys=keys)


@pytest.fixture
def tag_file(tmp_path):
    """Function: a file of tags."""
    def write(images, classes=3):
        (tmp_path / 'tags.json').write_text(json.dumps(dict(classes=list(map(str, range(classes))), images=images)))
        return str(tmp_path / 'tags.json')
    return write


def probability(logits, b, c):
    values = [float(x) for x in logits[b, c].flatten()]
    return 1 / (1 + math.exp(-math.log(sum(map(math.exp, values)) / len(values))))


def reference_classification(logits, tags):
    total = 0.0
    for b, present in enumerate(tags):
        for c in range(3):
            p = probability(logits, b, c)
            total -= 0.0 if present is None else math.log(p if c in present else 1 - p)
    return total / len(tags)


@pytest.mark.parametrize('tags', [([0, 2], [1]), ([], [0, 1, 2]), ([1], None)])
def test_classification_of_peoples_tags(tags, tag_file):
    target = make_domain(0)
    path = tag_file({key: present for key, present in zip(KEYS, tags, strict=True) if present is not None})
    losses = WeakLabelClassification(path, loss_weight=0.5)(UDABatch(target=target), Model())
    expected = 0.5 * reference_classification(target.logits['main'], tags)
    assert float(losses['loss_tags'].detach()) == pytest.approx(expected, rel=1e-5)
    assert float(losses['classes']) == sum(len(present or ()) for present in tags) / 2


@pytest.mark.parametrize('threshold', [0.2, 0.9])
def test_without_a_file_the_tags_are_the_networks_own(threshold):
    target = make_domain(1)
    logits = target.logits['main']
    tags = [[c for c in range(3) if probability(logits, b, c) > threshold] for b in range(2)]
    assert 0 < sum(map(len, tags)) and (threshold == 0.2 or sum(map(len, tags)) < 6)
    loss = WeakLabelClassification(threshold=threshold, loss_weight=1)(UDABatch(target=target), Model())['loss_tags']
    assert float(loss.detach()) == pytest.approx(reference_classification(logits, tags), rel=1e-5)


def reference_alignment(discriminators, source, target, in_source, in_target, weight):
    """Eq. 3 to 5, class by class; source is 0, target is 1."""
    def feature(domain, b, c):
        attention = domain.logits['main'][b, c].flatten().softmax(0)
        return (domain.features[-1][b].flatten(1) * attention).sum(1)

    def score(value, c):
        everything = torch.zeros(1, 3, 4)  # what the discriminators of other classes see does not matter
        everything[0, c] = value
        return discriminators(everything)[0, c]

    adversarial = discrimination = 0.0
    for b in range(2):
        for c in range(3):
            if c in in_source[b]:
                discrimination = discrimination - F.logsigmoid(-score(feature(source, b, c), c)) / 2
            if c in in_target[b]:
                discrimination = discrimination - F.logsigmoid(score(feature(target, b, c), c)) / 2
                adversarial = adversarial - weight * F.logsigmoid(-score(feature(target, b, c), c)) / 2
    return adversarial, discrimination


def test_alignment_equals_the_sums_over_present_classes(tag_file):
    label = torch.full((2, 4, 6), 255)
    label[0, 0, 0], label[0, 1, 1], label[1, 0, 0] = 0, 2, 1
    source, target = make_domain(2, label), make_domain(3)
    tags = ([1], [0, 1, 2])
    torch.manual_seed(0)
    objective = CategoryAlignment(DISCRIMINATOR, tags=tag_file(dict(zip(KEYS, tags, strict=True))), weight=0.3)
    losses = objective(UDABatch(source=source, target=target), Model())
    adversarial, discrimination = reference_alignment(objective.discriminators, source, target, ([0, 2], [1]), tags, 0.3)
    torch.testing.assert_close(losses['loss_adv'], adversarial)
    torch.testing.assert_close(losses['loss_dis'], discrimination)
    # The one term reaches the network alone, the other the discriminators alone.
    weights = list(objective.discriminators.parameters())
    seen = [target.features[-1], target.logits['main'], source.features[-1]]
    of_adversarial = torch.autograd.grad(losses['loss_adv'], weights + seen, allow_unused=True, retain_graph=True)
    of_discrimination = torch.autograd.grad(losses['loss_dis'], weights + seen, allow_unused=True)
    assert all(grad is None for grad in (*of_adversarial[:len(weights)], of_adversarial[-1], *of_discrimination[len(weights):]))
    assert all(grad.abs().sum() > 0 for grad in (*of_adversarial[len(weights):-1], *of_discrimination[:len(weights)]))


def test_an_image_without_tags_aligns_nothing(tag_file):
    source, target = make_domain(2, torch.zeros(2, 4, 6, dtype=torch.long)), make_domain(3)
    losses = CategoryAlignment(DISCRIMINATOR, tags=tag_file({}))(UDABatch(source=source, target=target), Model())
    assert float(losses['loss_adv'].detach()) == 0 and float(losses['loss_dis'].detach()) > 0
    assert float(WeakLabelClassification(tag_file({}))(UDABatch(target=target), Model())['loss_tags'].detach()) == 0


def test_discriminators_share_nothing():
    torch.manual_seed(0)
    module = CategoryDiscriminators(4, 3, channels=(5, 6))
    features = torch.randn(2, 3, 4)
    score = module(features)
    assert score.shape == (2, 3)
    other = features.clone()
    other[:, 1] += 1
    assert torch.equal(module(other)[:, [0, 2]], score[:, [0, 2]]) and not torch.equal(module(other)[:, 1], score[:, 1])
    weights, biases = (  # of class 1, layer by layer
        [getattr(layer, name).chunk(3)[1] for layer in module.layers[::2]] for name in ('weight', 'bias'))
    hidden = features[:, 1]
    for depth, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        hidden = F.linear(hidden if depth == 0 else F.leaky_relu(hidden, 0.2), weight[..., 0], bias)
    torch.testing.assert_close(score[:, 1:2], hidden)
    with pytest.raises(ValueError, match=r'expected \(B, 3, 4\)'):
        module(features[:, :2])
    with pytest.raises(ValueError, match='num_classes=0'):
        CategoryDiscriminators(4, 0)


def test_in_a_segmentor_every_parameter_learns_at_once(segmentor_cfg, domain_batch, tag_file):
    inputs, samples = domain_batch
    del segmentor_cfg['auxiliary_head']
    for sample, key in zip(samples['target'], KEYS, strict=True):
        sample.set_metainfo(dict(key=key))
    discriminator = dict(type='CategoryDiscriminators', in_channels=32, num_classes=5, channels=(4, ))
    path = tag_file({'a': [0, 1, 2, 3, 4], 'b': [0]}, classes=5)
    torch.manual_seed(0)
    model = UDASegmentor(segmentor_cfg, objectives=[
        dict(type='SegmentationCE'), dict(type='WeakLabelClassification', tags=path),
        dict(type='CategoryAlignment', discriminator=discriminator, tags=path)])
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(dict(type='UDAOptimWrapperConstructor', optim_wrapper_cfg=dict(
        segmentor=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)),
        discriminator=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01)))))(model)
    before = {name: value.clone() for name, value in model.named_parameters()}
    total, _ = model.parse_losses(model(inputs, samples, mode='loss'))
    wrapper.update_params(total)
    assert all(not torch.equal(before[name], value) for name, value in model.named_parameters() if value.requires_grad)


def test_tags_raise_the_classes_that_are_there(tag_file):
    target = make_domain(4)
    WeakLabelClassification(tag_file({'a': [0], 'b': [0]}))(UDABatch(target=target), Model())['loss_tags'].backward()
    gradient = target.logits['main'].grad
    assert (gradient[:, 0] <= 0).all() and (gradient[:, 1:] >= 0).all()


def test_what_is_wrong_is_named(tag_file, tmp_path):
    target = UDABatch(target=make_domain(0))
    for arguments, match in ((dict(threshold=1), 'threshold=1'), (dict(k=0), 'k=0')):
        with pytest.raises(ValueError, match=match):
            WeakLabelClassification(**arguments)
    with pytest.raises(FileNotFoundError, match='tag_file'):
        WeakLabelClassification(str(tmp_path / 'none.json'))(target, Model())
    with pytest.raises(ValueError, match='tags of 5 classes, the model has 3'):
        WeakLabelClassification(tag_file({}, classes=5))(target, Model())
    with pytest.raises(ValueError, match="must pack 'key'"):
        WeakLabelClassification(tag_file({}))(UDABatch(target=make_domain(0, keys=())), Model())
    with pytest.raises(ValueError, match='needs labels on the source'):
        CategoryAlignment(DISCRIMINATOR)(UDABatch(source=make_domain(1), target=make_domain(0)), Model())
    assert MODELS.build(DISCRIMINATOR).num_classes == 3
