# SPDX-License-Identifier: Apache-2.0
"""The self-training family as configured: stages, what changes from round to round, the constants of the papers."""
import json
import math

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from shrink import CONFIGS, REPO, config_id, shrink

import udatools  # noqa: F401
from udatools.engine.cli import dry_run
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.stages import expand_stages, fill_placeholders, merge_stage_config
from udatools.models.segmentors import DomainBatch, UDABatch
from udatools.registry import OBJECTIVES, PSEUDO_LABEL_POLICIES

FAMILY = [path for path in CONFIGS if path.parent.name in ('cbst', 'crst', 'iast')]
ROUNDS = ['round1_main', 'round2_main', 'round3_main']


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance('self_training', scope_name='mmseg')


def stages_of(name):
    cfg = Config.fromfile(REPO / 'configs' / f'{name}.py')
    filled = {}
    for stage in expand_stages(cfg.stages):
        merged = merge_stage_config(cfg, stage).to_dict()
        filled[stage.name] = Config(fill_placeholders(merged, lambda key, stage=stage: str(stage.round) if key == 'round'
                                                      else f'<{key}>'))
    return filled


@pytest.mark.parametrize('path', FAMILY, ids=config_id)
def test_stages(path):
    names = list(stages_of(config_id(path)))
    start = ['source', 'warmup'] if 'warmup' in path.stem or path.parent.name == 'iast' else ['source']
    assert names == start + ROUNDS


@pytest.mark.parametrize('path', FAMILY, ids=config_id)
def test_small_configs_train_as_long_as_source_only(path):
    cfg = Config.fromfile(path)
    total = sum(stage.train_cfg.max_iters for stage in stages_of(config_id(path)).values())
    assert total == cfg.iters.train or path.stem.endswith('cs')


@pytest.mark.parametrize('name', [config_id(path) for path in FAMILY if path.parent.name != 'iast'])
def test_class_balanced_rounds(name):
    stages = stages_of(name)
    hooks = [stages[stage].custom_hooks[0] for stage in ROUNDS]
    assert [PSEUDO_LABEL_POLICIES.build(hook.policy).portion for hook in hooks] == [0.2, 0.25, 0.3]
    scale = 0.9 if name.endswith('cs') else 1.0  # the small networks are trained at one scale
    assert all(hook.views == dict(scales=[scale], flip=True) for hook in hooks)
    assert [hook.out_dir for hook in hooks] == [f'<work_dir>/pseudo_labels/round_{k}' for k in (1, 2, 3)]
    for stage, hook in zip(ROUNDS, hooks):
        data = stages[stage].train_dataloader.dataset
        assert data.target.label_dir == hook.out_dir + '/labels' and data.source is not None
        objectives = {objective.name: objective for objective in stages[stage].model.objectives}
        assert objectives.keys() == {'source', 'target'} | ({'mrkld'} if 'mrkld' in name else set())
        assert stages[stage].model.teacher == (dict(momentum=1.0) if 'lrent' in name else None)
        assert objectives['target'].type == ('SoftPseudoLabelCE' if 'lrent' in name else 'SegmentationCE')
        if 'lrent' in name:
            assert objectives['target'].alpha == 0.25
            assert objectives['target'].thresholds == hook.out_dir + '/thresholds.json'
        if 'mrkld' in name:
            assert (objectives['mrkld'].loss_weight, objectives['mrkld'].measure, objectives['mrkld'].region) == (
                0.1, 'kld', 'labelled')


def test_paper_scale_of_the_class_balanced_rounds():
    stages = stages_of('crst/crst_mrkld_gta2cs')
    for k, name in enumerate(ROUNDS):
        stage = stages[name]
        assert stage.train_dataloader.dataset.source.portion[:3] == pytest.approx([0.03, 0.0325, 0.035])
        assert stage.train_dataloader.dataset.source.portion[-1] == pytest.approx(0.06)
        assert stage.train_dataloader.dataset.source.portion_round == k + 1
        assert stage.optim_wrapper.segmentor.optimizer.lr == 5e-5 and stage.param_scheduler == []
        assert stage.segmentor.backbone.bn_mode == 'eval' and stage.train_dataloader.batch_size == 1
        for domain in ('source', 'target'):
            crop = next(step for step in stage.train_dataloader.dataset[domain].pipeline if step.type == 'RareClassCrop')
            assert crop.coverage == f'<work_dir>/pseudo_labels/round_{k + 1}/coverage.json'
            assert (tuple(crop.crop_size), crop.share, crop.prob) == ((512, 1024), 1e-3, 0.8)
    assert stages['source'].param_scheduler[0].type == 'PolyLR'
    assert stages['source'].train_dataloader.dataset.source.pipeline[3].coverage is None


def test_paper_scale_of_iast():
    stages = stages_of('iast/iast_gta2cs')
    rates = [stage.optim_wrapper.segmentor.optimizer.lr for stage in stages.values()]
    assert rates == [1e-4, 2e-5, 3e-5, 2.5e-5, 2e-5]
    assert [stage.train_dataloader.batch_size for stage in stages.values()] == [8, 4, 8, 8, 8]
    assert [stage.train_cfg.max_iters for stage in stages.values()] == [24966, 24966, 744, 744, 744]
    assert all(stage.param_scheduler[0].type == 'CosineAnnealingLR' and
               stage.param_scheduler[0].T_max == stage.train_cfg.max_iters for stage in stages.values())
    adversarial = stages['warmup'].model.objectives[1]
    assert (adversarial.gan, adversarial.weights.main, adversarial.discriminator.first_kernel_size) == ('ls', 0.05, 3)
    policies = [PSEUDO_LABEL_POLICIES.build(stages[name].custom_hooks[0].policy) for name in ROUNDS]
    assert [(p.alpha, p.beta, p.gamma, p.initial) for p in policies] == [(a, 0.9, 8.0, 0.9) for a in (0.2, 0.25, 0.3)]
    assert all(stages[name].train_dataloader.dataset.source is None for name in ROUNDS)


def test_both_regularisers_of_iast_in_the_authors_normalisation():
    """Sums over their region divided by (all pixels x classes), weights 0.1 and 3, against numpy on one random batch."""
    objectives = stages_of('iast/iast_gta2cs')['round2_main'].model.objectives
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 19, 4, 6, generator=generator)
    label = torch.randint(0, 19, (2, 4, 6), generator=generator)
    label[:, 2:] = 255
    batch = UDABatch(target=DomainBatch(torch.zeros(2, 3, 4, 6), label, (), {'main': logits}))
    prob = np.exp(logits.double().numpy())
    prob /= prob.sum(1, keepdims=True)
    labelled = label.numpy() != 255
    expected = dict(
        target=-sum(math.log(prob[b, label[b, y, x], y, x]) for b, y, x in np.argwhere(labelled)) / labelled.sum(),
        kld=0.1 * (-np.log(prob).mean(1) * labelled).sum() / (48 * 19),
        entropy=3.0 * (-(prob * np.log(prob)).sum(1) * ~labelled).sum() / (48 * 19))
    assert {objective.name for objective in objectives} == expected.keys()
    for cfg in objectives:
        cfg = cfg.to_dict()
        name = cfg.pop('name')
        assert float(OBJECTIVES.build(cfg)(batch, None)['loss_main']) == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize('name', ['cbst/cbst_gta2cs', 'crst/crst_lrent_warmup_minidrive'])
def test_each_round_is_labelled_by_the_round_before(name, tiny_data, tmp_path):
    """Labels on disk are those of the newest checkpoint at that time, in every round."""
    cfg = shrink(REPO / 'configs' / f'{name}.py', data=tiny_data, work_dir=tmp_path)
    cfg.report = False
    StagedRunner(cfg).train()
    journal = json.loads((tmp_path / 'journal.json').read_text())['stages']
    before = 'warmup' if 'warmup' in name else 'source'
    for k, stage in enumerate(ROUNDS):
        assert journal[stage]['start_from'].endswith(journal[before]['checkpoint'])
        folder = tmp_path / 'pseudo_labels' / f'round_{k + 1}'
        thresholds = json.loads((folder / 'thresholds.json').read_text())
        assert thresholds['policy']['portion'] == [0.2, 0.25, 0.3][k]
        labels = sorted((folder / 'labels').rglob('*.png'))
        assert len(labels) == 3 and any((cv2.imread(str(path), cv2.IMREAD_UNCHANGED) != 255).any() for path in labels)
        before = stage
    if 'lrent' in name:  # the teacher of the last round is the model that the round started from
        last, previous = (torch.load(tmp_path / journal[stage]['checkpoint'], weights_only=False)['state_dict']
                          for stage in ROUNDS[:0:-1])
        teacher = {key.removeprefix('teacher.'): value for key, value in last.items() if key.startswith('teacher.')}
        assert teacher and all(torch.equal(value, previous[key]) for key, value in teacher.items())


def test_dry_run_knows_the_round(tiny_data, tmp_path, capsys):
    cfg = shrink(REPO / 'configs' / 'cbst' / 'cbst_gta2cs.py', data=tiny_data, work_dir=tmp_path)
    assert dry_run(cfg) == 0
    assert 'source: 1 images' in capsys.readouterr().out  # 3.5 % of three, at least one
