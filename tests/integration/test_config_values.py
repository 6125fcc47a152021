# SPDX-License-Identifier: Apache-2.0
"""What configs say to each other through references."""
import numpy as np
import pytest
from mmengine.config import Config
from shrink import REPO

from udatools.engine.cli import build_config
from udatools.engine.runner.stages import expand_stages, merge_stage_config, resolve_references


def all_stages(path, seed=None):
    """The resolved config of every stage."""
    cfg = build_config(path, seed=seed)
    stages = expand_stages(cfg.get('stages') or [dict(name='train')])
    return [resolve_references(merge_stage_config(cfg, stage)) for stage in stages]


def last_stage(path, seed=None):
    return all_stages(path, seed)[-1]


@pytest.mark.parametrize('config', ['active/random_points_minidrive', 'active/entropy_pixels_gta2cs', 'labor/ppl_minidrive'])
def test_selectors_draw_with_the_seed_of_the_run(repo_root, config):
    hook, = last_stage(repo_root / 'configs' / f'{config}.py', seed=7).custom_hooks[-1:]
    assert hook.type == 'ActiveLabelingHook' and hook.seed == 7


def test_what_holds_where_people_differ_comes_from_the_config(repo_root, tmp_path):
    base = repo_root / 'configs/labor/ppl_minidrive.py'
    assert 'policy' not in last_stage(base).custom_hooks[-1]
    mine = tmp_path / 'mine.py'
    mine.write_text(f'_base_ = {str(base)!r}\nlabor = dict(conflicts="majority")\n')
    assert last_stage(mine).custom_hooks[-1].policy == 'majority'


def test_class_weights_of_a_data_set_reach_every_method(repo_root):
    weight = build_config(repo_root / 'configs/source_only/source_only_carla2camvid.py').class_weight
    for name in ('source_only/source_only', 'adaptsegnet/adaptsegnet', 'cbst/cbst', 'fda/fda', 'labor/spl'):
        found = [objective for cfg in all_stages(repo_root / 'configs' / f'{name}_carla2camvid.py')
                 for objective in cfg.model.objectives]
        sources = [objective for objective in found if objective.name == 'source']
        assert sources and all(list(source.class_weight) == list(weight) for source in sources)
        assert not any('class_weight' in objective for objective in found if objective.name != 'source')
        assert not any('class_weight' in objective for cfg in all_stages(repo_root / 'configs' / f'{name}_minidrive.py')
                       for objective in cfg.model.objectives)


@pytest.mark.parametrize('config', ['labor/spl', 'labor/ppl', 'active/margin_points', 'active/superpixels'])
def test_the_answers_alone_train_the_main_model_on_camvid(repo_root, config):
    for pair, alone in (('carla2camvid', True), ('minidrive', False)):
        cfg = last_stage(repo_root / 'configs' / f'{config}_{pair}.py')
        assert [objective.name for objective in cfg.model.objectives] == (
            ['target'] if alone else ['target', 'source', 'adversarial'])
        assert (cfg.train_dataloader.dataset.source is None) == alone


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


def test_vst_is_equation_13_and_small_networks_keep_the_source_on(repo_root):
    eq13 = dict(target=2.0, kld=0.2, entropy=6.0)  # IAST's 1, 0.1 and 3, summed over the two frames of a clip
    paper = last_stage(repo_root / 'configs/video_da/vat_vst_viper2csvps.py')
    assert objectives(paper) == eq13 and paper.train_dataloader.dataset.source is None
    for name in ('vat_vst_minidrive_video', 'vat_vst_carla2camvid_video'):
        small = last_stage(repo_root / 'configs' / 'video_da' / f'{name}.py')
        assert objectives(small) == dict(source=2.0, **eq13)
        assert small.train_dataloader.dataset.source.type == 'ClipDataset'


@pytest.mark.parametrize('name', ['iat', 'iat_single_dice', 'iat_tube', 'vat', 'vat_vst'])
@pytest.mark.parametrize('pair', ['viper2csvps', 'minidrive_video'])
def test_every_row_of_vat_has_the_adversarial_weight_of_iast(repo_root, name, pair):
    cfg = resolve_references(build_config(repo_root / f'configs/video_da/{name}_{pair}.py'))
    weights = {item['name']: item.get('weights', item.get('weight')) for item in cfg.vat.objectives}
    iast = resolve_references(build_config(repo_root / f'configs/video_da/iast_{pair}.py'))
    assert weights.pop('adversarial') == iast.adv_weights == dict(main=0.05)
    assert weights.pop('tube', 1.0) == 1.0 and list(weights) == ['source']


def test_the_clip_of_camvid_is_several_instances(repo_root):
    cfg = last_stage(repo_root / 'configs/video_da/vat_vst_carla2camvid_video.py')
    hook, = (hook for hook in cfg.custom_hooks if hook.type == 'PseudoLabelHook')
    assert hook.policy.type == 'ClipAdaptivePolicy' and hook.policy.clip_length * 5 == len(cfg.target_images.indices) == 50


def test_the_clip_of_camvid_is_scored_where_nothing_was_adapted(repo_root):
    cfg = resolve_references(build_config(repo_root / 'configs/video_da/vat_vst_carla2camvid_video.py'))
    adapted, scored = cfg.target_train.dataset.indices, cfg.val_dataloader.dataset.indices
    assert sorted([*adapted, *scored]) == list(range(101)) and max(adapted) < min(scored)
    assert cfg.target_images.indices == adapted and not cfg.target_train.dataset.labelled


@pytest.mark.parametrize('path', sorted((REPO / 'configs/_base_/datasets').glob('*.py')), ids=lambda path: path.stem)
def test_what_has_no_prefix_follows_the_protocol_of_the_run(path):
    """``results.json`` has one protocol, that of the first evaluator."""
    evaluators = Config.fromfile(path).get('val_evaluator', [])
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    assert {item.protocol for item in evaluators if 'prefix' not in item} == {item.protocol for item in evaluators[:1]}
    assert all(item.prefix == item.protocol for item in evaluators if 'prefix' in item)


@pytest.mark.parametrize('pair', ['viper2cs', 'synthiaseq2cs'])
def test_cityscapes_sequences_are_the_target_alone_that_differs(repo_root, pair):
    sequences, clips = (last_stage(repo_root / f'configs/_base_/datasets/{pair}{target}.py') for target in ('seq', 'vps'))
    assert sequences.source_train | dict(dataset=None) == clips.source_train | dict(dataset=None)
    assert sequences.source_train.dataset | dict(classes=None) == clips.source_train.dataset | dict(classes=None)
    for target in (sequences.target_train.dataset, sequences.target_images, sequences.train_dataloader.dataset.target.dataset):
        assert target.type == 'CityscapesSequenceDomain' and target.split == 'train' and not target.labelled
        assert target.data_root.endswith('cityscapes') and target.classes == sequences.classes
    assert sequences.target_train_labelled.dataset.labelled and sequences.target_flow.root.endswith('cityscapes_sequence/train')
    for loader in (sequences.val_dataloader, sequences.test_dataloader):
        assert (loader.dataset.type, loader.dataset.split) == ('CityscapesDomain', 'val')
    assert sequences.target_train.pipeline == clips.target_train.pipeline


@pytest.mark.parametrize('config', ['davsn/davsn', 'tps/tps', 'video_da/source_only'])
def test_runs_on_the_cityscapes_sequences_follow_the_published_protocols(repo_root, config):
    for pair, protocol, classes in (('viper2csseq', 'davsn15', 15), ('synthiaseq2csseq', 'synthiaseq11', 12)):
        cfg = last_stage(repo_root / f'configs/{config}_{pair}.py')
        assert [item.protocol for item in cfg.val_evaluator] == [protocol] and cfg.num_classes == classes
        assert cfg.model.segmentor.backbone.depth == 101 and cfg.model.segmentor.decode_head.num_classes == classes


def test_the_second_source_only_is_the_first_phase_of_vat(repo_root):
    cfg, iast = (build_config(repo_root / f'configs/video_da/{name}_viper2csvps.py') for name in ('source_only_iast', 'iast'))
    vat = build_config(repo_root / 'configs/video_da/vat_viper2csvps.py')
    alone = last_stage(repo_root / 'configs/video_da/source_only_iast_viper2csvps.py')
    for other in (iast, vat):
        first = resolve_references(merge_stage_config(other, expand_stages(other.stages)[0]))
        assert alone.train_cfg.max_iters == first.train_cfg.max_iters == 42455
        assert alone.optim_wrapper.segmentor == first.optim_wrapper.segmentor and alone.param_scheduler == first.param_scheduler
        assert alone.model.segmentor == first.model.segmentor and first.model.segmentor.backbone.bn_mode == 'eval'
        frames = first.train_dataloader.batch_size * len(other.frame_offsets)
        assert alone.train_dataloader.batch_size * len(cfg.frame_offsets) == frames == 8


@pytest.mark.parametrize('data', ['minidrive', 'carla2camvid'])
def test_ranked_points_are_as_far_apart_as_those_of_ppl(repo_root, data):
    distance = build_config(repo_root / f'configs/labor/ppl_{data}.py').labor.selector.min_distance
    for rule in ('entropy', 'margin', 'confidence', 'mcdal', 'ripu'):
        assert build_config(repo_root / f'configs/active/{rule}_points_{data}.py').labor.selector.spacing == distance == 5
