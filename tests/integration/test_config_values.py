# SPDX-License-Identifier: Apache-2.0
"""What configs say to each other through references."""
import numpy as np
import pytest

from udatools.engine.cli import build_config
from udatools.engine.runner.stages import expand_stages, merge_stage_config, resolve_references


def last_stage(path, seed=None):
    """The resolved config of the last stage."""
    cfg = build_config(path, seed=seed)
    return resolve_references(merge_stage_config(cfg, expand_stages(cfg.get('stages') or [dict(name='train')])[-1]))


@pytest.mark.parametrize('config', ['active/random_points_minidrive', 'active/entropy_pixels_gta2cs', 'labor/ppl_minidrive'])
def test_selectors_draw_with_the_seed_of_the_run(repo_root, config):
    hook, = last_stage(repo_root / 'configs' / f'{config}.py', seed=7).custom_hooks[-1:]
    assert hook.type == 'ActiveLabelingHook' and hook.seed == 7


def test_class_weights_of_a_data_set_reach_every_method(repo_root):
    weight = build_config(repo_root / 'configs/source_only/source_only_carla2camvid.py').class_weight
    for name in ('source_only/source_only', 'adaptsegnet/adaptsegnet', 'cbst/cbst', 'fda/fda', 'labor/spl'):
        cfg = last_stage(repo_root / 'configs' / f'{name}_carla2camvid.py')
        source, = (objective for objective in cfg.model.objectives if objective.name == 'source')
        assert list(source.class_weight) == list(weight)
        others = [objective for objective in cfg.model.objectives if objective.name != 'source']
        assert not any('class_weight' in objective for objective in others)
        cfg = last_stage(repo_root / 'configs' / f'{name}_minidrive.py')
        assert not any('class_weight' in objective for objective in cfg.model.objectives)


def test_class_weights_of_carla(real_data_root, repo_root, monkeypatch):
    from mmengine.registry import init_default_scope

    from udatools.datasets.rare_class_sampling import count_classes
    from udatools.registry import DATASETS
    init_default_scope('mmseg')
    monkeypatch.setenv('UDATOOLS_REAL_DATA', str(real_data_root))
    cfg = resolve_references(build_config(repo_root / 'configs/source_only/source_only_carla2camvid.py'))
    pixels = count_classes(DATASETS.build(cfg.source_train)).pixels
    share = pixels / pixels.sum()
    weight = np.array(cfg.class_weight)
    assert (weight * share).sum() == pytest.approx(1, abs=0.01)  # the loss keeps its size
    expected = np.maximum(share, share[share > 0].min())**-0.6
    expected = np.minimum(expected, 20 * expected.min())
    assert weight == pytest.approx(expected / (expected * share).sum(), rel=0.05)
