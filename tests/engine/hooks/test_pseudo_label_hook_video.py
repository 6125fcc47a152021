# SPDX-License-Identifier: Apache-2.0
"""The pseudo-label hook on a video: clip-adaptive thresholds, aggregated predictions, and what makes it redo them."""
import json

import numpy as np
import pytest
from mmengine.registry import init_default_scope

from udatools.engine.inference import ImagePredictor, TargetImages, build_predictor
from udatools.pseudo_labels import AggregatedPredictor, PseudoLabelStore, frame_positions
from udatools.registry import HOOKS


@pytest.fixture
def video(setup, minidrive_video_root):
    """Arguments of the hook for the six frames of the target clip."""
    init_default_scope('mmseg')
    dataset = dict(setup.dataset, type='CityscapesVPSDomain', data_root=str(minidrive_video_root / 'cityscapes_vps'))
    flow = dict(type='PrecomputedFlow', root=str(minidrive_video_root / 'flow' / 'cityscapes_vps' / 'train'))
    return dict(type='PseudoLabelHook', model=setup.model, checkpoint=setup.checkpoint, dataset=dataset,
                policy=dict(type='ClipAdaptivePolicy', alpha=0.5), aggregation=dict(flow=flow))


def run(setup, video, out_dir, **changes):
    HOOKS.build({**video, 'out_dir': str(out_dir), **changes}).before_train(setup.runner)
    return PseudoLabelStore(out_dir)


def test_labels_are_the_aggregated_predictions_under_the_thresholds_of_the_clip(setup, video, tmp_path):
    store = run(setup, video, tmp_path / 'out')
    images = TargetImages(video['dataset'])
    single = ImagePredictor([build_predictor(setup.model, setup.checkpoint)], images)
    predictor = AggregatedPredictor(single, images, frame_positions(images.dataset, images.keys), **video['aggregation'])
    thresholds = json.loads((tmp_path / 'out' / 'thresholds.json').read_text())
    theta, = map(np.array, thresholds['clips'].values())
    other = 0
    for i, key in enumerate(images.keys):
        prob = predictor.expand(predictor.infer(i)).numpy()
        confidence, label = prob.max(0).astype(np.float16).astype(float), prob.argmax(0)
        assert np.array_equal(store.read_label(key), np.where(confidence >= theta[label], label, 255))
        other += int((single.expand(single.infer(i)).numpy().argmax(0) != label).sum())
    assert other > 0 and thresholds['policy']['type'] == 'ClipAdaptivePolicy'


def test_a_long_clip_is_labelled_in_pieces_whose_neighbours_lie_across_the_cuts(setup, video, tmp_path):
    video['policy']['clip_length'] = 4
    store = run(setup, video, tmp_path / 'out')
    images = TargetImages(video['dataset'])
    thresholds = json.loads((tmp_path / 'out' / 'thresholds.json').read_text())
    first, second = thresholds['clips'].values()
    assert first != second and all('[' in name for name in thresholds['clips'])
    predictor = AggregatedPredictor(ImagePredictor([build_predictor(setup.model, setup.checkpoint)], images), images,
                                    frame_positions(images.dataset, images.keys), **video['aggregation'])
    for i, key in enumerate(images.keys):  # six frames: three and three
        prob = predictor.expand(predictor.infer(i)).numpy()
        label, theta = prob.argmax(0), np.array(first if i < 3 else second)
        assert np.array_equal(store.read_label(key), np.where(prob.max(0).astype(np.float16) >= theta[label], label, 255))


def test_what_the_labels_depend_on(setup, video, tmp_path, monkeypatch):
    run(setup, video, tmp_path / 'out')
    with monkeypatch.context() as patch:
        patch.setattr(ImagePredictor, 'infer', lambda *a: 1 / 0)
        run(setup, video, tmp_path / 'out')
        for changes in (dict(aggregation=None), dict(aggregation=dict(video['aggregation'], threshold=0.6)),
                        dict(policy=dict(video['policy'], clip_length=2)),
                        dict(policy=dict(type='InstanceAdaptivePolicy', alpha=0.5))):
            with pytest.raises(ZeroDivisionError):
                run(setup, video, tmp_path / 'out', **changes)


def test_a_set_of_images_is_refused(setup, video, tmp_path):
    for changes in (dict(aggregation=None), dict(policy=dict(type='InstanceAdaptivePolicy'))):
        with pytest.raises(ValueError, match='does not know which images make a clip'):
            run(setup, video, tmp_path / 'out', **{**changes, 'dataset': dict(setup.dataset, type='ImageFolderDomain')})
