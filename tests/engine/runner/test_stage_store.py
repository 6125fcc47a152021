# SPDX-License-Identifier: Apache-2.0
"""Stages that several runs share: what may be shared, and that sharing changes no number."""
import pytest
from mmengine.config import Config
from run_contents import differences, run_contents
from shrink import shrink

from udatools.engine.runner import StagedRunner, stage_store, staged_runner
from udatools.engine.runner.journal import Journal
from udatools.engine.runner.stage_store import StageStore, stage_keys
from udatools.engine.runner.stages import expand_stages, merge_stage_config

PLAN = [dict(name='source', config={'train_cfg.max_iters': 3}), dict(name='warmup', init='source'),
        dict(name='round', repeat=2, steps=[
            dict(name='select', init=['main', 'warmup'], config={'train_cfg.labels': '{work_dir}/labels'}),
            dict(name='main', init=['main', 'warmup'])])]


def keys_of(plan=PLAN, *, seed=0, world_size=1, **base):
    stages = expand_stages(plan)
    cfg = Config(dict(train_cfg=dict(max_iters=1), train_dataloader=dict(root='/some/data'), stages=plan) | base)
    configs = {stage.name: merge_stage_config(cfg, stage) for stage in stages}
    return stage_keys(stages, configs, seed=seed, world_size=world_size)


def test_what_reads_the_files_of_its_run_is_not_shared_nor_what_starts_from_it():
    plan = [*PLAN, dict(name='last', init='select')]
    assert set(keys_of(plan)) == {'source', 'warmup', 'round1_main', 'round2_main'}  # main starts from warmup, then main
    reads_a_checkpoint = [PLAN[0], dict(name='distil', config={'train_cfg.teacher': '{checkpoint:source}'})]
    assert set(keys_of(reads_a_checkpoint)) == {'source'}
    assert keys_of(load_from='elsewhere.pth') == {}  # the file may change


@pytest.mark.parametrize('change', [
    dict(seed=1), dict(world_size=2), dict(model=dict(depth=18)), dict(train_dataloader=dict(root='/another/data')),
    dict(plan=[dict(PLAN[0], config={'train_cfg.max_iters': 4}), *PLAN[1:]])])
def test_keys_change_with_all_that_the_weights_depend_on(change):
    before, after = keys_of(), keys_of(**change)
    assert before.keys() == after.keys() and not set(before.values()) & set(after.values())


def test_keys_change_with_the_code_and_only_after_the_change(monkeypatch):
    before = keys_of()
    later = keys_of([PLAN[0], dict(PLAN[1], config={'train_cfg.max_iters': 9}), *PLAN[2:]])
    assert later['source'] == before['source'] and later['warmup'] != before['warmup']
    assert len(set(before.values())) == len(before)
    monkeypatch.setattr(stage_store, 'code_digest', lambda: 'other')
    assert not set(keys_of().values()) & set(before.values())


def test_code_label_maps_and_libraries_all_count(monkeypatch, tmp_path):
    digest_of = stage_store.code_digest.__wrapped__  # not the remembered one
    (tmp_path / 'datasets').mkdir()
    for name in ('__init__.py', 'datasets/map.json', 'page.css'):
        (tmp_path / name).write_text('1')
    monkeypatch.setattr(stage_store.udatools, '__file__', str(tmp_path / '__init__.py'))
    seen = [digest_of()]
    for name in ('__init__.py', 'datasets/map.json'):
        (tmp_path / name).write_text('2')
        seen.append(digest_of())
    monkeypatch.setattr(stage_store, 'installed_versions', lambda: {'torch': '0.1'})
    seen.append(digest_of())
    assert len(set(seen)) == 4
    (tmp_path / 'page.css').write_text('2')  # draws a page, trains nothing
    assert digest_of() == seen[-1]


@pytest.fixture
def trained(monkeypatch):
    """Names of the stages that were really trained."""
    names, train = [], StagedRunner._train_stage
    monkeypatch.setattr(StagedRunner, '_train_stage', lambda self, stage: (names.append(stage.name), train(self, stage))[1])
    return names


@pytest.fixture
def run(tiny_data, repo_root, tmp_path):
    """Function: trains CLAN's two stages in a folder; the contents of the run."""

    def run(name, store='store', **changes):
        cfg = shrink(repo_root / 'configs/clan/clan_minidrive.py', data=tiny_data, work_dir=tmp_path / name)
        cfg.stage_store = str(tmp_path / store) if store else None
        cfg.report = False
        cfg.merge_from_dict(changes)
        StagedRunner.from_cfg(cfg).train()
        return run_contents(tmp_path / name)

    return run


def test_the_second_run_takes_over_and_gets_the_same_numbers(run, trained, tmp_path):
    alone = run('alone', store=None)
    first = run('first')
    assert trained == ['preheat', 'clan'] * 2
    second = run('second')
    assert trained == ['preheat', 'clan'] * 2  # nothing more
    assert differences(alone, first) == differences(alone, second) == []
    assert Journal(tmp_path / 'second' / 'journal.json').stage('clan')['taken_over']
    costs = [Journal(tmp_path / name / 'journal.json').stage('preheat')['seconds'] for name in ('first', 'second')]
    assert costs[0] == costs[1] > 0  # what the stage costs, whoever paid


def test_a_later_stage_of_another_kind_starts_from_what_was_taken_over(run, trained):
    run('first')
    trained.clear()
    changed = {'clan.scale': 1.0}
    second = run('second', **changed)
    assert trained == ['clan']
    assert differences(run('alone', store=None, **changed), second) == []


def test_a_damaged_stage_is_trained_and_kept_again(run, trained, tmp_path):
    first = run('first')
    for path in (tmp_path / 'store').glob('*/stage/iter_*.pth'):
        path.write_bytes(path.read_bytes()[:100])
    trained.clear()
    assert differences(first, run('second')) == [] and trained == ['preheat', 'clan']
    trained.clear()
    assert differences(first, run('third')) == [] and trained == []


def test_half_a_copy_is_no_stage(tmp_path):
    store = StageStore(tmp_path)
    (tmp_path / 'key' / 'stage').mkdir(parents=True)
    (tmp_path / 'key' / 'stage' / 'iter_2.pth').write_bytes(b'half')
    assert store.take('key', tmp_path / 'run') is None and not (tmp_path / 'run').exists()


def test_a_run_waits_while_another_one_trains_the_stage(run, trained, tmp_path, monkeypatch):
    expected = run('first')
    trained.clear()
    claims = [StageStore(tmp_path / 'store').claim(path.name) for path in (tmp_path / 'store').iterdir()]
    assert len(claims) == 2 and None not in claims
    waits = []

    def the_other_one_ends(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            for claim in claims:
                claim.__exit__()

    monkeypatch.setattr(staged_runner, 'sleep', the_other_one_ends)
    second = run('second')
    assert len(waits) == 3 and trained == [] and differences(expected, second) == []
