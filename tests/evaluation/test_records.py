# SPDX-License-Identifier: Apache-2.0
"""Records of finished runs: found for an unchanged config only."""
import pytest
from shrink import REPO

from udatools.engine.cli import build_config
from udatools.evaluation.records import read_record, run_digest, write_record

CONFIG = str(REPO / 'configs' / 'cbst' / 'cbst_minidrive.py')


def digest(**kwargs):
    return run_digest(build_config(CONFIG, **kwargs))


def test_digest_follows_what_affects_the_numbers():
    base = digest(seed=0)
    assert digest(seed=0) == base
    assert digest(seed=1) != base
    assert digest(seed=0, options={'iters.round': 7}) != base
    assert digest(seed=0, options={'segmentor.backbone.depth': 34}) != base


def test_digest_does_not_follow_where_the_data_lies_or_runs_go(tmp_path, monkeypatch):
    base = digest(seed=0)
    assert digest(seed=0, work_dir=str(tmp_path)) == base
    monkeypatch.setenv('UDATOOLS_MINIDRIVE', str(tmp_path / 'somewhere' / 'minidrive'))
    assert digest(seed=0) == base


def test_digest_does_not_follow_where_flow_lies(tmp_path, monkeypatch):
    config = str(REPO / 'configs' / 'video_da' / 'vat_vst_carla2camvid_video.py')
    monkeypatch.delenv('UDATOOLS_FLOW', raising=False)
    base = run_digest(build_config(config, seed=0))
    monkeypatch.setenv('UDATOOLS_FLOW', str(tmp_path / 'flow'))
    assert run_digest(build_config(config, seed=0)) == base


def test_round_trip_and_staleness(tmp_path):
    path = tmp_path / 'records' / 'cbst_minidrive' / 'seed_0.json'
    assert read_record(path, 'a') is None
    results = {'seed': 0, 'stages': [{'name': 'train', 'metrics': {'mIoU': 1.5}}]}
    write_record(path, results, 'a', 'abc1234')
    assert read_record(path, 'a') == results
    assert read_record(path, 'b') is None


def test_a_broken_record_is_named(tmp_path):
    path = tmp_path / 'seed_0.json'
    path.write_text('{"digest"')
    with pytest.raises(ValueError, match='seed_0.json is no record of a run'):
        read_record(path, 'a')
