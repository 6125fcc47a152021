# SPDX-License-Identifier: Apache-2.0
"""IntraDA and TPLD as configured: stages, constants of the papers, and which images a stage trains on once they are split."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from shrink import CONFIGS, REPO, config_id, shrink

import udatools  # noqa: F401
from udatools.datasets.transforms.load_label import LoadDomainLabel
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.journal import DONE, Journal
from udatools.engine.runner.stage_runner import StageRunner
from udatools.registry import IMAGE_RANKINGS, PSEUDO_LABEL_POLICIES

FAMILY = [path for path in CONFIGS if path.parent.name in ('intrada', 'tpld')]


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance('easy_and_hard', scope_name='mmseg')


def stages_of(name, work_dir):
    """Every stage's config as if the stages before it were done."""
    cfg = Config.fromfile(REPO / 'configs' / f'{name}.py')
    cfg.work_dir = str(work_dir)
    runner = StagedRunner(cfg)
    runner.journal = Journal(work_dir / 'journal.json')
    filled = {}
    for stage in runner.stages:
        filled[stage.name] = runner.stage_config(stage)
        runner.journal.update(stage.name, status=DONE, checkpoint=f'{stage.name}.pth')
    return filled


@pytest.mark.parametrize('path', FAMILY, ids=config_id)
def test_stages(path, tmp_path):
    stages = stages_of(config_id(path), tmp_path)
    paper = path.stem.endswith('cs')
    if path.parent.name == 'intrada':
        assert list(stages) == ['inter', 'intra']
    else:
        rounds = (6, 3) if paper else (2, 1)
        assert list(stages) == ['source', *(f'round{k + 1}_main' for k in range(rounds[0])),
                                *(f'round{k + 1}_second_phase' for k in range(rounds[1]))]
    total = sum(stage.train_cfg.max_iters for stage in stages.values())
    assert paper or total == Config.fromfile(path).iters.train  # as long as source-only


@pytest.mark.parametrize('name', ['intrada/intrada_gta2cs', 'intrada/intrada_minidrive'])
def test_intra_domain_stage(name, tmp_path):
    stages = stages_of(name, tmp_path)
    inter, intra = stages['inter'], stages['intra']
    data = intra.train_dataloader.dataset
    hook = intra.custom_hooks[-1]
    assert (hook.type, hook.checkpoint) == ('PseudoLabelHook', str(tmp_path / 'inter.pth'))
    assert data.source.label_dir == hook.out_dir + '/labels' and data.target.get('label_dir') is None
    assert not data.source.labelled and not data.target.labelled and data.source.data_root == data.target.data_root
    assert IMAGE_RANKINGS.build(hook.ranking).settings() == dict(type='EntropyRanking', portion=0.67)
    policy = PSEUDO_LABEL_POLICIES.build(hook.policy)
    assert (policy.portion, policy.cap) == (1.0, None)
    easy, aligned = intra.model.objectives
    assert (easy.type, easy.domain, easy.get('class_weight')) == ('SegmentationCE', 'source', None)
    assert (aligned.space, aligned.weights.main) == ('entropy', 0.001)
    assert aligned.name not in [objective.name for objective in inter.model.objectives]  # a discriminator of its own
    assert intra.start_from == (None if name.endswith('cs') else str(tmp_path / 'inter.pth'))
    assert inter.model.objectives[1].space == 'entropy' and inter.train_dataloader.dataset.source.type == 'GTA5Domain'


def test_first_phase_of_tpld(tmp_path):
    stages = stages_of('tpld/tpld_gta2cs', tmp_path)
    before = 'source'
    for k, portion in enumerate((0.2, 0.25, 0.3, 0.35, 0.4, 0.45)):
        stage = stages[f'round{k + 1}_main']
        hook = stage.custom_hooks[-1]
        assert hook.checkpoint == str(tmp_path / f'{before}.pth') == stage.start_from
        policy = PSEUDO_LABEL_POLICIES.build(hook.policy)
        assert policy.portion == pytest.approx(portion)
        assert policy.voting == dict(window=57, weight=0.7, iterations=3)
        source, target, regulariser = stage.model.objectives
        assert (source.type, source.domain) == ('SegmentationCE', 'source')
        assert (target.type, target.domain, target.beta, target.get('soft_exponent')) == ('BootstrappedCE', 'target', 0.95, None)
        assert target.thresholds == hook.out_dir + '/thresholds.json'
        assert stage.train_dataloader.dataset.target.label_dir == hook.out_dir + '/labels'
        assert (regulariser.measure, regulariser.region, regulariser.loss_weight) == ('kld', 'labelled', 0.1)
        before = f'round{k + 1}_main'


def test_second_phase_of_tpld(tmp_path):
    stages = stages_of('tpld/tpld_gta2cs', tmp_path)
    before = 'round6_main'
    for k in range(3):
        stage = stages[f'round{k + 1}_second_phase']
        hook = stage.custom_hooks[-1]
        assert hook.checkpoint == str(tmp_path / f'{before}.pth') == stage.start_from
        assert hook.out_dir.endswith(f'second_phase_{k + 1}')
        assert PSEUDO_LABEL_POLICIES.build(hook.policy).settings() == dict(type='ClassBalancedPolicy', portion=0.5, stride=4)
        assert IMAGE_RANKINGS.build(hook.ranking).settings() == dict(type='ConfidenceRanking', portion=0.3)
        data = stage.train_dataloader.dataset
        assert (data.source.type, data.source.label_dir) == ('CityscapesDomain', hook.out_dir + '/labels')
        assert data.target.type == 'CityscapesDomain' and data.target.get('label_dir') is None
        easy, aligned = stage.model.objectives
        assert (easy.type, easy.domain, easy.soft_exponent) == ('BootstrappedCE', 'source', 2.0)
        assert easy.thresholds == hook.out_dir + '/thresholds.json' and aligned.space == 'entropy'
        assert stage.model.teacher == dict(momentum=1.0, domain='source')
        assert stage.optim_wrapper.segmentor.optimizer.lr == 5e-5 and stage.param_scheduler == []
        before = f'round{k + 1}_second_phase'


@pytest.mark.parametrize('name, labels_of', [('intrada/intrada_minidrive', 'round_1'), ('tpld/tpld_minidrive', 'second_phase_1')])
def test_a_stage_trains_on_easy_images_with_labels_and_on_hard_ones_without(name, labels_of, tiny_data, tmp_path, monkeypatch):
    cfg = shrink(REPO / 'configs' / f'{name}.py', data=tiny_data, work_dir=tmp_path, iterations=3, items=4)
    cfg.report = False
    last = StagedRunner(cfg).stages[-1]
    loaded, in_last = {'easy': set(), 'hard': set()}, []
    train, transform = StageRunner.train, LoadDomainLabel.transform

    def spy_on_training(self):
        in_last[:] = [True] * (Path(self.cfg.work_dir).name == last.folder)
        return train(self)

    def spy_on_labels(self, results):
        done = transform(self, results)
        if in_last and not results.get('seg_map_path'):
            part = 'easy' if results.get('label_dir') else 'hard'
            assert part == 'easy' or (done['gt_seg_map'] == 255).all()
            loaded[part].add(results['key'])
        return done

    monkeypatch.setattr(StageRunner, 'train', spy_on_training)
    monkeypatch.setattr(LoadDomainLabel, 'transform', spy_on_labels)
    StagedRunner(cfg).train()
    folder = tmp_path / 'pseudo_labels' / labels_of
    split = json.loads((folder / 'split.json').read_text())
    intrada = name.startswith('intrada')
    assert len(split['easy']) == (3 if intrada else 1) and len(split['easy'] + split['hard']) == 4
    assert loaded == {part: set(split[part]) for part in ('easy', 'hard')}
    labels = [cv2.imread(str(folder / 'labels' / f'{key}.png'), cv2.IMREAD_UNCHANGED) for key in split['difficulty']]
    labelled = np.mean(np.stack(labels) != 255)
    assert labelled == 1 if intrada else 0 < labelled < 1
    # Who the last stage starts from, trains, and is taught by.
    journal = json.loads((tmp_path / 'journal.json').read_text())['stages']
    before = journal['inter' if intrada else 'round2_main']['checkpoint']
    assert journal[last.name]['start_from'] == str(tmp_path / before)
    end, start = (torch.load(tmp_path / path, weights_only=False)['state_dict']
                  for path in (journal[last.name]['checkpoint'], before))
    weight = 'segmentor.decode_head.branches.0.weight'
    assert not torch.equal(end[weight], start[weight])
    teacher = {key.removeprefix('teacher.'): value for key, value in end.items() if key.startswith('teacher.')}
    assert bool(teacher) != intrada and all(torch.equal(value, start[key]) for key, value in teacher.items())
