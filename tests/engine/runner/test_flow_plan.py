# SPDX-License-Identifier: Apache-2.0
"""What a config reads of videos: every reader of flow is found, and what is missing is said before the first stage."""
import os
import re
import shutil

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from shrink import CONFIGS, config_id
from small_video_run import small_video_config

from udatools.datasets.flow_io import flow_path, missing_files
from udatools.engine.cli import dry_run
from udatools.engine.runner import StagedRunner
from udatools.engine.runner.flow_plan import check_videos, collect_pairs, tasks_of_config
from udatools.engine.runner.stages import expand_stages

AGGREGATING = ('vat_ca_agg', 'vat_vst', 'iat_vst', 'iat_single_dice_vst', 'iat_tube_vst')
VIDEO = [path for path in CONFIGS if path.parent.name == 'video_da']


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def offsets_by_root(tasks):
    """What must lie in each folder, with the way back."""
    found = {}
    for task in tasks:
        found.setdefault(task.root, set()).update(task.offsets, (-offset for offset in task.offsets if task.backward))
    return found


@pytest.mark.parametrize('path', [path for path in VIDEO if path.stem.startswith(AGGREGATING)], ids=config_id)
def test_flow_of_configs_that_aggregate(path):
    cfg = Config.fromfile(path)
    step = 2 if 'carla2camvid' in path.stem else 1
    assert offsets_by_root(tasks_of_config(cfg, 'target')) == {cfg.target_flow.root: {-step, step}}


@pytest.mark.parametrize('path', [path for path in VIDEO if not path.stem.startswith(AGGREGATING)], ids=config_id)
def test_configs_that_read_no_flow(path):
    cfg = Config.fromfile(path)
    if path.stem.startswith(('source_only', 'oracle')):
        with pytest.raises(ValueError, match='the config has no target domain'):
            tasks_of_config(cfg, 'target')
    else:
        assert offsets_by_root(tasks_of_config(cfg, 'target')).keys() == {None}


def test_offsets_of_the_aggregation_are_added(uneven_video_root):
    cfg = small_video_config('video_da/vat_vst', uneven_video_root)
    cfg.vst.aggregation.offsets = [-2, -1, 1, 2]
    folder, = collect_pairs(tasks_of_config(cfg, 'target'))
    assert {pair.offset for pair in folder.pairs} == {-2, -1, 1, 2}
    assert len(folder.pairs) == len({pair[:2] for pair in folder.pairs})
    cfg.vst.aggregation.flow.root = 'elsewhere'
    folders = collect_pairs(tasks_of_config(cfg, 'target'))
    apart = {one.folder.name: {pair.offset for pair in one.pairs} for one in folders}
    assert apart == {'train': {-1, 1}, 'elsewhere': {-2, -1, 1, 2}}
    together, = collect_pairs(tasks_of_config(cfg, 'target'), out='here')
    assert together.folder.name == 'here' and sorted(together.pairs) == sorted(folder.pairs)


def test_the_way_back_of_an_aggregation_that_asks_for_it(uneven_video_root):
    cfg = small_video_config('video_da/vat_ca_agg', uneven_video_root)
    cfg.vst.aggregation.update(offsets=[-1], visibility='forward_backward')
    assert offsets_by_root(tasks_of_config(cfg, 'target')) == {cfg.target_flow.root: {-1, 1}}


def test_a_run_with_forward_backward_consistency(small):
    """In the aggregation and in the refinement; the thresholds of the photometric rule stay in the config unused."""
    cfg = small('video_da/vat_vst_fill_in')
    cfg.vst.aggregation.visibility = cfg.vst.refinement.visibility = 'forward_backward'
    assert StagedRunner(cfg).train()['stages'][-1]['metrics']['mIoU'] > 0


def test_missing_files(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / '1').write_text('')
    paths = [str(tmp_path / name) for name in ('a/2', 'a/1', 'b/1', 'a/1/3')]
    assert missing_files(paths) == [paths[0], paths[2], paths[3]]


@pytest.fixture
def small(uneven_video_root, tmp_path):
    """Function: a config of the name on a copy of the data."""
    shutil.copytree(uneven_video_root, tmp_path / 'data')

    def make(name):
        cfg = small_video_config(name, tmp_path / 'data')
        cfg.work_dir = str(tmp_path / 'run')
        return cfg

    return make


def flow_of_middle_frame(cfg, offset):
    files = sorted((flow_path(cfg.target_flow.root, 'x', offset).parent).glob('*.png'))
    return files[len(files) // 2]


@pytest.mark.parametrize(('name', 'offset'), [('video_da/vat_ca_agg', 1), ('video_da/vat_vst', -1), ('davsn/davsn', -1)])
def test_missing_flow_is_said_before_the_first_stage(small, name, offset, tmp_path, capsys):
    cfg = small(name)
    path = flow_of_middle_frame(cfg, offset)
    path.unlink()
    message = rf'1 of \d+ flow files of the target are missing, the first is {re.escape(str(path))}; compute them with\n  python'
    with pytest.raises(FileNotFoundError, match=message):
        StagedRunner(cfg).train()
    assert not (tmp_path / 'run' / 'journal.json').exists() and not (tmp_path / 'run' / 'stages').exists()
    assert dry_run(cfg) == 1
    error = capsys.readouterr().err
    assert error.count(str(path)) == 1 and 'NOT READY - 1 of ' in error


def test_what_a_dry_run_says_of_clips(small, tmp_path, capsys):
    cfg = small('video_da/vat_vst')
    assert dry_run(cfg) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith('target: '))
    assert '4 of 16 frames (25.0%) are no key frames, they lack a neighbour' in line
    assert '1 gap in clips whose frames are mostly 1 apart: 3 to 5 of 0001' in line
    for i, path in enumerate(sorted((tmp_path / 'data/cityscapes_vps/train/img').iterdir())):
        if i % 2:
            path.unlink()
    assert dry_run(cfg) == 1
    assert capsys.readouterr().err.count('has a neighbour at -1') == 1
    with pytest.raises(ValueError, match='frames of a clip are mostly 2 or 3 numbers apart'):
        StagedRunner(cfg).train()


def test_stages_that_are_done_need_no_flow(small):
    cfg = small('video_da/vat_vst')
    flow_of_middle_frame(cfg, -1).unlink()
    stages = expand_stages(cfg.stages)
    check_videos(cfg, stages[:2])
    with pytest.raises(FileNotFoundError, match='flow files of the target'):
        check_videos(cfg, stages[2:])


def test_flow_in_the_work_dir(small, tmp_path):
    cfg = small('video_da/vat_vst')
    shutil.move(cfg.target_flow.root, tmp_path / 'run' / 'flow')
    cfg.target_flow.root = '{work_dir}/flow'
    check_videos(cfg, expand_stages(cfg.stages))


def test_flow_that_is_estimated_needs_no_files(small):
    cfg = small('video_da/vat_ca_agg')
    shutil.rmtree(cfg.target_flow.root)
    cfg.merge_from_dict({'vst.aggregation.flow._delete_': True, 'vst.aggregation.flow.type': 'DISFlow'})
    assert cfg.vst.aggregation.flow == dict(type='DISFlow')
    check_videos(cfg, expand_stages(cfg.stages))


@pytest.mark.parametrize(('change', 'error', 'message'), [
    ({'vst.aggregation.flow.type': 'DISFlow'}, ValueError,
     r"flow has root, which DISFlow does not take .it takes preset.*flow=dict.*_delete_=True, type='DISFlow'"),
    ({'vst.aggregation.flow.type': 'FlowNet2'}, KeyError, 'FlowNet2 is no flow estimator; expected one of .*PrecomputedFlow'),
    ({'vst.aggregation.flow': None}, ValueError, 'flow is None; expected the config of an estimator'),
])
def test_an_estimator_that_keeps_the_arguments_of_another_is_refused(small, change, error, message, tmp_path, capsys):
    cfg = small('video_da/vat_ca_agg')
    cfg.merge_from_dict(change)
    with pytest.raises(error, match=message):
        StagedRunner(cfg).train()
    assert not (tmp_path / 'run' / 'stages').exists()
    assert dry_run(cfg) == 1 and 'NOT READY - ' in capsys.readouterr().err


def test_no_image_and_no_label_is_opened(small, monkeypatch):
    import cv2

    from udatools.datasets import flow_io
    opened = []
    monkeypatch.setattr(flow_io, 'read_flow', opened.append)
    monkeypatch.setattr(cv2, 'imread', lambda *args: opened.append(args))
    real, stats = os.stat, []
    monkeypatch.setattr(os, 'stat', lambda path, *args, **kwargs: (stats.append(str(path)), real(path, *args, **kwargs))[1])
    cfg = small('video_da/vat_vst')
    check_videos(cfg, expand_stages(cfg.stages))
    assert opened == [] and not [path for path in stats if path.startswith(cfg.target_flow.root) and path.endswith('.png')]
