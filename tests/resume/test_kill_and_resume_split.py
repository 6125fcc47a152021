# SPDX-License-Identifier: Apache-2.0
"""SIGKILL around the file that says which images are easy, then ``--resume``: the split and weights of an uninterrupted run."""
import json
from pathlib import Path

import pytest
from kill_plan import carry_out, console
from run_contents import differences, run_contents
from shrink import REPO, shrink

from udatools.engine.runner.stages import StageConfig

pytestmark = pytest.mark.slow

SPLIT = 'pseudo_labels/round_1/split.json'
KINDS = [('^fsync:pseudo_labels/round_1/labels', 2), ('^fsync:pseudo_labels/round_1/.split.json', 0), (f'^replaced:{SPLIT}', 0),
         ('^replace:pseudo_labels/round_1/done.json', 0), ('^iter:', 1), ('^replaced:stages/01_intra/.*pth', 0), ('^iter:', 0)]


@pytest.fixture(scope='module')
def outcome(minidrive_root, tmp_path_factory):
    root = tmp_path_factory.mktemp('kills_split')
    cfg = shrink(REPO / 'configs/intrada/intrada_minidrive.py', work_dir='unused', iterations=3, items=4,
                 data={'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'})
    StageConfig(cfg.to_dict()).dump(str(root / 'intrada.py'))
    chains = dict(reference=[], killed=[{'match': match, 'skip': skip} for match, skip in KINDS])
    plan = [dict(config=str(root / 'intrada.py'), work_dir=str(root / name), kills=[*kills, None])
            for name, kills in chains.items()]
    return root, carry_out(plan, root)


def test_same_as_uninterrupted(outcome):
    root, records = outcome
    mine = [record for record in records if Path(record['work_dir']).name == 'killed']
    assert [record['status'] for record in mine] == [-9] * len(KINDS) + [0], [console(record)[-500:] for record in mine]
    expected, actual = run_contents(root / 'reference'), run_contents(root / 'killed')
    assert SPLIT in expected and differences(expected, actual) == []
    assert len(json.loads((root / 'killed' / SPLIT).read_text())['easy']) == 3
    assert list((root / 'killed').rglob('*.tmp')) == []
