# SPDX-License-Identifier: Apache-2.0
"""LSE: which images give patches, the loss by hand, and what is wrong."""
import json

import pytest
import torch

from udatools.models.objectives import ScaleInvariantPatches
from udatools.models.objectives.scale_invariance import most_confident
from udatools.models.segmentors import DomainBatch, UDABatch
from udatools.ops.patches import scaled_patches

DIFFICULTY = {'a': 0.5, 'b': 0.1, 'c': 0.1, 'd': 0.9}


class Seen:
    """Stands in for the segmentor: fixed logits, remembers its inputs."""

    def __init__(self, logits):
        self.logits = logits

    def forward_made(self, images, label, weight):
        self.images, self.label = images, label
        return DomainBatch(images, label, (), {'main': self.logits}, weight=weight)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'split.json').write_text(json.dumps(dict(difficulty=DIFFICULTY)))
    (tmp_path / 'thresholds.json').write_text(json.dumps(dict(policy=dict(type='ClassEntropyPolicy', portion=0.25))))
    return str(tmp_path)


def make_batch(keys=('a', 'b'), labelled=True):
    generator = torch.Generator().manual_seed(0)
    label = torch.tensor([0, 1, 2, 255])[torch.randint(0, 4, (len(keys), 6, 8), generator=generator)]
    images = torch.randn(len(keys), 3, 6, 8, generator=generator)
    return UDABatch(target=DomainBatch(images, label if labelled else None, (), keys=keys))


def test_the_most_confident_come_first_and_equal_ones_by_key():
    assert [sorted(most_confident(DIFFICULTY, portion)) for portion in (0.01, 0.25, 0.26, 0.75, 1.0)] == [
        ['b'], ['b'], ['b', 'c'], ['a', 'b', 'c'], ['a', 'b', 'c', 'd']]


@pytest.mark.parametrize('gamma', [0.0, 3.0])
def test_loss_by_hand(folder, gamma):
    batch, model = make_batch(), Seen(torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(1)))
    torch.manual_seed(5)
    losses = ScaleInvariantPatches(folder, scale=2.0, gamma=gamma, loss_weight=0.5)(batch, model)
    torch.manual_seed(5)
    images, label = scaled_patches(batch.target.inputs, batch.target.label, 2.0)
    assert torch.equal(model.images, images) and float(losses['chosen']) == 0.5
    total, count = 0.0, 0
    for y in range(6):
        for x in range(8):
            if label[1, y, x] != 255:  # of image b alone: a is not among the most confident quarter
                log_p = float(model.logits[1, :, y, x].log_softmax(0)[label[1, y, x]])
                total -= (1 - 2.718281828459045**log_p)**gamma * log_p
                count += 1
    assert count > 10 and float(losses['loss_main']) == pytest.approx(0.5 * total / count, rel=1e-4)
    assert (model.label[0] == 255).all()


def test_a_batch_without_confident_images_teaches_nothing_but_runs(folder):
    model = Seen(torch.zeros(1, 3, 6, 8, requires_grad=True))
    loss = ScaleInvariantPatches(folder)(make_batch(('d', )), model)['loss_main']
    loss.backward()
    assert float(loss.detach()) == 0 and model.logits.grad.abs().sum() == 0


def test_the_portion_may_be_given(folder):
    model = Seen(torch.zeros(2, 3, 6, 8))
    assert float(ScaleInvariantPatches(folder, portion=0.75)(make_batch(), model)['chosen']) == 1


def test_what_is_wrong_is_named(folder, tmp_path):
    for arguments, match in ((dict(portion=0), 'portion is 0'), (dict(scale=1), 'scale is 1')):
        with pytest.raises(ValueError, match=match):
            ScaleInvariantPatches(folder, **arguments)
    with pytest.raises(FileNotFoundError, match='PseudoLabelHook'):
        ScaleInvariantPatches(str(tmp_path / 'none'))(make_batch(), None)
    with pytest.raises(ValueError, match='has no pseudo-labels'):
        ScaleInvariantPatches(folder)(make_batch(labelled=False), None)
    for keys in (('a', 'z'), ()):
        batch = make_batch()
        batch.target.keys = keys
        with pytest.raises(ValueError, match="pack 'key'"):
            ScaleInvariantPatches(folder)(batch, None)
    (tmp_path / 'thresholds.json').write_text(json.dumps(dict(policy=dict(type='InstanceAdaptivePolicy'))))
    with pytest.raises(ValueError, match='InstanceAdaptivePolicy, which has no portion'):
        ScaleInvariantPatches(folder)(make_batch(), None)
