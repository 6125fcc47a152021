# SPDX-License-Identifier: Apache-2.0
"""Methods whose step does more than one forward a domain train on two gloo ranks: none hangs, nothing overflows.

A second forward inside the step (LSE), a frozen network beside the model (PCEDA), memory that ranks share (SIM) and losses of
whole images (WDA) are where ``DistributedDataParallel`` would go wrong.
"""
import json
import math

import pytest
import torch
from launch_ranks import launch_ranks
from shrink import REPO, shrink

from udatools.engine.runner.stages import StageConfig

pytestmark = [pytest.mark.slow, pytest.mark.distributed]


@pytest.mark.parametrize('name', ['lse/lse', 'pceda/pceda', 'sim/sim', 'wda/wda_points'])
def test_a_run_on_two_ranks(name, minidrive_root, tmp_path):
    cfg = shrink(REPO / f'configs/{name}_minidrive.py', work_dir='unused', iterations=2, items=None,
                 data={'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes'})
    cfg.train_dataloader.batch_size = 1  # of each rank
    cfg.progress = dict(interval=1)
    cfg.report = False
    StageConfig(cfg.to_dict()).dump(str(tmp_path / 'cfg.py'))
    codes, outputs = launch_ranks(tmp_path / 'cfg.py', '--work-dir', tmp_path / 'run')
    assert codes == [0, 0], outputs
    stages = json.loads((tmp_path / 'run/journal.json').read_text())['stages']
    assert stages and all(stage['status'] == 'done' for stage in stages.values())
    logged = [json.loads(line) for path in sorted((tmp_path / 'run/stages').glob('*/vis_data/scalars.json'))
              for line in path.read_text().splitlines()]
    losses = [point['train/loss'] for point in logged if 'train/loss' in point]
    assert len(losses) >= 2 * len(stages) and all(map(math.isfinite, losses))
    state = torch.load(tmp_path / 'run/final/model.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values() if value.is_floating_point())
