# SPDX-License-Identifier: Apache-2.0
"""Every config: builds at its real size, and runs from its first stage to its report at a reduced one."""
import json
import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from shrink import CONFIGS, REPO, config_id, shrink

import udatools  # noqa: F401
from udatools.active.image_questions import IMAGE_KINDS
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.stages import expand_stages, merge_stage_config
from udatools.registry import HOOKS, MODELS


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance('configs', scope_name='mmseg')


def test_there_are_configs():
    assert 'labor/spl_gta2cs' in map(config_id, CONFIGS)


@pytest.mark.parametrize('path', CONFIGS, ids=config_id)
def test_builds_at_real_size(path):
    cfg = Config.fromfile(path)
    for stage in expand_stages(cfg.get('stages') or [dict(name='train')])[:4]:
        stage_cfg = merge_stage_config(cfg, stage)
        with torch.device('meta'):  # real shapes without their memory
            model = MODELS.build(dict(stage_cfg.model))
        assert model.out_channels == cfg.num_classes
        assert model.optimised_parts().keys() <= stage_cfg.optim_wrapper.keys()
        for hook in stage_cfg.get('custom_hooks', []):
            assert HOOKS.get(hook['type']) is not None


@pytest.mark.parametrize('path', CONFIGS, ids=config_id)
def test_runs_at_reduced_size(path, tiny_data, tmp_path):
    cfg = shrink(path, data=tiny_data, work_dir=tmp_path)
    results = StagedRunner(cfg).train()
    stages = expand_stages(cfg.get('stages') or [dict(name='train')])
    assert [record['name'] for record in results['stages']] == [stage.name for stage in stages if stage.evaluate]
    for record in results['stages']:
        assert 0 <= record['metrics']['mIoU'] <= 100
        rounds = record['round'] if (tmp_path / 'ledger.sqlite').exists() else 0  # of self-training nothing is asked in
        packages = [tmp_path / 'requests' / f'round_{k + 1}' / 'request.json' for k in range(rounds)]
        headers = [json.loads(package.read_text()) for package in packages]
        asked, labelled = sum(header['budget']['asked'] for header in headers), record['labelled']['pixels']
        if not {header['kind'] for header in headers} & set(IMAGE_KINDS):
            assert labelled == asked
        else:  # classes are asked for
            assert labelled == 0 if headers[0]['kind'] == 'tags' else 0 < labelled <= asked
            assert json.loads((tmp_path / 'tags.json').read_text())['images'].keys() == set(package_keys(packages[0]))
    assert (tmp_path / 'report' / 'index.html').stat().st_size > 1000
    assert (tmp_path / 'final' / 'model.pth').exists()
    journal = json.loads((tmp_path / 'journal.json').read_text())
    assert {record['status'] for record in journal['stages'].values()} == {'done'}


def package_keys(package):
    return [json.loads(line)['key'] for line in (package.parent / 'items.jsonl').read_text().splitlines()]


PLAIN_MMSEG = """
import sys, warnings
warnings.filterwarnings('ignore')
import torch, numpy as np
sys.modules['udatools'] = None  # as if it were not installed
from mmseg.apis import init_model, inference_model
model = init_model(sys.argv[1], sys.argv[2], device='cpu')
image = np.load(sys.argv[3])
np.save(sys.argv[4], inference_model(model, image).seg_logits.data.numpy())
"""


@pytest.mark.parametrize('name', [
    'labor/spl_minidrive', 'adaptsegnet/adaptsegnet_multilevel_gta2cs', 'video_da/vat_vst_minidrive_video'])
def test_final_model_is_plain_mmseg_with_the_same_logits(name, tiny_data, tmp_path):
    import numpy as np
    cfg = shrink(REPO / 'configs' / f'{name}.py', data=tiny_data, work_dir=tmp_path / 'run')
    runner = StagedRunner(cfg)
    runner.train()
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    np.save(tmp_path / 'image.npy', image)
    env = {key: value for key, value in os.environ.items() if key != 'PYTHONPATH'}
    subprocess.run([sys.executable, '-c', PLAIN_MMSEG, str(tmp_path / 'run' / 'final' / 'config.py'),
                    str(tmp_path / 'run' / 'final' / 'model.pth'), str(tmp_path / 'image.npy'), str(tmp_path / 'out.npy')],
                   check=True, env=env, cwd=tmp_path)
    last = runner.stages[-1]
    model = MODELS.build(dict(runner.stage_config(last).model, objectives=[])).eval()
    state = torch.load(runner.checkpoint_of((last.kind, )), weights_only=False)['state_dict']
    model.load_state_dict(state, strict=False)
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())
    data = model.data_preprocessor({'inputs': [tensor], 'data_samples': None}, False)
    with torch.no_grad():
        expected = model.segmentor.encode_decode(data['inputs'], [dict(img_shape=(32, 64))])[0].numpy()
    np.testing.assert_allclose(np.load(tmp_path / 'out.npy'), expected, rtol=1e-4, atol=1e-5)


def test_a_run_without_validation_trains_and_exports(tiny_data, tmp_path):
    cfg = shrink(REPO / 'configs' / 'adaptsegnet' / 'adaptsegnet_minidrive.py', data=tiny_data, work_dir=tmp_path)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    results = StagedRunner(cfg).train()
    assert results['stages'] == [] and (tmp_path / results['final']['checkpoint']).exists()
