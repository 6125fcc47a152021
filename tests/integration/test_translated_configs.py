# SPDX-License-Identifier: Apache-2.0
"""BDL, LTIR, PCEDA and SIM: which images, objectives and labels each stage has, and what it starts from."""
import pytest
from mmengine.config import Config
from shrink import REPO

import udatools  # noqa: F401
from udatools.engine.export import plain_model
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.journal import DONE, Journal

FOURIER = dict(type='FourierTransfer', beta=0.01)


def stages_of(name, work_dir):
    """Every stage's config as if the stages before it were done, by stage."""
    cfg = Config.fromfile(REPO / 'configs' / name.split('_')[0] / f'{name}.py')
    cfg.work_dir = str(work_dir)
    runner = StagedRunner(cfg)
    runner.journal = Journal(work_dir / 'journal.json')
    result = {}
    for stage in runner.stages:
        result[stage.name] = runner.stage_config(stage)
        runner.journal.update(stage.name, status=DONE, checkpoint=f'{stage.name}.pth')
    return result


def objectives(cfg):
    return [objective.name for objective in cfg.model.objectives]


@pytest.mark.parametrize(('data', 'folder'), [('gta2cs', 'gta2cs'), ('syn2cs', 'syn2cs')])
@pytest.mark.parametrize('method', ['bdl', 'ltir', 'pceda'])
def test_paper_scale_trains_on_translated_images(method, data, folder, tmp_path, monkeypatch):
    monkeypatch.setenv('UDATOOLS_TRANSLATED', '/translated')
    monkeypatch.setenv('UDATOOLS_STYLISED', '/stylised')
    expected = f'/translated/{folder}' if method != 'ltir' else [f'/translated/{folder}', f'/stylised/{folder}']
    for cfg in stages_of(f'{method}_{data}', tmp_path).values():
        assert cfg.train_dataloader.dataset.source.image_dir == cfg.source_train.image_dir == expected
        assert 'image_dir' not in cfg.train_dataloader.dataset.target
        assert 'domain_transforms' not in cfg.model.data_preprocessor
        steps = {step.type: step for step in cfg.train_dataloader.dataset.source.pipeline}
        assert tuple(steps['RandomCrop'].crop_size) == (512, 1024)


@pytest.mark.parametrize(('name', 'transforms'), [
    ('bdl', [FOURIER]), ('pceda', [FOURIER]), ('ltir', [FOURIER, dict(type='RandomConvolution', prob=0.5)]), ('sim', None)])
def test_small_ones_translate_on_the_fly_and_deliver_a_plain_model(name, transforms, tmp_path):
    for cfg in stages_of(f'{name}_minidrive', tmp_path).values():
        assert cfg.model.data_preprocessor.get('domain_transforms') == transforms
        assert cfg.train_dataloader.dataset.source.get('image_dir') is None
    model = cfg.model.to_dict()
    model['segmentor']['decode_head']['type'] = 'FCNHead'  # no weights at hand to convert
    assert 'domain_transforms' not in plain_model(model, {})[0]['data_preprocessor']


def check_round(cfg, before, tmp_path, number):
    hook = cfg.custom_hooks[-1]
    assert hook.type == 'PseudoLabelHook' and hook.checkpoint == str(tmp_path / f'{before}.pth')
    assert cfg.train_dataloader.dataset.target.label_dir == hook.out_dir + '/labels'
    assert hook.out_dir.endswith(f'round_{number}')
    assert hook.policy == dict(type='InstanceAdaptivePolicy', beta=1.0, initial=0.9)


def test_bdl_starts_over_in_each_round_unless_from_random_weights(tmp_path):
    for name, again in (('bdl_gta2cs', True), ('bdl_minidrive', False)):
        stages = stages_of(name, tmp_path)
        assert list(stages) == ['warmup', 'round1_main', 'round2_main']
        assert objectives(stages['warmup']) == ['source', 'adversarial']
        before = 'warmup'
        for number in (1, 2):
            cfg = stages[f'round{number}_main']
            assert objectives(cfg) == ['source', 'adversarial', 'target']  # Eq. 4: everything else kept on
            check_round(cfg, before, tmp_path, number)
            assert cfg.start_from == (None if again else str(tmp_path / f'{before}.pth'))
            before = f'round{number}_main'
    paper = stages_of('bdl_gta2cs', tmp_path)
    assert [cfg.train_cfg.max_iters for cfg in paper.values()] == [80000, 120000, 120000]
    assert paper['warmup'].model.objectives[1].weights == dict(main=0.001)


@pytest.mark.parametrize(('name', 'rounds', 'last'), [
    ('ltir_gta2cs', 2, ['source', 'target']), ('ltir_minidrive', 2, ['source', 'target']),
    ('sim_gta2cs', 1, ['source', 'adversarial', 'matching', 'target']),
    ('sim_minidrive', 1, ['source', 'adversarial', 'matching', 'target'])])
def test_ltir_and_sim_go_on_from_the_first_step(name, rounds, last, tmp_path):
    stages = stages_of(name, tmp_path)
    assert list(stages) == ['warmup', *(f'round{number + 1}_main' for number in range(rounds))]
    assert objectives(stages['warmup']) == [other for other in ('source', 'adversarial', *last[2:]) if other != 'target']
    before = 'warmup'
    for number in range(1, rounds + 1):
        cfg = stages[f'round{number}_main']
        assert objectives(cfg) == last and cfg.train_dataloader.dataset.source is not None
        check_round(cfg, before, tmp_path, number)
        assert cfg.start_from == str(tmp_path / f'{before}.pth')
        before = f'round{number}_main'


@pytest.mark.parametrize('name', ['pceda_gta2cs', 'pceda_minidrive'])
def test_the_prior_is_trained_ahead_and_on(name, tmp_path):
    ahead, adapt = stages_of(name, tmp_path).values()
    assert objectives(ahead) == objectives(adapt) == ['source', 'adversarial', 'prior']
    assert [cfg.model.objectives[2].weight for cfg in (ahead, adapt)] == [0, 1]
    assert ahead.model.get('teacher') is None and adapt.model.teacher == dict(momentum=1.0)  # that of the stage ahead
    assert adapt.start_from == str(tmp_path / 'prior.pth')
    settings = [dict(cfg.model.objectives[-1], weight=None) for cfg in (ahead, adapt)]
    assert settings[0] == settings[1]  # or the weights would not fit


@pytest.mark.parametrize(('name', 'channels'), [('sim_gta2cs', 2048), ('sim_minidrive', 128)])
def test_the_matching_fits_the_network(name, channels, tmp_path):
    for cfg in stages_of(name, tmp_path).values():
        matching, = (objective for objective in cfg.model.objectives if objective.name == 'matching')
        assert matching.channels == channels and matching.classes == 'cityscapes19'
