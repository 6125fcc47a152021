# SPDX-License-Identifier: Apache-2.0
"""DA-VSN's intra-domain consistency and TPS's cross-frame pseudo-labels against literal loops over pixels, and their configs."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from shrink import REPO

import udatools  # noqa: F401
from udatools.engine.runner.stages import expand_stages, merge_stage_config
from udatools.models.objectives import CrossFramePseudoLabel, IntraDomainConsistency
from udatools.models.segmentors import DomainBatch, UDABatch

BOTH = [IntraDomainConsistency, CrossFramePseudoLabel]


def batch_of(logits, flow, *, known=None, frame_valid=None):
    """UDABatch whose target holds clips; logits (B, T, C, H, W), flow (B, T - 1, 2, H, W)."""
    b, t, _, h, w = logits.shape
    known = torch.ones(b, t - 1, h, w, dtype=torch.bool) if known is None else known
    flat = logits.flatten(0, 1).clone().requires_grad_()
    return UDABatch(target=DomainBatch(torch.zeros(b * t, 3, h, w), None, (), {'main': flat}, clip_length=t,
                                       frame_valid=frame_valid, flow=flow, flow_valid=known))


def random_case(seed, t=2, b=2, c=3, h=6, w=9):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(b, t, c, h, w, generator=generator)
    flow = torch.randint(-1, 2, (b, t - 1, 2, h, w), generator=generator).float()
    flow += 0.8 * (torch.rand(flow.shape, generator=generator) - 0.5)
    known = torch.rand(b, t - 1, h, w, generator=generator) < 0.8
    return logits, flow, known


def values_of(objective, batch):
    return {name: float(value.detach()) for name, value in objective(batch, None).items()}


def softmax(vector):
    powers = [math.exp(float(value)) for value in vector]
    return [power / sum(powers) for power in powers]


def places(logits, flow, known, frame_valid):
    """(b, j, y, x, position in the reference) of every pixel that has a partner there."""
    b, t, _, h, w = logits.shape
    for i in range(b):
        for j in range(1, t):
            for y in range(h):
                for x in range(w):
                    px, py = x + float(flow[i, j - 1, 0, y, x]), y + float(flow[i, j - 1, 1, y, x])
                    if known[i, j - 1, y, x] and frame_valid[i, j] and 0 <= px <= w - 1 and 0 <= py <= h - 1:
                        yield i, j, y, x, (py, px)


def literal_consistency(logits, flow, known, frame_valid):
    """Loss, and the number of pixels that follow; pixel by pixel."""
    h, w = logits.shape[3:]
    distances = []
    for i, j, y, x, (py, px) in places(logits, flow, known, frame_valid):
        moved = [0.0] * logits.shape[2]
        for yy in (math.floor(py), math.floor(py) + 1):
            for xx in (math.floor(px), math.floor(px) + 1):
                share = (1 - abs(py - yy)) * (1 - abs(px - xx))
                if share > 0:
                    corner = softmax(logits[i, j, :, min(yy, h - 1), min(xx, w - 1)])
                    moved = [value + share * other for value, other in zip(moved, corner, strict=True)]
        ours = softmax(logits[i, 0, :, y, x])
        entropies = [-sum(p * math.log(p) for p in vector if p > 0) for vector in (moved, ours)]
        if entropies[0] < entropies[1]:
            distances.append(sum(abs(p - q) for p, q in zip(ours, moved, strict=True)))
    return sum(distances) / max(len(distances), 1), len(distances)


def literal_pseudo_label(logits, flow, known, frame_valid, threshold):
    """Loss, and the share of labels that is kept; pixel by pixel."""
    terms = []
    for i, j, y, x, (py, px) in places(logits, flow, known, frame_valid):
        earlier = softmax(logits[i, j, :, math.floor(py + 0.5), math.floor(px + 0.5)])
        label = earlier.index(max(earlier))
        terms.append(-math.log(softmax(logits[i, 0, :, y, x])[label]) if max(earlier) >= threshold else None)
    kept = [term for term in terms if term is not None]
    return sum(kept) / max(len(terms), 1), len(kept) / max(len(terms), 1)


@pytest.mark.parametrize('t', [2, 3])
def test_both_equal_the_literal_loops(t):
    for seed in range(2):
        logits, flow, known = random_case(seed, t)
        frame_valid = torch.ones(2, t, dtype=torch.bool)
        frame_valid[0, 1] = seed == 0
        batch = batch_of(logits, flow, known=known, frame_valid=frame_valid)
        found = values_of(IntraDomainConsistency(0.5), batch)
        distance, number = literal_consistency(logits, flow, known, frame_valid)
        assert number > 5
        assert found['distance'] == pytest.approx(distance, rel=1e-4)
        assert found['loss_l1'] == pytest.approx(0.5 * distance, rel=1e-4)
        assert found['followed'] == pytest.approx(number / flow[:, :, 0].numel())
        found = values_of(CrossFramePseudoLabel(2.0, threshold=0.8), batch)
        value, kept = literal_pseudo_label(logits, flow, known, frame_valid, 0.8)
        assert 0.2 < kept < 0.8
        assert found['loss_ce'] == pytest.approx(2 * value, rel=1e-4) and found['kept'] == pytest.approx(kept)


def certain_of(classes, probability):
    """Logits (C, 1, W) that give each pixel's class that probability, of two classes."""
    margin = torch.tensor([math.log(p / (1 - p)) for p in probability])
    sign = torch.tensor(classes) * 2.0 - 1
    return torch.stack([-sign * margin / 2, sign * margin / 2])[:, None]


def test_by_hand():
    """The reference is the key frame one pixel further left: x of the key frame lies at x - 1, x = 0 outside."""
    key, reference = certain_of([0, 0, 1, 1], [0.6] * 4), certain_of([0, 1, 1, 1], [0.95, 0.99, 0.55, 0.55])
    flow = torch.zeros(1, 1, 2, 1, 4)
    flow[:, :, 0] = -1
    batch = batch_of(torch.stack([key, reference])[None], flow)
    # x = 1: 0.6 of class 0 against 0.95; x = 2: 0.6 of class 1 against 0.99; x = 3: 0.55 is less certain than 0.6.
    found = values_of(IntraDomainConsistency(1.0), batch)
    assert found['loss_l1'] == pytest.approx((2 * 0.35 + 2 * 0.39) / 2, rel=1e-4)
    assert found['followed'] == 0.5
    found = values_of(CrossFramePseudoLabel(threshold=0.9), batch)
    assert found['loss_ce'] == pytest.approx(-2 * math.log(0.6) / 3, rel=1e-4)  # x = 3 counts, with nothing
    assert found['kept'] == pytest.approx(2 / 3)
    everything = values_of(CrossFramePseudoLabel(threshold=0), batch)
    assert everything['loss_ce'] == pytest.approx(-math.log(0.6), rel=1e-4) and everything['kept'] == 1


@pytest.mark.parametrize('objective', BOTH)
def test_the_key_frame_learns_and_the_reference_does_not(objective):
    batch = batch_of(*random_case(3)[:2])
    losses = objective()(batch, None)
    loss, = (value for name, value in losses.items() if 'loss' in name)
    assert all(not value.requires_grad for name, value in losses.items() if 'loss' not in name)
    gradient, = torch.autograd.grad(loss, batch.target.logits['main'])
    key, reference = batch.target.clips(gradient).unbind(1)
    assert key.abs().sum() > 0 and reference.abs().sum() == 0


@pytest.mark.parametrize('objective', BOTH)
def test_descent_copies_the_certain_reference(objective):
    logits = torch.zeros(1, 2, 2, 1, 4)
    logits[:, 1] = certain_of([0, 1, 1, 0], [0.99] * 4)
    batch = batch_of(logits, torch.zeros(1, 1, 2, 1, 4))
    parameters = batch.target.logits['main']
    with torch.no_grad():
        parameters[0] += 0.01 * torch.randn(2, 1, 4, generator=torch.Generator().manual_seed(0))
    for _ in range(20):
        loss = objective(1.0)(batch, None)['loss_ce' if objective is CrossFramePseudoLabel else 'loss_l1']
        gradient, = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            parameters -= 4 * gradient
    assert parameters[0].argmax(0).tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize('objective', BOTH)
def test_nothing_to_learn_from_is_zero_with_a_zero_gradient(objective):
    logits, flow, known = random_case(4)
    nothing = [dict(known=torch.zeros_like(known)), dict(frame_valid=torch.tensor([[True, False]] * 2))]
    for arguments in nothing:
        batch = batch_of(logits, flow, **arguments)
        loss, = (value for name, value in objective()(batch, None).items() if 'loss' in name)
        gradient, = torch.autograd.grad(loss, batch.target.logits['main'])
        assert float(loss.detach()) == 0 and gradient.abs().sum() == 0


def test_a_frame_is_consistent_with_itself():
    logits, flow, _ = random_case(5)
    logits[:, 1] = logits[:, 0]
    batch = batch_of(logits, torch.zeros_like(flow))
    assert values_of(IntraDomainConsistency(1.0), batch)['loss_l1'] < 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.98))
def test_bounds_and_threshold(seed, threshold):
    logits, flow, known = random_case(seed, b=1)
    batch = batch_of(logits, flow, known=known)
    strict, loose = (values_of(CrossFramePseudoLabel(threshold=value), batch) for value in ((1 + threshold) / 2, threshold))
    assert 0 <= strict['kept'] <= loose['kept'] <= 1 and strict['loss_ce'] <= loose['loss_ce']
    assert 0 <= values_of(IntraDomainConsistency(), batch)['distance'] <= 2


@pytest.mark.parametrize('objective', BOTH)
@pytest.mark.parametrize(('change', 'message'), [
    (dict(clip_length=1), r'got 1 frame\(s\) and flow; give the ClipDataset'),
    (dict(flow=None), r'got 2 frame\(s\) and no flow; .*flow=dict\(root'),
    (dict(logits={'aux': torch.zeros(1)}), r"reads the head 'main', the model has \['aux'\]"),
])
def test_batches_that_do_not_fit_are_named(objective, change, message):
    batch = batch_of(*random_case(0)[:2])
    for name, value in change.items():
        setattr(batch.target, name, value)
    with pytest.raises(ValueError, match=f'{objective.__name__}.*{message}'):
        objective()(batch, None)


@pytest.mark.parametrize('threshold', [-0.1, 1.0])
def test_bad_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match='expected a probability'):
        CrossFramePseudoLabel(threshold=threshold)


# -- the methods -------------------------------------------------------------------------------------------------------------


def stage_of(name):
    cfg = Config.fromfile(REPO / 'configs' / f'{name}.py')
    stage, = expand_stages(cfg.stages)
    return merge_stage_config(cfg, stage)


@pytest.mark.parametrize('pair', ['minidrive_video', 'viper2csvps'])
def test_davsn_aligns_clips_and_frames_with_one_weight(pair):
    cfg = stage_of(f'davsn/davsn_{pair}')
    DefaultScope.get_instance('configs', scope_name='mmseg')
    with torch.device('meta'):
        objectives = MODELS.build(dict(cfg.model)).objectives
    assert list(objectives) == ['source', 'spatio_temporal', 'spatial', 'intra_domain']
    aligned = [objectives['spatio_temporal'], objectives['spatial']]
    assert [part.takes_clips for part in aligned] == [True, False]
    assert [part.weights for part in aligned] == [{'main': 0.001}] * 2 and objectives['intra_domain'].weight == 0.001
    clips, frames = (list(part.discriminators['main'].layers) for part in aligned)
    assert [layer.out_channels for layer in clips[::2]] == [layer.out_channels for layer in frames[::2]]
    assert cfg.train_dataloader.dataset.target.flow.root == cfg.target_flow.root
    assert not cfg.train_dataloader.dataset.source.get('flow')


@pytest.mark.parametrize('pair', ['minidrive_video', 'viper2csvps'])
def test_tps_augments_the_key_frame_of_the_target_alone(pair):
    cfg = stage_of(f'tps/tps_{pair}')
    data = cfg.train_dataloader.dataset
    colours = [part for part in data.target.pipeline if part['type'] == 'ClipPhotometric']
    assert [part.key_only for part in colours] == [True]
    kinds = [part['type'] for part in data.target.pipeline]
    assert kinds[0] == 'LoadClip' and kinds[-2:] == ['ClipPhotometric', 'PackClipInputs'] and 'ClipRandomFlip' in kinds
    assert not any(part.get('key_only') for part in data.source.pipeline)
    assert data.target.flow.root == cfg.target_flow.root
    assert [(part['type'], part.get('threshold')) for part in cfg.model.objectives] == [
        ('SegmentationCE', None), ('CrossFramePseudoLabel', 0.9)]
