# SPDX-License-Identifier: Apache-2.0
"""Pseudo-labels of a set: equal to a literal loop, to any number of ranks, and to themselves after a kill."""
import errno
import json
import os
from contextlib import nullcontext

import cv2
import numpy as np
import pytest
import torch

from udatools.pseudo_labels import (
    ClassBalancedPolicy,
    InstanceAdaptivePolicy,
    PseudoLabelPolicy,
    PseudoLabelStore,
    Spool,
    generate_pseudo_labels,
)


class WholeSetPolicy(PseudoLabelPolicy):
    """Threshold of a class = its median over the whole set; records what it was given."""

    needs_whole_set = True

    def __init__(self):
        self.seen = []

    def initial_thresholds(self, num_classes):
        return np.ones(num_classes)

    def fit(self, histogram, num_classes):
        from udatools.ops.histograms import ClassCounts
        self.seen.append(int(histogram.counts.sum()))
        counts = [ClassCounts(histogram, c) for c in range(num_classes)]
        return np.array([c.descending(len(c) // 2) if len(c) else 1.0 for c in counts])

    def settings(self):
        return dict(type='WholeSetPolicy')


def literal_labels(predictions, alpha=0.2, beta=0.9, gamma=8.0):
    """The rule of the paper on lists, image after image."""
    theta, labels = np.full(4, 0.9), []
    for prob in predictions:
        confidence = prob.numpy().max(0).astype(np.float16).astype(np.float64)
        label = prob.numpy().argmax(0)
        for c in range(4):
            values = [theta[c], *confidence[label == c]]
            theta[c] = beta * theta[c] + (1 - beta) * np.percentile(values, 100 * (1 - alpha * theta[c]**gamma))
        theta[theta >= 1] = 0.999
        labels.append(np.where(confidence >= theta[label], label, 255))
    return labels, theta


def test_labels_equal_a_literal_loop(tmp_path, predictor, predictions, keys):
    store = PseudoLabelStore(tmp_path)
    summary = generate_pseudo_labels(predictor, keys, InstanceAdaptivePolicy(), store, 4,
                                     class_names=['road', 'car', 'sky', 'train'])
    expected, theta = literal_labels(predictions)
    kept = 0
    for key, label, prob in zip(keys, expected, predictions):
        written = cv2.imread(str(tmp_path / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
        assert written.dtype == np.uint8 and np.array_equal(written, label)
        confidence = cv2.imread(str(tmp_path / 'confidence' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
        assert np.abs(confidence / 255 - prob.numpy().max(0)).max() < 0.003
        kept += int((label != 255).sum())
    assert 0 < kept < 7 * 99
    thresholds = json.loads((tmp_path / 'thresholds.json').read_text())
    np.testing.assert_allclose(list(thresholds['final'].values()), theta, rtol=1e-12)
    assert list(thresholds['images']) == keys
    assert summary.generated and summary.coverage['kept_pixels'] == kept and summary.coverage['pixels'] == 7 * 99
    assert summary.coverage == json.loads((tmp_path / 'coverage.json').read_text())
    assert summary.coverage['classes']['train'] == dict(predicted=0, kept=0, kept_share=0.0)
    assert summary.coverage['classes']['sky']['kept'] == sum((label == 2).sum() for label in expected)


def literal_class_balanced(predictions, portion):
    """The rule on lists and single pixels, in raster order; probabilities rounded to float16 first."""
    rounded = [prob.numpy().astype(np.float16).astype(np.float64) for prob in predictions]
    winning = {c: [] for c in range(4)}
    for prob, exact in zip(rounded, predictions):
        flat, order = prob.reshape(4, -1), exact.numpy().reshape(4, -1)
        for position in range(0, flat.shape[1], 4):
            c = int(order[:, position].argmax())
            winning[c].append(flat[c, position])
    theta = []
    for values in winning.values():
        rank = int(np.floor(portion * len(values))) - 1
        theta.append(sorted(values, reverse=True)[rank] if rank >= 0 else 1.0)
    labels = []
    for prob in rounded:
        label = np.full(prob.shape[1:], 255, np.uint8)
        for y, x in np.ndindex(label.shape):
            ratios = [prob[c, y, x] / theta[c] for c in range(4)]
            if max(ratios) >= 1:
                label[y, x] = ratios.index(max(ratios))
        labels.append(label)
    return labels, theta


@pytest.mark.parametrize('round, portion', [(1, 0.2), (3, 0.3), (99, 0.5)])
def test_class_balanced_labels_equal_a_literal_loop(tmp_path, fixed_predictor, predictions, keys, round, portion):
    store = PseudoLabelStore(tmp_path)
    weights = torch.tensor([1.1, 1.0, 0.9, 0.1])[:, None, None]
    predictions = [weights * prob**0.03 for prob in predictions]  # no class is sure, so thresholds decide between them
    predictions = [prob / prob.sum(0) for prob in predictions]
    summary = generate_pseudo_labels(fixed_predictor(predictions), keys, ClassBalancedPolicy(round=round), store, 4)
    expected, theta = literal_class_balanced(predictions, portion)
    thresholds = json.loads((tmp_path / 'thresholds.json').read_text())
    assert list(thresholds['final'].values()) == theta and theta[3] == 1.0
    for key, label in zip(keys, expected):
        assert np.array_equal(store.read_label(key), label)
    kept = np.bincount(np.stack(expected).ravel(), minlength=256)
    assert [entry['kept'] for entry in summary.coverage['classes'].values()] == kept[:4].tolist()
    other = sum(((label != 255) & (label != prob.numpy().argmax(0))).sum() for label, prob in zip(expected, predictions))
    assert other > 0 or portion == 0.2, 'the label is not always the argmax'


@pytest.mark.parametrize('policy', [InstanceAdaptivePolicy, ClassBalancedPolicy])
def test_one_pass_of_inference(tmp_path, predictor, keys, policy):
    generate_pseudo_labels(predictor, keys, policy(), PseudoLabelStore(tmp_path), 4)
    assert predictor.inferred == list(range(7))
    assert predictor.expanded == list(range(7)) * (2 if policy is ClassBalancedPolicy else 1)


def test_whole_set_policy_sees_every_pixel_once_before_any_label(tmp_path, predictor, predictions, keys):
    policy, store = WholeSetPolicy(), PseudoLabelStore(tmp_path)
    generate_pseudo_labels(predictor, keys, policy, store, 4)
    assert policy.seen == [7 * 99]
    label = np.stack([p.numpy().argmax(0) for p in predictions])
    confidence = np.stack([p.numpy().max(0) for p in predictions]).astype(np.float16)
    for c in range(3):
        values = np.sort(confidence[label == c])[::-1]
        kept = np.stack([store.read_label(key) for key in keys]) == c
        assert np.array_equal(kept, (label == c) & (confidence >= values[len(values) // 2]))


@pytest.mark.distributed
@pytest.mark.parametrize('world', [2, 3])
@pytest.mark.parametrize('policy', [InstanceAdaptivePolicy, WholeSetPolicy, ClassBalancedPolicy])
def test_files_do_not_depend_on_the_number_of_ranks(tmp_path, predictor, keys, tree, run_ranks, world, policy):
    generate_pseudo_labels(predictor, keys, policy(), PseudoLabelStore(tmp_path / 'one'), 4, input_hash='h')
    predictor.inferred.clear()

    def work(rank):
        generate_pseudo_labels(predictor, keys, policy(), PseudoLabelStore(tmp_path / 'many'), 4, input_hash='h')
        return predictor.inferred

    inferred = run_ranks(work, world)
    assert [error for _, error in inferred] == [None] * world
    assert tree(tmp_path / 'one') == tree(tmp_path / 'many')
    assert [value for value, _ in inferred] == [list(range(rank, 7, world)) for rank in range(world)]


@pytest.mark.parametrize('fails', [None, 'infer', 'label'])
def test_nothing_of_the_spool_is_left(tmp_path, predictor, keys, tree, monkeypatch, fails):
    open_files, seen = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0, []
    original = Spool.write

    def write(self, item):
        original(self, item)
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        if fails == 'infer' and len(seen) == 4:
            raise OSError(errno.ENOSPC, 'the disk is full')

    monkeypatch.setattr(Spool, 'write', write)
    policy = ClassBalancedPolicy()
    if fails == 'label':
        monkeypatch.setattr(policy, 'label', lambda *a: 1 / 0)
    with pytest.raises((OSError, ZeroDivisionError)) if fails else nullcontext():
        generate_pseudo_labels(predictor, keys, policy, PseudoLabelStore(tmp_path), 4)
    assert len(seen) == (4 if fails == 'infer' else 7)
    kept = {name for name in tree(tmp_path) if not name.startswith(('labels/', 'confidence/'))}
    assert kept == (set() if fails else {'thresholds.json', 'coverage.json', 'done.json'})
    if open_files:
        assert len(os.listdir('/proc/self/fd')) == open_files


@pytest.mark.distributed
def test_an_error_after_the_pass_ends_all_ranks(tmp_path, predictor, keys, run_ranks):

    def work(rank):
        policy = ClassBalancedPolicy()
        if rank == 1:
            policy.label = lambda *a: 1 / 0
        generate_pseudo_labels(predictor, keys, policy, PseudoLabelStore(tmp_path / 'out'), 4)

    errors = [error for _, error in run_ranks(work)]
    assert 'ZeroDivisionError' in errors[1] and 'rank 1 failed' in errors[0]
    assert not (tmp_path / 'out' / 'done.json').exists()


@pytest.mark.distributed
@pytest.mark.parametrize('policy', [InstanceAdaptivePolicy, ClassBalancedPolicy])
def test_an_error_on_one_rank_ends_all_ranks(tmp_path, predictions, keys, run_ranks, fixed_predictor, policy):

    class Truncated(fixed_predictor):

        def infer(self, index):
            if index == 3:
                raise OSError('frame_3.png is truncated')
            return super().infer(index)

    def work(rank):
        generate_pseudo_labels(Truncated(predictions), keys, policy(), PseudoLabelStore(tmp_path / 'out'), 4)

    errors = [error for _, error in run_ranks(work)]
    assert 'OSError: frame_3.png is truncated' in errors[1]
    assert 'rank 1 failed' in errors[0] and 'frame_3.png is truncated' in errors[0]
    assert not (tmp_path / 'out' / 'done.json').exists()


@pytest.mark.distributed
@pytest.mark.parametrize('world', [1, 2])
@pytest.mark.parametrize('policy', [InstanceAdaptivePolicy, ClassBalancedPolicy])
def test_a_full_disk_is_named_on_every_rank(tmp_path, predictor, keys, run_ranks, world, policy):

    def work(rank):

        class FullStore(PseudoLabelStore):

            def write(self, key, label, confidence):
                if key == keys[0]:
                    raise OSError(errno.ENOSPC, f'cannot write {key}.png: the disk is full')
                super().write(key, label, confidence)

        generate_pseudo_labels(predictor, keys, policy(), FullStore(tmp_path / 'out'), 4)

    errors = [error for _, error in run_ranks(work, world)]
    assert all('frame_0.png: the disk is full' in error for error in errors) and len(errors) == world
    assert not (tmp_path / 'out' / 'done.json').exists()


def test_same_inputs_are_skipped_and_others_redone(tmp_path, predictor, keys):

    def generate(input_hash):
        return generate_pseudo_labels(predictor, keys, InstanceAdaptivePolicy(),
                                      PseudoLabelStore(tmp_path), 4, input_hash=input_hash)

    first = generate('a')
    assert first.generated
    again = generate('a')
    assert not again.generated and again.coverage == first.coverage
    (tmp_path / 'labels' / f'{keys[2]}.png').unlink()
    assert generate('a').generated
    assert generate('b').generated


@pytest.mark.parametrize('stop_at', [0, 3, 6])
@pytest.mark.parametrize('policy', [InstanceAdaptivePolicy, ClassBalancedPolicy])
def test_half_done_is_redone_to_the_same_files(tmp_path, predictor, predictions, keys, tree, fixed_predictor, policy, stop_at):

    class Stopping(fixed_predictor):

        def infer(self, index):
            if index == stop_at:
                raise KeyboardInterrupt
            return super().infer(index)

    def generate(out_dir, predictor, input_hash='h'):
        return generate_pseudo_labels(predictor, keys, policy(), PseudoLabelStore(out_dir), 4, input_hash=input_hash)

    generate(tmp_path / 'whole', predictor)
    generate(tmp_path / 'stopped', predictor, 'older')
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / 'stopped', Stopping(predictions))
    assert not (tmp_path / 'stopped' / 'done.json').exists()
    assert generate(tmp_path / 'stopped', predictor).generated
    assert tree(tmp_path / 'whole') == tree(tmp_path / 'stopped')


def test_damaged_done_file_means_not_done(tmp_path, keys):
    (tmp_path / 'done.json').write_text('{"input_hash":')
    assert not PseudoLabelStore(tmp_path).is_done('h', [])
    (tmp_path / 'done.json').write_text('[]')
    assert not PseudoLabelStore(tmp_path).is_done('h', [])


@pytest.mark.parametrize('given, message', [([], 'empty'), (['a', 'a'], 'twice')])
def test_bad_keys_are_refused(tmp_path, predictor, given, message):
    with pytest.raises(ValueError, match=message):
        generate_pseudo_labels(predictor, given, InstanceAdaptivePolicy(), PseudoLabelStore(tmp_path), 4)


def test_another_number_of_classes_is_refused(tmp_path, predictor, keys):
    with pytest.raises(ValueError, match=r'expected \(5, H, W\)'):
        generate_pseudo_labels(predictor, keys, InstanceAdaptivePolicy(), PseudoLabelStore(tmp_path), 5)


def test_a_missing_label_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='city/frame_0.png'):
        PseudoLabelStore(tmp_path).read_label('city/frame_0')
