# SPDX-License-Identifier: Apache-2.0
"""Target ground truth has one door, over whole runs: nobody opens it but the oracle, and only where pixels were asked."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from shrink import REPO, shrink

from udatools.engine.runner.stages import StageConfig

pytestmark = pytest.mark.slow


def spy_on(name, minidrive_root, folder, change=lambda cfg: None):
    """Paths opened by a whole run, relative to the Cityscapes root, each with the key that the oracle was after."""
    cfg = shrink(REPO / f'configs/{name}.py', work_dir='unused', iterations=2, items=None,
                 data={'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'})
    change(cfg)
    StageConfig(cfg.to_dict()).dump(str(folder / 'cfg.py'))
    subprocess.run([sys.executable, str(REPO / 'tests/helpers/open_spy.py'), str(folder / 'cfg.py'), str(folder / 'run'),
                    str(folder / 'opened.json')], check=True, timeout=200, stdout=subprocess.DEVNULL)
    root = os.path.realpath(minidrive_root / 'cityscapes')
    rows = [(os.path.realpath(path), key) for path, key in json.loads((folder / 'opened.json').read_text())]
    return [(os.path.relpath(path, root), key) for path, key in rows if path.startswith(root + os.sep)]


def below(opened, folder):
    return [(path, key) for path, key in opened if path == folder or path.startswith(folder + '/')]


def requests_of(run):
    """Asked pixels by key, summed over rounds, and by round."""
    rounds = []
    for path in sorted((run / 'requests').glob('round_*/items.jsonl')):
        rounds.append({item['key']: item['asked'] for item in map(json.loads, path.read_text().splitlines())})
    return rounds


def test_only_the_oracle_and_only_what_was_asked(minidrive_root, tmp_path):

    def narrow(cfg):
        cfg.stages[-1].repeat = cfg.labor.rounds = 2
        cfg.labor.budget = dict(unit='pixels', amount=4)  # of four images: some are not asked about in a round

    opened = spy_on('labor/spl_minidrive', minidrive_root, tmp_path, narrow)
    assert len(below(opened, 'leftImg8bit/train')) > 4  # the spy sees the images of the target
    assert below(opened, 'gtFine/val')  # and evaluation, which is no training
    truth = below(opened, 'gtFine/train')
    assert truth and all(key is not None for _, key in truth)
    for path, key in truth:
        assert Path(path).name.removesuffix('_gtFine_labelIds.png').removesuffix('_gtFine_labelTrainIds.png') \
            == Path(key).name.removesuffix('_leftImg8bit')
    rounds = requests_of(tmp_path / 'run')
    asked = [{key for key, count in items.items() if count} for items in rounds]
    assert len(asked) == 2 and all(0 < len(keys) < 4 for keys in asked)
    # A file is opened once a round in which pixels of its image were asked, and never otherwise.
    assert sorted(key for _, key in truth) == sorted(key for keys in asked for key in keys)


def test_unsupervised_adaptation_opens_none(minidrive_root, tmp_path):
    opened = spy_on('adaptsegnet/adaptsegnet_minidrive', minidrive_root, tmp_path)
    assert len(below(opened, 'leftImg8bit/train')) >= 4
    assert below(opened, 'gtFine/train') == []


def test_the_spy_sees_a_supervised_run(minidrive_root, tmp_path):
    opened = spy_on('supervised/supervised_minidrive', minidrive_root, tmp_path)
    assert len(below(opened, 'gtFine/train')) >= 4
