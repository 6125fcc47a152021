# SPDX-License-Identifier: Apache-2.0
"""Clip-adaptive pseudo-labels: Algorithm 1 on lists, the same files on any number of ranks, clips from a data set."""
import json
import os

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udatools.pseudo_labels import (
    ClipAdaptivePolicy,
    FramePosition,
    InstanceAdaptivePolicy,
    PseudoLabelStore,
    Spool,
    frame_positions,
    generate_pseudo_labels,
    group_clips,
)

CLIPS = {'a': [0, 1, 2], 'b': [3], 'c': [4, 5, 6]}


def algorithm_1(predictions, clips, alpha=0.2, beta=0.9, gamma=8.0):
    """The paper's, on sorted lists; with IAST's percentile, its cap, and its >= in line 14."""
    theta, labels, trace = np.full(4, 0.9), {}, []
    for frames in clips:
        value = np.stack([predictions[i].numpy().max(0) for i in frames]).astype(np.float16).astype(np.float64)
        index = np.stack([predictions[i].numpy().argmax(0) for i in frames])
        of_clip = theta.copy()
        for k in range(4):
            confident = sorted(value[index == k])
            if confident:
                of_clip[k] = np.percentile([theta[k], *confident], 100 * (1 - alpha * theta[k]**gamma))
        theta = beta * theta + (1 - beta) * of_clip
        theta[theta >= 1] = 0.999
        trace.append(theta)
        for i, v, k in zip(frames, value, index):
            labels[i] = np.where(v >= theta[k], k, 255)
    return labels, trace


def test_labels_equal_algorithm_1(tmp_path, predictor, predictions, keys):
    store = PseudoLabelStore(tmp_path)
    summary = generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), store, 4, clips=CLIPS)
    expected, trace = algorithm_1(predictions, CLIPS.values())
    for i, key in enumerate(keys):
        assert np.array_equal(store.read_label(key), expected[i])
        confidence = cv2.imread(str(tmp_path / 'confidence' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
        assert np.abs(confidence / 255 - predictions[i].numpy().max(0)).max() < 0.003
    kept = sum(int((label != 255).sum()) for label in expected.values())
    assert 0 < kept < 7 * 99 and summary.coverage['kept_pixels'] == kept and summary.coverage['images'] == 7
    thresholds = json.loads((tmp_path / 'thresholds.json').read_text())
    assert list(thresholds['clips']) == ['a', 'b', 'c'] and 'images' not in thresholds
    np.testing.assert_allclose(list(thresholds['clips'].values()), trace, rtol=1e-12)
    np.testing.assert_allclose(list(thresholds['final'].values()), trace[-1], rtol=1e-12)


def test_every_frame_goes_through_the_network_once_in_the_order_of_time(tmp_path, predictor, keys):
    generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), PseudoLabelStore(tmp_path), 4,
                           clips={'a': [2, 0, 1], 'c': [4, 5, 6], 'b': [3]})
    assert predictor.inferred == predictor.expanded == [2, 0, 1, 4, 5, 6, 3]


def test_clips_of_one_frame_are_images(tmp_path, predictor, keys, tree):
    generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), PseudoLabelStore(tmp_path / 'clips'), 4,
                           clips={str(i): [i] for i in range(7)})
    generate_pseudo_labels(predictor, keys, InstanceAdaptivePolicy(), PseudoLabelStore(tmp_path / 'images'), 4)
    clips, images = tree(tmp_path / 'clips'), tree(tmp_path / 'images')
    labels = [name for name in images if name.startswith('labels/')]
    assert len(labels) == 7 and all(clips[name] == images[name] for name in labels)


@settings(max_examples=15, deadline=None)
@given(values=st.lists(st.lists(st.integers(0, 15360), min_size=1, max_size=6), min_size=1, max_size=5), cut=st.integers(1, 4))
def test_a_step_sees_the_multiset_of_a_clip_not_its_frames(values, cut):
    """The step on the sum of the frames' histograms is that on all their pixels at once."""
    from udatools.ops.histograms import class_histogram, merge_histograms
    policy, theta = ClipAdaptivePolicy(alpha=0.3), np.full(1, 0.9)
    frames = [np.array(frame, np.uint16).view(np.float16) for frame in values]
    label = [np.zeros(len(frame), np.uint8) for frame in frames]
    merged = merge_histograms([class_histogram(*pair, 1) for pair in zip(label, frames)])
    at_once = class_histogram(np.concatenate(label), np.concatenate(frames), 1)
    assert np.array_equal(policy.step(theta, merged), policy.step(theta, at_once))


@pytest.mark.distributed
@pytest.mark.parametrize('world', [2, 4])
def test_files_do_not_depend_on_the_number_of_ranks(tmp_path, predictor, keys, tree, run_ranks, world):
    generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), PseudoLabelStore(tmp_path / 'one'), 4, clips=CLIPS)
    predictor.inferred.clear()

    def work(rank):
        generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), PseudoLabelStore(tmp_path / 'many'), 4, clips=CLIPS)
        return predictor.inferred

    inferred = run_ranks(work, world)
    assert [error for _, error in inferred] == [None] * world
    assert tree(tmp_path / 'one') == tree(tmp_path / 'many')
    whole = {2: [[0, 1, 2, 4, 5, 6], [3]], 4: [[0, 1, 2], [3], [4, 5, 6], []]}[world]
    assert [value for value, _ in inferred] == whole, 'a rank predicts whole clips'


@pytest.mark.distributed
@pytest.mark.parametrize('fails', ['infer', 'label'])
def test_an_error_on_one_rank_ends_all_ranks(tmp_path, predictor, keys, run_ranks, fails):

    def work(rank):
        policy = ClipAdaptivePolicy()
        if rank == 1:
            if fails == 'infer':
                predictor.infer = lambda index: 1 / 0
            else:
                policy.label_winner = lambda *a: 1 / 0
        generate_pseudo_labels(predictor, keys, policy, PseudoLabelStore(tmp_path / 'out'), 4, clips=CLIPS)

    errors = [error for _, error in run_ranks(work)]
    assert 'ZeroDivisionError' in errors[1] and 'rank 1 failed' in errors[0]
    assert not (tmp_path / 'out' / 'done.json').exists()


@pytest.mark.parametrize('stop_at', [1, 3, 6])
def test_half_done_is_redone_to_the_same_files(tmp_path, predictor, predictions, keys, tree, fixed_predictor, stop_at):

    class Stopping(fixed_predictor):

        def infer(self, index):
            if index == stop_at:
                raise KeyboardInterrupt
            return super().infer(index)

    def generate(out_dir, predictor):
        return generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), PseudoLabelStore(out_dir), 4, clips=CLIPS,
                                      input_hash='h')

    generate(tmp_path / 'whole', predictor)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / 'stopped', Stopping(predictions))
    assert not (tmp_path / 'stopped' / 'done.json').exists()
    assert generate(tmp_path / 'stopped', predictor).generated and not generate(tmp_path / 'stopped', predictor).generated
    assert tree(tmp_path / 'whole') == tree(tmp_path / 'stopped')


def test_the_spool_of_a_clip_holds_winners_and_is_gone(tmp_path, predictor, keys, monkeypatch):
    sizes, original = [], Spool.__exit__

    def leave(self, *error):
        sizes.append(os.fstat(self._file.fileno()).st_size)
        original(self, *error)

    monkeypatch.setattr(Spool, '__exit__', leave)
    generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), PseudoLabelStore(tmp_path), 4, clips=CLIPS)
    assert len(sizes) == 3 and sizes[1] < 3 * 99 + 400 and sizes[0] < 3 * sizes[1] + 50  # 3 bytes a pixel, not 16
    assert {path.name for path in tmp_path.iterdir()} == {'labels', 'confidence', 'thresholds.json', 'coverage.json', 'done.json'}


@pytest.mark.parametrize(('clips', 'message'), [
    (None, 'got clips: none; expected clips that hold each of the 7 images once'),
    ({'a': [0, 1, 2]}, 'got clips: 1 of other images'),
    ({'a': [0, 1, 2, 3, 4, 5, 6], 'b': [6]}, 'got clips: 2 of other images'),
])
def test_clips_that_do_not_hold_the_set_are_refused(tmp_path, predictor, keys, clips, message):
    with pytest.raises(ValueError, match=f'ClipAdaptivePolicy labels clip by clip; {message}'):
        generate_pseudo_labels(predictor, keys, ClipAdaptivePolicy(), PseudoLabelStore(tmp_path), 4, clips=clips)


class Video:

    def clip_of(self, key):
        clip, frame = key.split('/')
        return clip, int(frame)


def test_clips_are_those_of_the_data_set_in_the_order_of_time():
    keys = ['b/10', 'b/9', 'a/0', 'b/011', 'a/3']
    positions = frame_positions(Video(), keys)
    assert positions[0] == FramePosition('b', 10)
    assert group_clips(positions, 3) == {'b': [1, 0, 3], 'a': [2, 4]} and list(group_clips(positions, 30)) == ['b', 'a']


def test_a_long_recording_is_cut_into_instances_of_about_one_length():
    positions = [FramePosition('drive', 2 * number) for number in reversed(range(7))]
    assert group_clips(positions, 3) == {'drive[0-4]': [6, 5, 4], 'drive[6-8]': [3, 2], 'drive[10-12]': [1, 0]}
    assert group_clips(positions, 7) == {'drive': [6, 5, 4, 3, 2, 1, 0]}
    assert [len(piece) for piece in group_clips(positions, 1).values()] == [1] * 7
    with pytest.raises(ValueError, match='clip_length is 0; expected 1 frame or more'):
        ClipAdaptivePolicy(clip_length=0)
    assert ClipAdaptivePolicy(clip_length=10).settings() != ClipAdaptivePolicy().settings()  # other labels: made anew on a resume


def test_a_set_that_is_no_video_is_named():

    class Images:

        def clip_of(self, key):
            raise NotImplementedError

    with pytest.raises(ValueError, match='Images does not know which images make a clip; use a video data set'):
        frame_positions(Images(), ['a'])
    with pytest.raises(ValueError, match="'a/1' and 'a/01' are both frame 1 of clip 'a'"):
        frame_positions(Video(), ['a/0', 'a/1', 'a/01'])
