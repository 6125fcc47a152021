# SPDX-License-Identifier: Apache-2.0
"""The main job on real images (skipped, saying so, where they are absent): CARLA to CamVid, a few images, a small network."""
import json
import os

import numpy as np
from shrink import REPO, shrink

from udatools.engine.runner import StagedRunner
from udatools.utils.png import read_png


def test_labor_asks_and_learns_on_real_streets(real_data_root, tmp_path):
    data = {'CARLADomain': real_data_root / 'carla', 'CamVidDomain': real_data_root / 'camvid'}
    cfg = shrink(REPO / 'configs' / 'labor' / 'spl_carla2camvid.py', data=data, work_dir=tmp_path, items=4, iterations=3)
    results = StagedRunner(cfg).train()
    last = results['stages'][-1]
    request = json.loads((tmp_path / 'requests' / 'round_3' / 'request.json').read_text())
    assert request['total_pixels'] == 4 * 480 * 360  # native, whatever the training size
    assert 0 < last['labelled']['pixels'] <= 0.025 * request['total_pixels']
    packages = [tmp_path / 'requests' / f'round_{k}' / 'request.json' for k in (1, 2, 3)]
    asked = [json.loads(package.read_text())['budget']['asked'] for package in packages]
    by_round = [record['labelled']['pixels'] for record in results['stages'] if record['round']]
    assert asked[1] > 0 and by_round == [asked[0], asked[0] + asked[1], sum(asked)]
    assert [record['labelled']['pixels'] for record in results['stages'] if not record['round']] == [0, 0]
    answers = sorted((tmp_path / 'labels').glob('*.png'))
    assert answers
    for path in answers:
        truth = read_png(os.fspath(real_data_root / 'camvid' / 'trainannot' / path.name))
        answer = read_png(os.fspath(path))
        given = answer != 255
        assert given.any() and np.array_equal(answer[given], truth[given])  # CamVid's ids 0..10 are its train ids
