# SPDX-License-Identifier: Apache-2.0
"""Online refinement of pseudo-labels (Eq. 12 and 14) against literal loops over pixels."""
import math
from types import SimpleNamespace

import pytest
import torch
from mmseg.registry import MODELS

import udatools  # noqa: F401
from udatools.models.label_refinement import TemporalConsensus
from udatools.models.segmentors import DomainBatch, UDABatch

NORMALISED = SimpleNamespace(_enable_normalize=True, mean=torch.tensor([120., 110., 100.]).view(3, 1, 1),
                             std=torch.tensor([60., 55., 50.]).view(3, 1, 1))
ALPHA, THRESHOLD = 2.0, 0.7


def batch_of(label, flow, *, known=None, back_flow=None, frame_valid=None, images=None):
    """UDABatch whose target holds clips; label (B, T, H, W), flow (B, T - 1, 2, H, W)."""
    b, t, h, w = label.shape
    inputs = torch.zeros(b * t, 3, h, w) if images is None else images.flatten(0, 1)
    known = torch.ones(b, t - 1, h, w, dtype=torch.bool) if known is None else known
    target = DomainBatch(inputs, label.flatten(0, 1), (), {}, clip_length=t, frame_valid=frame_valid, flow=flow,
                         flow_valid=known, back_flow=back_flow, back_flow_valid=None if back_flow is None else known)
    return UDABatch(target=target)


def random_case(seed, t=2, b=2, h=6, w=7):
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 3, (b, t, h, w), generator=generator)
    label[torch.rand(label.shape, generator=generator) < 0.3] = 255
    flow = torch.randint(-1, 2, (b, t - 1, 2, h, w), generator=generator).float()
    flow += 0.3 * (torch.rand(flow.shape, generator=generator) - 0.5)
    back = torch.randint(-1, 2, (b, t - 1, 2, h, w), generator=generator).float()
    known = torch.rand(b, t - 1, h, w, generator=generator) < 0.8
    images = torch.randn(b, t, 3, h, w, generator=generator)
    images = 0.3 * (images.mean(1, keepdim=True) + 0.3 * images)  # frames of a clip resemble each other
    return label, flow, back, known, images


def consistent(flow, back, back_known, x, y):
    """The rule of Sundaram et al. of the pixel at (x, y), whose position lies inside."""
    px, py = x + float(flow[0, y, x]), y + float(flow[1, y, x])
    returned, unknown = torch.zeros(2), 0.0
    for yy in (math.floor(py), math.floor(py) + 1):
        for xx in (math.floor(px), math.floor(px) + 1):
            share = (1 - abs(py - yy)) * (1 - abs(px - xx))
            if share > 0:
                unknown += share * (not back_known[yy, xx])
                returned += share * back[:, yy, xx] * back_known[yy, xx]
    there = flow[:, y, x]
    return unknown < 1e-3 and float((there + returned).square().sum()) < 0.01 * float(
        there.square().sum() + returned.square().sum()) + 0.5


def literal(label, other, flow, known, images, mode, unseen, back=None):
    """One frame (H, W) against another, pixel by pixel; images (2, 3, H, W), normalised. With ``back``, flow and where it is
    known, forward-backward consistency says what is visible."""
    height, width = label.shape
    unit = (images * NORMALISED.std + NORMALISED.mean) / 255

    def warped(y, x):
        """Label there, and the colour between the four pixels; None outside."""
        px, py = x + float(flow[0, y, x]), y + float(flow[1, y, x])
        if not (0 <= px <= width - 1 and 0 <= py <= height - 1):
            return 255, None
        colour = torch.zeros(3)
        for yy in (math.floor(py), math.floor(py) + 1):
            for xx in (math.floor(px), math.floor(px) + 1):
                share = (1 - abs(py - yy)) * (1 - abs(px - xx))
                if share > 0:
                    colour += share * unit[1, :, min(yy, height - 1), min(xx, width - 1)]
        nearest = int(other[math.floor(py + 0.5), math.floor(px + 0.5)])
        return (nearest if known[y, x] else 255), colour

    out = label.clone()
    for y in range(height):
        for x in range(width):
            value, colour = warped(y, x)
            visible = colour is not None and (
                consistent(flow, *back, x, y) if back else
                math.exp(-ALPHA * float((unit[0, :, y, x] - colour).norm())) > THRESHOLD)
            if mode == 'fill_in':
                if label[y, x] == 255 and visible:
                    out[y, x] = value
            elif label[y, x] != value and not (unseen == 'keep' and (value == 255 or not visible)):
                out[y, x] = 255
    return out


@pytest.mark.parametrize(('mode', 'unseen'), [('cut_out', 'drop'), ('cut_out', 'keep'), ('fill_in', 'drop')])
def test_equals_the_literal_loop_in_both_directions(mode, unseen):
    changed = 0
    for seed in range(3):
        label, flow, back, known, images = random_case(seed)
        batch = batch_of(label, flow, known=known, back_flow=back, images=images)
        TemporalConsensus(mode, unseen=unseen, alpha=ALPHA, threshold=THRESHOLD)(batch, NORMALISED)
        refined = batch.target.clips(batch.target.label)
        for b in range(2):
            pair = images[b]
            key = literal(label[b, 0], label[b, 1], flow[b, 0], known[b, 0], pair, mode, unseen)
            reference = literal(label[b, 1], label[b, 0], back[b, 0], known[b, 0], pair.flip(0), mode, unseen)
            assert torch.equal(refined[b], torch.stack([key, reference]))
        changed += int((refined != label).sum())
    assert changed > 10


@pytest.mark.parametrize(('mode', 'unseen'), [('cut_out', 'keep'), ('fill_in', 'drop')])
def test_forward_backward_consistency_equals_the_literal_loop(mode, unseen):
    changed, different = 0, 0
    for seed in range(8):
        label, flow, back, known, images = random_case(seed)
        back[..., :4] = -flow[..., :4]  # consistent on the left
        arguments = dict(known=known, back_flow=back)
        batch, photometric = batch_of(label, flow, **arguments), batch_of(label, flow, images=images, **arguments)
        batch.target.inputs = torch.full_like(batch.target.inputs, float('nan'))  # images are not looked at
        TemporalConsensus(mode, unseen=unseen, visibility='forward_backward')(batch, NORMALISED)
        TemporalConsensus(mode, unseen=unseen, alpha=ALPHA)(photometric, NORMALISED)
        refined = batch.target.clips(batch.target.label)
        for b in range(2):
            there, home = (flow[b, 0], known[b, 0]), (back[b, 0], known[b, 0])
            key = literal(label[b, 0], label[b, 1], *there, images[b], mode, unseen, home)
            reference = literal(label[b, 1], label[b, 0], *home, images[b].flip(0), mode, unseen, there)
            assert torch.equal(refined[b], torch.stack([key, reference]))
        changed += int((refined != label).sum())
        different += int((refined != photometric.target.clips(photometric.target.label)).sum())
    assert changed > 10 and different > 10


def test_forward_backward_consistency_needs_the_way_back():
    label, flow, *_ = random_case(0)
    with pytest.raises(ValueError, match='needs the flow from the references back; .*backward=True'):
        TemporalConsensus('fill_in', visibility='forward_backward')(batch_of(label, flow), NORMALISED)
    with pytest.raises(ValueError, match="changes nothing: mode='cut_out' with unseen='drop'"):
        TemporalConsensus(visibility='forward_backward')


def test_by_hand():
    """The reference is the key frame one pixel further left; its last column is not seen from there."""
    key = torch.tensor([[1, 1, 2, 2]])
    reference = torch.tensor([[1, 0, 2, 0]])
    flow = torch.zeros(1, 1, 2, 1, 4)
    flow[:, :, 0] = -1  # key x lies at x - 1
    batch = batch_of(torch.stack([key, reference])[None], flow)
    watched = TemporalConsensus()(batch, NORMALISED)
    # x = 0 is outside; 1 meets 1; 2 meets 0; 2 meets 2.
    assert batch.target.label[0].tolist() == [[255, 1, 255, 2]]
    assert batch.target.label[1].tolist() == reference.tolist(), 'without backward flow it stays'
    assert float(watched['kept']) == pytest.approx(6 / 8)
    filled = batch_of(torch.stack([torch.tensor([[255, 255, 2, 255]]), reference])[None], flow)
    TemporalConsensus('fill_in')(filled, NORMALISED)
    assert filled.target.label[0].tolist() == [[255, 1, 2, 2]]


def test_a_frame_that_does_not_exist_refines_nothing():
    label, flow, back, _, images = random_case(5)
    label[1, 1] = 255
    for mode in ('cut_out', 'fill_in'):
        batch = batch_of(label, flow, back_flow=back, images=images, frame_valid=torch.tensor([[True, True], [True, False]]))
        TemporalConsensus(mode)(batch, NORMALISED)
        refined = batch.target.clips(batch.target.label)
        assert torch.equal(refined[1], label[1]) and not torch.equal(refined[0], label[0])


def test_a_repeated_frame_agrees_with_itself():
    label, flow, _, _, images = random_case(6)
    label[:, 1] = label[:, 0]
    batch = batch_of(label, torch.zeros_like(flow), back_flow=torch.zeros_like(flow), images=images)
    TemporalConsensus()(batch, NORMALISED)
    assert torch.equal(batch.target.clips(batch.target.label), label)


def test_several_references_must_all_agree_and_the_first_fills():
    still = torch.zeros(1, 2, 2, 1, 3)
    label = torch.tensor([[[[1, 1, 1]], [[1, 2, 1]], [[1, 1, 255]]]])
    batch = batch_of(label, still)
    TemporalConsensus()(batch, NORMALISED)
    assert batch.target.label[0].tolist() == [[1, 255, 255]]
    label = torch.tensor([[[[255, 255, 0]], [[2, 255, 1]], [[1, 1, 1]]]])
    batch = batch_of(label, still)
    TemporalConsensus('fill_in')(batch, NORMALISED)
    assert batch.target.label[0].tolist() == [[2, 1, 0]]


def test_cut_out_only_removes_and_fill_in_only_adds():
    label, flow, back, known, images = random_case(7)
    for mode in ('cut_out', 'fill_in'):
        batch = batch_of(label, flow, known=known, back_flow=back, images=images)
        TemporalConsensus(mode, alpha=ALPHA)(batch, NORMALISED)
        before, after = label.flatten(0, 1), batch.target.label
        same = after == before
        assert ((after == 255) if mode == 'cut_out' else (before == 255))[~same].all() and (~same).any()


def test_the_scale_of_the_images_is_that_of_the_files():
    """A difference of 20 grey levels in one channel: visible at 1 / 255 scale, not if the normalised image were taken."""
    label = torch.tensor([[[[255]], [[1]]]])
    images = torch.zeros(1, 2, 3, 1, 1)
    images[0, 1, 0] = 20 / 60
    seen = {}
    for alpha in (4.2, 5.0):  # -log(0.7) / alpha = 0.0849 and 0.0713; the distance is 20 / 255 = 0.0784
        batch = batch_of(label, torch.zeros(1, 1, 2, 1, 1), images=images)
        TemporalConsensus('fill_in', alpha=alpha)(batch, NORMALISED)
        seen[alpha] = int(batch.target.label[0])
    assert seen == {4.2: 1, 5.0: 255}
    raw = batch_of(label, torch.zeros(1, 1, 2, 1, 1), images=60 * images)
    TemporalConsensus('fill_in')(raw, SimpleNamespace(_enable_normalize=False))
    assert int(raw.target.label[0]) == 1


@pytest.mark.parametrize(('change', 'message'), [
    (dict(label=None), 'the target has none; give it a label_dir'),
    (dict(flow=None), r'got 2 frame\(s\) and no flow'),
    (dict(clip_length=1), r'got 1 frame\(s\) and flow; give the ClipDataset'),
])
def test_batches_that_do_not_fit_are_named(change, message):
    label, flow, *_ = random_case(0)
    batch = batch_of(label, flow)
    for name, value in change.items():
        setattr(batch.target, name, value)
    with pytest.raises(ValueError, match=message):
        TemporalConsensus()(batch, NORMALISED)


@pytest.mark.parametrize('change', [dict(mode='cut'), dict(unseen='ignore'), dict(visibility='both')])
def test_bad_choices_are_refused(change):
    with pytest.raises(ValueError, match='expected'):
        TemporalConsensus(**change)


def test_objectives_see_the_refined_labels(segmentor_cfg, domain_batch, monkeypatch):
    """The segmentor refines before its objectives, and logs what was kept under a name that is not summed."""
    monkeypatch.setattr(TemporalConsensus, '__call__', lambda self, batch, preprocessor: (
        setattr(batch.target, 'label', torch.full_like(batch.target.label, 255)), {'kept': torch.tensor(0.0)})[1])
    model = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, label_refinement=dict(type='TemporalConsensus'),
                              objectives=[dict(type='SegmentationCE', name='target', domain='target')]))
    losses = model(*domain_batch, mode='loss')
    assert float(losses['target.loss_main'].detach()) == 0 and 'label_refinement.kept' in losses
