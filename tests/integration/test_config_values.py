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


def objectives(cfg):
    """Weight by name; of what has its weight under another name, None."""
    return {item['name']: item.get('loss_weight') for item in cfg.model.objectives}


def test_vst_is_equation_13_and_small_networks_keep_equation_9_on(repo_root):
    eq13 = dict(target=2.0, kld=0.2, entropy=6.0)  # IAST's 1, 0.1 and 3, summed over the two frames of a clip
    paper = last_stage(repo_root / 'configs/video_da/vat_vst_viper2csvps.py')
    assert objectives(paper) == eq13 and paper.train_dataloader.dataset.source is None
    for name in ('vat_vst_minidrive_video', 'vat_vst_carla2camvid_video'):
        small = last_stage(repo_root / 'configs' / 'video_da' / f'{name}.py')
        assert objectives(small) == dict(source=2.0, tube=None, adversarial=None, **eq13)
        assert small.train_dataloader.dataset.source.type == 'ClipDataset'
    images = last_stage(repo_root / 'configs/video_da/iat_vst_minidrive_video.py')
    assert list(objectives(images)) == ['source', 'adversarial', *eq13]  # without tube matching


def test_the_clip_of_camvid_is_scored_where_nothing_was_adapted(repo_root):
    cfg = resolve_references(build_config(repo_root / 'configs/video_da/vat_vst_carla2camvid_video.py'))
    adapted, scored = cfg.target_train.dataset.indices, cfg.val_dataloader.dataset.indices
    assert sorted([*adapted, *scored]) == list(range(101)) and max(adapted) < min(scored)
    assert cfg.target_images.indices == adapted and not cfg.target_train.dataset.labelled


@pytest.mark.parametrize('data', ['minidrive', 'carla2camvid'])
def test_ranked_points_are_as_far_apart_as_those_of_ppl(repo_root, data):
    distance = build_config(repo_root / f'configs/labor/ppl_{data}.py').labor.selector.min_distance
    for rule in ('entropy', 'margin', 'confidence', 'mcdal', 'ripu'):
        assert build_config(repo_root / f'configs/active/{rule}_points_{data}.py').labor.selector.spacing == distance == 5
