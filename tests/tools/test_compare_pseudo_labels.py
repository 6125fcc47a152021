# SPDX-License-Identifier: Apache-2.0
"""Table 7: policies at one proportion of kept pixels, scored on the frames that have ground truth."""
import importlib.util
import json

import pytest
import torch
from mmengine.registry import init_default_scope
from shrink import REPO, shrink

from udatools.registry import MODELS


@pytest.fixture(scope='module')
def main():
    path = REPO / 'tools' / 'analysis' / 'compare_pseudo_labels.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture(scope='module')
def run(tiny_data, tmp_path_factory):
    """Config file of a small VAT and VST whose six target frames form one clip, and random weights for it."""
    init_default_scope('mmseg')
    root = tmp_path_factory.mktemp('compare')
    cfg = shrink(REPO / 'configs' / 'video_da' / 'vat_vst_minidrive_video.py', data=tiny_data, work_dir=root / 'run', items=6)
    cfg.dump(root / 'cfg.py')
    torch.manual_seed(0)
    head = dict(cfg.segmentor.decode_head, num_classes=cfg.num_classes)
    model = MODELS.build(dict(type='UDASegmentor', segmentor=dict(cfg.segmentor, decode_head=head),
                              data_preprocessor=cfg.data_preprocessor))
    for parameter in model.decode_head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save(dict(state_dict=model.state_dict()), root / 'model.pth')
    return root


def test_all_methods_at_one_proportion(main, run, capsys):
    arguments = [str(run / 'cfg.py'), str(run / 'model.pth'), '--proportions', '0.3', '0.999', '--out', str(run / 'labels'),
                 '--json', str(run / 'out.json')]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    records = json.loads((run / 'out.json').read_text())
    found = {record['method']: record for record in records if record['proportion'] == 0.3}
    assert 'class_balanced' in found
    for method, record in found.items():
        assert record['kept'] == pytest.approx(0.3, abs=0.05) and record['quality']['images'] == 1
        coverage = json.loads((run / 'labels' / f'{method}_0.3' / 'coverage.json').read_text())
        assert coverage['kept_share'] == record['kept'] and coverage['images'] == 6
    missing = {'instance_adaptive', 'clip_adaptive', 'clip_adaptive_aggregated'} - found.keys()
    assert all(f'{method}: a share of 0.3 cannot be reached' in printed for method in missing)
    rows = [line.split() for line in printed.splitlines() if line.startswith(('0.3 ', '0.999 '))]
    assert len(rows) == 2 and all(len(row) >= 5 for row in rows)


def test_a_config_without_pseudo_labels_is_named(main, run, capsys):
    assert main([str(REPO / 'configs' / 'video_da' / 'vat_minidrive_video.py'), str(run / 'model.pth')]) == 1
    assert 'has no stage with a PseudoLabelHook' in capsys.readouterr().err


def test_flow_that_the_config_does_not_name_is_named(main, run, capsys):
    assert main([str(run / 'cfg.py'), str(run / 'model.pth'), '--cfg-options', 'vst.aggregation=None']) == 1
    assert 'leave clip_adaptive_aggregated out of --methods' in capsys.readouterr().err
