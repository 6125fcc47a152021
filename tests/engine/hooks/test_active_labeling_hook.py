# SPDX-License-Identifier: Apache-2.0
"""The active labelling hook on a real data set, two models and the oracle."""
import cv2
import numpy as np
import pytest

from udatools.active import LabelLedger, Request
from udatools.engine.inference import TargetImages, build_predictor, predict_pair, predict_prob
from udatools.registry import HOOKS

RAW_TO_TRAIN = {7: 0, 8: 1, 26: 13, 0: 255}


def build(setup, root, round=1, **changes):
    arguments = dict(
        type='ActiveLabelingHook', selector=dict(type='LabORSPLSelector'),
        annotator=dict(type='GroundTruthOracle', dataset={**setup.dataset, 'labelled': True}), model=setup.model,
        checkpoint=setup.checkpoint, selector_model=setup.selector_model,
        selector_checkpoint=setup.selector_checkpoint, dataset=setup.dataset, ledger=str(root / 'ledger.sqlite'),
        request_dir=str(root / f'requests/round_{round}'), label_dir=str(root / 'labels'), round=str(round),
        num_rounds=3, panels=2)
    return HOOKS.build({**arguments, **changes})


def truth(setup, key):
    path = setup.root / 'gtFine/train' / f'{key.removesuffix("_leftImg8bit")}_gtFine_labelIds.png'
    return np.vectorize(RAW_TO_TRAIN.get)(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)).astype(np.uint8)


def test_the_inconsistency_mask_is_asked_and_its_truth_written(setup, tmp_path):
    build(setup, tmp_path).before_train(setup.runner)
    request = Request.load(tmp_path / 'requests/round_1')
    images = TargetImages(setup.dataset)
    selector, main = (build_predictor(*pair) for pair in ((setup.selector_model, setup.selector_checkpoint),
                                                          (setup.model, setup.checkpoint)))
    for i, key in enumerate(setup.keys):
        prob1, prob2 = predict_pair(selector, images, i)
        mask = (prob1.argmax(0) != prob2.argmax(0)).cpu().numpy()
        assert mask.any() and not mask.all()
        assert np.array_equal(request.regions(key) > 0, mask)
        label = cv2.imread(str(tmp_path / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(label, np.where(mask, truth(setup, key), 255))
    shown = sorted((tmp_path / 'requests/round_1/predictions').rglob('*.png'))
    assert len(shown) == 2
    i = setup.keys.index(f'aachen/{shown[0].stem}')
    assert np.array_equal(cv2.imread(str(shown[0]), cv2.IMREAD_UNCHANGED),
                          predict_prob(main, images, i).argmax(0).cpu().numpy())
    assert set(request.header['weights']) == {'main', 'selector'} and request.header['run'] == 'look'
    assert len(request.header['classes']) == 19 and request.header['total_pixels'] == 4 * 24 * 40


def test_two_rounds_with_a_budget_and_a_rerun(setup, tmp_path, tree, monkeypatch):
    budget = dict(unit='pixels', portion=0.03)
    for round in (1, 2):
        build(setup, tmp_path, round, budget=budget).before_train(setup.runner)
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        assert ledger.spent(round=1)['pixels'] == ledger.spent(round=2)['pixels'] == 115 // 3
        before = ledger.content_digest(), tree(tmp_path / 'labels'), tree(tmp_path / 'requests')
    for name in ('predict_prob', 'predict_pair'):
        monkeypatch.setattr(f'udatools.engine.hooks.active_labeling_hook.{name}', lambda *a: 1 / 0)
    build(setup, tmp_path, 2, budget=budget).before_train(setup.runner)
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        assert (ledger.content_digest(), tree(tmp_path / 'labels'), tree(tmp_path / 'requests')) == before


def test_only_label_files_of_asked_images_are_opened(setup, tmp_path, opened):
    build(setup, tmp_path, num_rounds=1, budget=dict(amount=1)).before_train(setup.runner)
    asked, = Request.load(tmp_path / 'requests/round_1').asked_keys()
    stem = asked.removesuffix('_leftImg8bit')
    assert opened and all(stem in path for path in opened)


def test_a_selector_that_reads_the_main_model_only_needs_no_other(setup, tmp_path):
    build(setup, tmp_path, selector=dict(type='EntropySelector', portion=0.1), selector_model=None,
          selector_checkpoint=None).before_train(setup.runner)
    with LabelLedger(tmp_path / 'ledger.sqlite') as ledger:
        assert ledger.spent()['pixels'] == 4 * 96


def test_a_selector_without_its_model_is_refused(setup, tmp_path):
    with pytest.raises(ValueError, match='selector_model and selector_checkpoint'):
        build(setup, tmp_path, selector_checkpoint=None)


def test_unanswered_images_stop_the_run_and_say_what_to_do(setup, tmp_path, monkeypatch):
    monkeypatch.setattr('udatools.active.annotators.oracle.GroundTruthOracle.answer', lambda *a: iter(()))
    with pytest.raises(RuntimeError, match='4 images .* have no answer; answer them, then --resume'):
        build(setup, tmp_path).before_train(setup.runner)
