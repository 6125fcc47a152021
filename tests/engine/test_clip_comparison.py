# SPDX-License-Identifier: Apache-2.0
"""Clip comparisons: pseudo-labels against the components and against those of training, two passes, three frames in memory."""
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_network import CLASSES, PALETTE, drive, read_video, write_images, write_network, write_video

from udatools.engine.clip_comparison import ClipComparison, FrameWindow, RememberedFlow, write_comparison
from udatools.engine.frame_predictor import load_frame_predictor
from udatools.engine.frames import open_input
from udatools.engine.inference import ImagePredictor, TargetImages, build_predictor
from udatools.models.flow import DISFlow, FlowEstimator
from udatools.ops.warp import photometric_visibility, warp
from udatools.pseudo_labels import (
    AggregatedPredictor,
    ClipAdaptivePolicy,
    PseudoLabelStore,
    frame_positions,
    generate_pseudo_labels,
    group_clips,
)
from udatools.registry import FLOW_ESTIMATORS
from udatools.visualization import video_writer
from udatools.visualization.video_panels import ComparisonPicture

DIS = dict(type='DISFlow', preset='fast')


@pytest.fixture(scope='module')
def networks(tmp_path_factory):
    """The adapted and the source-only one."""
    folder = tmp_path_factory.mktemp('networks')
    return [load_frame_predictor(write_network(folder / str(seed), seed, stage=True), device='cpu') for seed in (2, 3)]


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    return open_input([write_images(tmp_path_factory.mktemp('clip') / 'drive', drive(5))])


@pytest.fixture(scope='module')
def compared(networks, clip):
    """A finished comparison and its frames."""
    comparison = ClipComparison(*networks, clip, flow=DIS)
    return comparison, list(comparison.compare())


def rgb(image):
    return torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1)))[None]


def flow_between(one, two):
    return DISFlow('fast').estimate(rgb(one), rgb(two))


def aggregated(network, images, number):
    """Eq. 10, from the predictions of single frames."""
    prob = [network.logits([image])[0].softmax(0) for image in images]
    total, count = prob[number].clone(), torch.ones(images[0].shape[:2])
    for other in (number - 1, number + 1):
        if not 0 <= other < len(images):
            continue
        flow = flow_between(images[number], images[other])
        moved, inside = warp(prob[other][None], flow)
        shown, _ = warp(rgb(images[other]) / 255, flow)
        visible = photometric_visibility(rgb(images[number]) / 255, shown) & inside
        total += moved[0] * visible[0]
        count += visible[0]
    return total / count


def thresholds(probs):
    """Eq. 11 for the first clip: all frames together, from 0.9."""
    winners, confidence = (np.stack(part) for part in zip(*((p.argmax(0), p.amax(0).half()) for p in probs)))
    theta = np.full(len(CLASSES), 0.9)
    for k in np.unique(winners):
        values = [0.9, *confidence[winners == k].astype(np.float64)]
        theta[k] = 0.9 * 0.9 + 0.1 * np.percentile(values, 100 * (1 - 0.2 * 0.9**8))
    return np.where(theta >= 1, 0.999, theta)


def test_labels_are_those_of_the_components(networks, compared):
    comparison, frames = compared
    images, height, width = drive(5), 48, 64
    probs = [aggregated(networks[0], images, number) for number in range(5)]
    theta = thresholds(probs)
    np.testing.assert_allclose(comparison.theta, theta, rtol=0, atol=1e-12)
    labels = []
    for prob in probs:
        label, confidence = prob.argmax(0).numpy(), prob.amax(0).half().double().numpy()
        labels.append(np.where(confidence >= theta[label], label, 255))
    assert 0.1 < np.mean(np.stack(labels) != 255) < 0.9  # there is something to see
    dropped = 0
    for number, frame in enumerate(frames):
        assert np.array_equal(frame.label, labels[number])
        expected = labels[number].copy()
        if number:
            flow = flow_between(images[number], images[number - 1])[0].numpy()
            assert np.array_equal(frame.flow, flow) and frame.known.all()
            for y in range(height):
                for x in range(width):
                    at_x, at_y = x + flow[0, y, x], y + flow[1, y, x]
                    inside = 0 <= at_x <= width - 1 and 0 <= at_y <= height - 1
                    if not inside or labels[number - 1][int(at_y + 0.5), int(at_x + 0.5)] != expected[y, x]:
                        expected[y, x] = 255
        dropped += int((expected != labels[number]).sum())
        assert np.array_equal(frame.refined, expected) and frame.refined.dtype == np.uint8
    assert dropped > 20
    assert not frames[0].known.any()


def test_labels_are_those_that_training_generates(compared, clip, tmp_path):
    """By the hook's way: data set, images, predictor, generator; the probabilities may differ in their last bits."""
    comparison, frames = compared
    images = TargetImages(dict(type='VideoFramesDomain', data_root=str(clip.path), pipeline=[
        dict(type='LoadDomainImage'), dict(type='PackSegInputs')]))
    checkpoint = write_network(tmp_path / 'adapted', 2, stage=True)
    cfg = Config.fromstring(torch.load(checkpoint, weights_only=False)['meta']['cfg'], '.py')
    positions = frame_positions(images.dataset, images.keys)
    predictor = AggregatedPredictor(ImagePredictor([build_predictor(cfg.model, checkpoint)], images), images, positions, flow=DIS)
    store = PseudoLabelStore(tmp_path / 'labels')
    generate_pseudo_labels(predictor, images.keys, ClipAdaptivePolicy(), store, len(CLASSES), clips=group_clips(positions, 30))
    for frame in frames:
        assert (store.read_label(frame.name) == frame.label).mean() > 0.998


def test_predictions_are_of_single_frames(networks, compared):
    for frame, image in zip(compared[1], drive(5)):
        assert np.array_equal(frame.image, image)
        assert np.array_equal(frame.adapted, networks[0].predict([image])[0].label)
        assert np.array_equal(frame.source, networks[1].predict([image])[0].label)
    assert [frame.name for frame in compared[1]] == ['0', '1', '2', '3', '4']


def test_the_length_of_flow_is_that_of_the_clip(compared):
    comparison, frames = compared
    lengths = [np.quantile(np.hypot(*frame.flow), 0.99) for frame in frames[1:]]
    assert comparison.largest_px == pytest.approx(np.median(lengths), rel=1e-5) and comparison.largest_px > 2.5


def test_flow_is_estimated_once_a_pair_and_pass(networks, clip, monkeypatch):
    asked = []

    class Counting(FlowEstimator):
        """DIS that keeps count."""

        def estimate(self, image, reference):
            asked.append(len(image))
            return DISFlow('fast').estimate(image, reference)

    monkeypatch.setitem(FLOW_ESTIMATORS.module_dict, 'Counting', Counting)
    comparison = ClipComparison(*networks, clip, flow=dict(type='Counting'))
    comparison.measure()
    assert len(asked) == 2 * 4
    assert len(list(comparison.compare())) == 5 and len(asked) == 4 * 4
    flow = RememberedFlow(dict(type='Counting'))
    one, two = (rgb(image) for image in drive(2))
    answers = [flow.between(*pair, [name])[0][0] for pair, name in (((one, two), ('a', 1)), ((two, one), ('b', -1)))]
    assert torch.equal(flow.last('a', 1)[0], answers[0]) and torch.equal(flow.last('b', -1)[0], answers[1])
    assert not torch.equal(*answers) and flow.last('a', 1)[1].shape == one.shape[2:] and len(asked) == 18


def test_three_frames_are_held(networks, clip):
    comparison = ClipComparison(*networks, clip, flow=DIS)
    held = []
    for _ in comparison.compare():
        held.append(len(comparison.window._kept))
        assert len(comparison.predictor._kept) <= 3 and len(comparison.predictor.flow._answers) <= 2
    assert max(held) == 3


def test_the_window(tmp_path):
    images = drive(6)
    frames = open_input([write_images(tmp_path / 'in', images)])
    window = FrameWindow(frames, 2)
    assert all(np.array_equal(window[number], images[number]) for number in (0, 1, 0, 3, 2, 5, 4, 0))
    assert np.array_equal(window.native_image(1), images[1][..., ::-1].transpose(2, 0, 1))
    (frames.path / '4.png').write_bytes((write_images(tmp_path / 'other', drive(1, size=(64, 40))) / '0.png').read_bytes())
    with pytest.raises(ValueError, match='frame 4 is 64x40, .* is 64x48; frames of a clip have one size'):
        window[5]


def test_a_video_that_got_shorter(tmp_path):
    frames = open_input([write_video(tmp_path / 'drive.avi', drive(4))])
    write_video(tmp_path / 'drive.avi', drive(2))
    with pytest.raises(ValueError, match='ended after 2 frames, it had 4 before'):
        FrameWindow(frames)[3]


def test_a_clip_of_one_frame(networks, tmp_path):
    comparison = ClipComparison(*networks, open_input([write_images(tmp_path / 'in', drive(1))]), flow=DIS)
    frame, = comparison.compare()
    prob = networks[0].logits(drive(1))[0].softmax(0)
    np.testing.assert_allclose(comparison.theta, thresholds([prob]), rtol=0, atol=1e-12)
    assert np.array_equal(frame.label, frame.refined) and not frame.known.any() and comparison.largest_px == 1.0


def test_networks_of_other_classes_are_refused(networks, clip, tmp_path):
    other = load_frame_predictor(write_network(tmp_path, classes=CLASSES[::-1]), device='cpu')
    with pytest.raises(ValueError, match='compare networks of the same classes'):
        ClipComparison(networks[0], other, clip, flow=DIS)


@pytest.mark.parametrize(('names', 'said'), [
    (['a/1.png', 'b/2.png'], r'frames of 2 clips \(a, b\)'),
    ([f'000{clip}_0001_city_000000_00000{frame}_newImg8bit.png' for clip in range(4) for frame in (1, 2)],
     r'frames of 4 clips \(0000, 0001, 0002, ...\)'),
])
def test_a_set_of_clips_is_no_clip(networks, tmp_path, names, said):
    for name, image in zip(names, drive(len(names))):
        (tmp_path / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / 'in' / name), image)
    with pytest.raises(ValueError, match=said):
        ClipComparison(*networks, open_input([tmp_path / 'in']), flow=DIS)


def test_video_and_stills(networks, compared, tmp_path):
    video = write_video(tmp_path / 'drive.avi', drive(5))
    comparison = ClipComparison(*networks, open_input([video]), flow=DIS)
    written = write_comparison(comparison, tmp_path / 'out', stills=[4, 0, 4], panel_width=160)
    assert written.video == tmp_path / 'out' / 'compare.mp4'
    assert [path.name for path in written.stills] == ['compare_000000.png', 'compare_000004.png']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
        'compare.mp4', 'compare_000000.png', 'compare_000004.png']
    shown = read_video(written.video)
    assert len(shown) == 5 and cv2.VideoCapture(str(written.video)).get(cv2.CAP_PROP_FPS) == 12.5
    picture = ComparisonPicture(CLASSES, PALETTE, panel_width=160, largest_px=comparison.largest_px)
    kept, refined = [], []
    for number, frame in enumerate(comparison.compare()):
        expected = picture.draw(frame.image[..., ::-1], source=frame.source, adapted=frame.adapted, flow=frame.flow,
                                known=frame.known, label=frame.label, refined=frame.refined)
        assert shown[number].shape == expected.shape and np.abs(shown[number][..., ::-1].astype(int) - expected).mean() < 12
        if number in (0, 4):
            assert np.array_equal(cv2.imread(str(written.stills[number // 4]))[..., ::-1], expected)
        kept.append(np.mean(frame.label != 255))
        refined.append(np.mean(frame.refined != 255))
    assert (written.kept, written.refined) == pytest.approx((np.mean(kept), np.mean(refined)))
    assert written.kept > written.refined > 0


def test_what_is_there_is_not_replaced_unasked(networks, clip, tmp_path):
    comparison = ClipComparison(*networks, clip, flow=DIS)
    out = tmp_path / 'side.mp4'
    out.write_text('precious')
    with pytest.raises(ValueError, match='side.mp4 exists already; choose another --out, or add --overwrite'):
        write_comparison(comparison, out)
    assert out.read_text() == 'precious'
    written = write_comparison(comparison, out, stills=[2], overwrite=True, fps=5, columns=2)
    assert written == (out, [tmp_path / 'side_000002.png'], written.kept, written.refined)
    assert cv2.VideoCapture(str(out)).get(cv2.CAP_PROP_FPS) == 5 and len(read_video(out)) == 5


@pytest.mark.parametrize('number', [5, -1])
def test_stills_that_do_not_exist(networks, clip, tmp_path, number):
    with pytest.raises(ValueError, match='expected numbers from 0 to 4'):
        write_comparison(ClipComparison(*networks, clip, flow=DIS), tmp_path / 'out', stills=[0, number])
    assert not (tmp_path / 'out').exists()


def test_a_codec_that_is_missing_is_found_out_before_the_first_pass(networks, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(video_writer, '_FOURCC', 0x21212121)
    comparison = ClipComparison(*networks, clip, flow=DIS)
    monkeypatch.setattr(comparison, 'measure', lambda: pytest.fail('the clip was gone through'))
    with pytest.raises(ValueError, match='this OpenCV .* cannot write .*compare.mp4'):
        write_comparison(comparison, tmp_path / 'out')
    assert list((tmp_path / 'out').iterdir()) == []


def test_a_failure_leaves_no_video(networks, clip, tmp_path, monkeypatch):
    comparison = ClipComparison(*networks, clip, flow=DIS)
    drawn, draw = [], ComparisonPicture.draw

    def failing(self, *args, **kwargs):
        drawn.append(None)
        if len(drawn) == 3:
            raise RuntimeError('killed')
        return draw(self, *args, **kwargs)

    monkeypatch.setattr(ComparisonPicture, 'draw', failing)
    with pytest.raises(RuntimeError, match='killed'):
        write_comparison(comparison, tmp_path / 'out', stills=[0])
    assert [path.name for path in Path(tmp_path / 'out').iterdir()] == ['compare_000000.png']
