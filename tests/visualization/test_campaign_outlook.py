# SPDX-License-Identifier: Apache-2.0
"""What the next clicks would ask, by the untrained models of a run that is made to look finished."""
import hashlib
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from shrink import REPO, shrink

from udatools.active import GroundTruthOracle, ask_round
from udatools.active.budget import Budget
from udatools.active.ledger import LabelLedger
from udatools.active.round_plan import RoundPlan
from udatools.engine.runner.stages import StageConfig
from udatools.registry import ANNOTATORS, MODELS
from udatools.visualization.campaign import load_campaigns, write_campaign
from udatools.visualization.campaign.models import final_hook
from udatools.visualization.campaign.outlook import look_ahead
from udatools.visualization.labelling import labelling_stage


@pytest.fixture(scope='module')
def run(tiny_data, tmp_path_factory):
    """Round 1 of LabOR-SPL, asked and answered; the checkpoints hold random weights."""
    init_default_scope('mmseg')
    root = tmp_path_factory.mktemp('finished') / 'run'
    root.mkdir()
    cfg = shrink(REPO / 'configs' / 'labor' / 'spl_minidrive.py', data=tiny_data, work_dir=root, items=3)
    StageConfig(cfg.to_dict()).dump(str(root / 'config.py'))
    hook = labelling_stage(root)[1]
    records = {}
    torch.manual_seed(4)
    for name, model in (('round1_main', hook['model']), ('round3_main', hook['model']),
                        ('round3_discrepancy', hook['selector_model'])):
        checkpoint = root / 'stages' / name / 'iter_2.pth'
        checkpoint.parent.mkdir(parents=True)
        state = MODELS.build(dict(model, objectives=[], teacher=None)).state_dict()
        for key in list(state):  # a second classifier that disagrees with the first here and there
            if key.startswith('second_head.'):
                first = state[key.replace('second_head.', 'segmentor.decode_head.')]
                state[key] = first + 0.3 * first.std() * torch.randn(first.shape)
        torch.save(dict(state_dict=state), checkpoint)
        records[name] = dict(status='done', checkpoint=str(checkpoint.relative_to(root)))
    (root / 'journal.json').write_text(json.dumps(dict(schema_version=1, run={}, stages=records)))
    opened = final_hook(root)
    target, predict, _ = opened.open_target()
    plan = RoundPlan(budget=Budget(amount=60, scope='round'), num_rounds=1)
    ask_round(plan, target, predict, opened.selector, ANNOTATORS.build(hook['annotator']), ledger_path=root / 'ledger.sqlite',
              request_dir=root / 'requests' / 'round_1', label_dir=root / 'labels')
    iou = dict.fromkeys(target.classes, 10.0)
    results = dict(schema_version=1, name='spl_tiny', seed=0, classes=list(target.classes), palette=list(target.palette),
                   stages=[dict(name=name, round=i, metrics=dict(mIoU=10.0 + i, IoU=iou), labelled={})
                           for i, name in enumerate(('source', 'round1_main'))])
    (root / 'results.json').write_text(json.dumps(results))
    return root


@pytest.fixture
def campaign(run):
    return load_campaigns([run])[0][0]


@pytest.fixture
def expected(run):
    """By key: the final prediction, where the classifiers disagree and nothing is answered, and the answers."""
    target, predict, _ = final_hook(run).open_target()
    found = {}
    with LabelLedger(run / 'ledger.sqlite', read_only=True) as ledger:
        for i, key in enumerate(target.keys):
            outputs = {name: prob.argmax(0).numpy() for name, prob in predict(i, ('prob', 'prob1', 'prob2')).items()}
            answer = ledger.label(key)
            answer = np.full(outputs['prob'].shape, 255, np.uint8) if answer is None else answer
            found[key] = outputs['prob'], (outputs['prob1'] != outputs['prob2']) & (answer == 255), answer
    return found


def components(mask):
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def test_the_newest_finished_checkpoints_are_used(run):
    hook = final_hook(run)
    assert hook.checkpoint == str(run / 'stages' / 'round3_main' / 'iter_2.pth')
    assert hook.selector_checkpoint == str(run / 'stages' / 'round3_discrepancy' / 'iter_2.pth')


def test_the_fixture_asks_something(expected, campaign):
    assert campaign.rounds[0].spent['pixels'] == 60
    assert sum(components(open_) for _, open_, _ in expected.values()) > 12


def test_unlimited_clicks_ask_for_all_that_the_models_dispute(campaign, expected):
    upcoming = look_ahead(campaign, 10**6).upcoming
    assert upcoming.pixels == sum(int(open_.sum()) for _, open_, _ in expected.values())
    assert upcoming.clicks == sum(components(open_) for _, open_, _ in expected.values())
    assert upcoming.images == sum(bool(open_.any()) for _, open_, _ in expected.values())
    counts = np.sum([np.bincount(prediction[open_], minlength=19) for prediction, open_, _ in expected.values()], axis=0)
    assert list(upcoming.classes.values()) == counts.tolist()
    assert upcoming.seconds == pytest.approx(sum(campaign.costs.seconds('segments', int(open_.sum()), open_.size)
                                                 for _, open_, _ in expected.values()))
    assert upcoming.kind == 'segments'


def test_a_budget_of_clicks_is_kept_and_pictures_show_what_is_asked(campaign, expected):
    upcoming = look_ahead(campaign, 7, shown=2).upcoming
    # Whole components: more pixels than clicks.
    assert upcoming.clicks == 7 < upcoming.pixels == sum(upcoming.classes.values())
    clicks = [count for _, count, _ in upcoming.pictures]
    assert len(clicks) <= 2 and clicks == sorted(clicks, reverse=True) and sum(clicks) <= 7
    for key, _, picture in upcoming.pictures:
        height, width = expected[key][0].shape
        assert picture.mask.shape == (height // 2, width // 2) == picture.prediction.shape
        assert picture.image.shape == (*picture.mask.shape, 3) and picture.mask.any()


def test_worst_images_are_judged_by_the_final_model(campaign, expected):
    outlook = look_ahead(campaign, 0)
    assert outlook.upcoming is None and outlook.predicted
    counted = {}
    for key, (prediction, _, answer) in expected.items():
        known = answer < 254
        counted[key] = int((known & (prediction != answer)).sum()), int(known.sum())
    ranked = {key: pair for key, pair in counted.items() if pair[1] >= 10 and pair[0]}
    assert {v.key: (v.wrong, v.answered) for v in outlook.worst} == ranked != {}
    assert [v.share for v in outlook.worst] == sorted((w / n for w, n in ranked.values()), reverse=True)
    for verdict in outlook.worst:
        assert verdict.picture.mask.sum() == verdict.wrong
        assert np.array_equal(verdict.picture.prediction, expected[verdict.key][0])


def test_the_page_changes_nothing_of_the_run_and_opens_no_label(run, tmp_path, monkeypatch):

    def refuse(self):
        raise AssertionError('the page asked the oracle')

    monkeypatch.setattr(GroundTruthOracle, '_build', refuse)

    def contents():
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(run.rglob('*')) if path.is_file()}

    before = contents()
    path, problems = write_campaign([run], tmp_path / 'page', clicks=5)
    assert problems == {} and contents() == before
    html = path.read_text(encoding='utf-8')
    assert 'What the next 5 clicks would ask' in html and 'Where it would ask most' in html
    assert 'Images where the final model contradicts' in html


def test_an_unfinished_run_says_what_is_missing(run, tmp_path):
    (tmp_path / 'config.py').write_text((run / 'config.py').read_text())
    with pytest.raises(ValueError, match='no finished stage called main or warmup; let the run finish'):
        final_hook(tmp_path)
    (tmp_path / 'config.py').write_text("stages = [dict(name='train', config=dict())]\n")
    with pytest.raises(ValueError, match='no stage of .* has an ActiveLabelingHook'):
        final_hook(tmp_path)
