# SPDX-License-Identifier: Apache-2.0
"""Expanding stages, references, placeholders, and what counts as another config."""
import pytest
from mmengine.config import Config

from udatools.engine.runner.stages import (
    Stage,
    StageConfig,
    config_digest,
    expand_stages,
    fill_placeholders,
    merge_stage_config,
    resolve_references,
)

PLAN = [
    dict(name='source', config={'train_cfg.max_iters': 3}),
    dict(name='warmup', init='source', evaluate=False),
    dict(name='round', repeat=2, steps=[dict(name='select', init=['main', 'warmup']), dict(name='main', init='select')]),
]


def test_expand():
    stages = expand_stages(PLAN)
    assert [(s.index, s.name, s.kind, s.round, s.folder) for s in stages] == [
        (0, 'source', 'source', 0, '00_source'),
        (1, 'warmup', 'warmup', 0, '01_warmup'),
        (2, 'round1_select', 'select', 1, '02_round1_select'),
        (3, 'round1_main', 'main', 1, '03_round1_main'),
        (4, 'round2_select', 'select', 2, '04_round2_select'),
        (5, 'round2_main', 'main', 2, '05_round2_main'),
    ]
    assert [s.init for s in stages[:4]] == [(), ('source', ), ('main', 'warmup'), ('select', )]
    assert [s.evaluate for s in stages[:3]] == [True, False, True]
    assert stages[0].config == {'train_cfg.max_iters': 3}


@pytest.mark.parametrize('plan, message', [
    ([dict(name='a', iters=3)], r"stage 'a' has unknown keys \['iters'\]; expected some of"),
    ([dict(name='a', init='b'), dict(name='b')], r"stage 'a' starts from \['b'\], but only \[\] come before it"),
    ([dict(name='a'), dict(name='a')], "two stages are called 'a'"),
])
def test_expand_refuses(plan, message):
    with pytest.raises(ValueError, match=message):
        expand_stages(plan)


def test_references_are_copies_and_reach_inside():
    cfg = resolve_references(Config(dict(net=dict(depth=18, heads=[1, 2]), lr='{cfg:schedule.lr}', schedule=dict(lr=0.1),
                                         a=dict(model='{cfg:net}'), b=('{cfg:net}', 'net {cfg:lr}'))))
    assert cfg.a.model == cfg.net and cfg.b[0] == cfg.net and cfg.lr == 0.1
    cfg.a.model.depth = 50
    assert cfg.net.depth == 18 and cfg.b[0].depth == 18
    assert cfg.b[1] == 'net {cfg:lr}'  # nothing but a reference is one


def test_pieces_with_an_underscore_are_referred_to_and_left_out():
    cfg = Config(dict(_hook=dict(type='H', lr='{cfg:lr}'), lr=0.1, custom_hooks=['{cfg:_hook}']))
    assert resolve_references(cfg).to_dict() == dict(lr=0.1, custom_hooks=[dict(type='H', lr=0.1)])
    stage = Stage(0, 'main', config={'custom_hooks': ['{cfg:_hook}', '{cfg:_hook}']})
    merged = merge_stage_config(cfg, stage)
    assert [hook.lr for hook in merged.custom_hooks] == [0.1, 0.1] and '_hook' not in merged


def test_references_follow_references():
    cfg = resolve_references(Config(dict(a='{cfg:b}', b='{cfg:c.d}', c=dict(d=dict(e='{cfg:f}')), f=5, g='{cfg:b.e}')))
    assert cfg.a == dict(e=5) and cfg.g == 5


@pytest.mark.parametrize('content', [dict(a='{cfg:b}', b='{cfg:a}'), dict(a=dict(x='{cfg:a}'))])
def test_circles(content):
    with pytest.raises(ValueError, match='circle: .*a.*->'):
        resolve_references(Config(content))


@pytest.mark.parametrize('name', ['nothing', 'a.nothing', 'a.b.c'])
def test_unknown_reference(name):
    with pytest.raises(KeyError, match=f"refers to '{name}', which it does not have"):
        resolve_references(Config(dict(a=dict(b=1), x=f'{{cfg:{name}}}')))


def test_optional_references():
    cfg = Config(dict(here=1, a=dict(x='{cfg:here?}', y='{cfg:gone?}', z=2), b=['{cfg:gone.deeper?}', 3], c='{cfg:gone?}'))
    assert resolve_references(cfg).to_dict() == dict(here=1, a=dict(x=1, z=2), b=[3])
    with pytest.raises(KeyError, match="refers to 'gone'"):  # of what an optional reference finds, the rest is still needed
        resolve_references(Config(dict(here='{cfg:gone}', a=dict(x='{cfg:here?}'))))


def test_a_starred_reference_puts_the_items_of_a_list_into_a_list():
    content = dict(a=[1, '{cfg:*b}', '{cfg:*none?}', 4, '{cfg:*empty}'], b=['{cfg:c}', 3], c=2, empty=[], t=('{cfg:*b}', ))
    assert resolve_references(Config(content)).to_dict() == dict(content, a=[1, 2, 3, 4], b=[2, 3], t=(2, 3))
    for wrong, message in ((dict(a=['{cfg:*c}'], c=2), "unpacks a list, but 'c' is 2"),
                           (dict(a='{cfg:*b}', b=[]), 'an item of a list'),
                           (dict(a=['{cfg:*b}'], b=['{cfg:*a}']), 'in a circle: b -> a -> b')):
        with pytest.raises(ValueError, match=message):
            resolve_references(Config(wrong))
    with pytest.raises(KeyError, match="refers to 'none'"):
        resolve_references(Config(dict(a=['{cfg:*none}'])))


def test_placeholders():
    values = {'work_dir': '/runs/x', 'round': '2', 'checkpoint:main|warmup': '/runs/x/iter_3.pth'}
    filled = fill_placeholders(
        dict(a='{work_dir}/r{round}', b=['{round}', ('{checkpoint:main|warmup}', 7)], c='{other} {cfg:x}', d=None), values.get)
    assert filled == dict(a='/runs/x/r2', b=[2, ('/runs/x/iter_3.pth', 7)], c='{other} {cfg:x}', d=None)


def test_merge_leaves_the_base_alone():
    base = Config(dict(stages=PLAN, runner_type='StagedRunner', train_cfg=dict(max_iters='{cfg:n}'), n=5, hooks=[1]))
    merged = merge_stage_config(base, Stage(0, 'source', config={'train_cfg.max_iters': 3, 'hooks': [2]}))
    assert merged.train_cfg.max_iters == 3 and merged.hooks == [2] and 'stages' not in merged and 'runner_type' not in merged
    assert base.train_cfg.max_iters == '{cfg:n}' and base.hooks == [1]
    assert merge_stage_config(base, Stage(0, 'source')).train_cfg.max_iters == 5


def test_digest_sees_numbers_and_nothing_else():
    content = dict(model=dict(type='A', depth=18), train_cfg=dict(max_iters=3), randomness=dict(seed=0), work_dir='x', lr=0.1)
    digest = config_digest(Config(content))
    assert config_digest(Config(dict(reversed(content.items())))) == digest
    for same in (dict(work_dir='y'), dict(log_level='DEBUG'), dict(lr=0.2), dict(launcher='pytorch')):
        assert config_digest(Config(content | same)) == digest
    for other in (dict(model=dict(type='A', depth=34)), dict(train_cfg=dict(max_iters=4)), dict(randomness=dict(seed=1)),
                  dict(custom_hooks=[dict(type='PseudoLabelHook')]), dict(train_dataloader=dict(batch_size=2))):
        assert config_digest(Config(content | other)) != digest


def test_how_batches_are_loaded_can_be_left_out():
    def digest(loading, **loader):
        cfg = Config(dict(train_dataloader=dict(dataset=dict(type='A'), **loader), val_dataloader=None))
        return config_digest(cfg, loading=loading)

    several = dict(num_workers=4, persistent_workers=True, pin_memory=True, prefetch_factor=2)
    assert digest(False, batch_size=2, **several) == digest(False, batch_size=2) != digest(False, batch_size=4)
    assert digest(True, batch_size=2, **several) != digest(True, batch_size=2)


def test_config_text_reads_back(tmp_path):
    content = dict(a=dict(b=[1, (2, 'x'), {'3': None}], lr=1e-4), ref='{cfg:a}', flag=True)
    StageConfig(content).dump(str(tmp_path / 'config.py'))
    assert Config.fromfile(str(tmp_path / 'config.py')).to_dict() == content


def test_overrides_by_kind_then_by_name_and_private_names_are_left_out():
    base = Config(dict(lr=1, size=8, _piece=dict(checkpoint='{checkpoint:main}'), stage_overrides=dict(
        main={'lr': 2, 'train.batch': '{cfg:size}'}, round2_main={'lr': 3}, unknown={'lr': 4}), train=dict(batch=1)))
    plan = [dict(name='warmup', config={'lr': 9}), dict(name='r', repeat=2, steps=[dict(name='main', config={'lr': 9})])]
    merged = [merge_stage_config(base, stage) for stage in expand_stages(plan)]
    assert [cfg.lr for cfg in merged] == [9, 2, 3]
    assert [cfg.train.batch for cfg in merged] == [1, 8, 8]
    assert all('stage_overrides' not in cfg and '_piece' not in cfg for cfg in merged)
