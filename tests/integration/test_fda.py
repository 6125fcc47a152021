# SPDX-License-Identifier: Apache-2.0
"""Who labels for whom, and who starts from whom, in FDA's rounds; and that an exported model is free of the transfer."""
import pytest
from mmengine.config import Config
from shrink import REPO, shrink

import udatools  # noqa: F401
from udatools.engine.export import plain_model
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.journal import DONE, Journal
from udatools.engine.runner.stages import expand_stages, merge_stage_config

BETAS = (0.01, 0.05, 0.09)


def configs_of(name, work_dir):
    """Every stage's config as if the stages before it were done."""
    cfg = Config.fromfile(REPO / 'configs' / 'fda' / f'{name}.py')
    cfg.work_dir = str(work_dir)
    runner = StagedRunner(cfg)
    runner.journal = Journal(work_dir / 'journal.json')
    result = {}
    for stage in runner.stages:
        result[stage.name] = runner.stage_config(stage)
        runner.journal.update(stage.name, status=DONE, checkpoint=f'{stage.name}.pth')
    return result


@pytest.mark.parametrize('name', ['fda_mbt_gta2cs', 'fda_mbt_minidrive'])
def test_rounds(name, tmp_path):
    stages = configs_of(name, tmp_path)
    assert len(stages) == 9
    before = [f'fda_{band}' for band in (1, 2, 3)]
    for number in (1, 2):
        now = [f'round{number}_self_training_{band}' for band in (1, 2, 3)]
        first = stages[now[0]].custom_hooks[-1]
        assert first.type == 'PseudoLabelHook'
        assert first.checkpoint == [str(tmp_path / f'{one}.pth') for one in before]
        for band, stage in enumerate(now):
            cfg = stages[stage]
            assert cfg.train_dataloader.dataset.target.label_dir == first.out_dir + '/labels'
            assert first.out_dir.endswith(f'round_{number}')
            assert (cfg.custom_hooks[-1].type == 'PseudoLabelHook') == (band == 0)
            assert [objective.name for objective in cfg.model.objectives] == ['source', 'entropy', 'target']
            assert cfg.start_from == (None if name == 'fda_mbt_gta2cs' else str(tmp_path / f'{before[band]}.pth'))
        before = now
    for band, beta in enumerate(BETAS):
        for stage in list(stages)[band::3]:
            assert stages[stage].model.data_preprocessor.domain_transforms == [dict(type='FourierTransfer', beta=beta)]


def test_settings_of_the_authors():
    cfg = Config.fromfile(REPO / 'configs' / 'fda' / 'fda_gta2cs.py')
    cfg = merge_stage_config(cfg, expand_stages(cfg.stages)[0])
    assert cfg.model.data_preprocessor.domain_transforms[0].beta == 0.01
    source, entropy = cfg.model.objectives
    assert source.type == 'SegmentationCE' and source.domain == 'source'
    assert (entropy.measure, entropy.eta, entropy.loss_weight) == ('charbonnier_entropy', 2.0, 0.005)
    steps = {step.type: step for step in cfg.train_dataloader.dataset.source.pipeline}
    assert tuple(steps['SparseSafeResize'].scale) == (1280, 720) and tuple(steps['RandomCrop'].crop_size) == (512, 1024)
    assert cfg.optim_wrapper.segmentor.optimizer.lr == 2.5e-4
    assert cfg.param_scheduler[0].end == 150000 and cfg.train_cfg.max_iters == 100000


def test_the_exported_model_does_not_transfer():
    cfg = shrink(REPO / 'configs' / 'fda' / 'fda_minidrive.py', data={}, work_dir='unused')
    model = merge_stage_config(cfg, StagedRunner(cfg).stages[0]).model.to_dict()
    assert model['data_preprocessor']['domain_transforms']
    model['segmentor']['decode_head']['type'] = 'FCNHead'  # no weights at hand to convert
    exported, _, _ = plain_model(model, {})
    assert 'domain_transforms' not in exported['data_preprocessor']
    assert exported['data_preprocessor']['type'] == 'SegDataPreProcessor'
