# SPDX-License-Identifier: Apache-2.0
"""Table 7: policies at one proportion of kept pixels, scored on the frames that have ground truth."""
import json

import pytest
import torch
from mmengine.registry import init_default_scope
from shrink import REPO, shrink

from udatools.registry import MODELS


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('analysis/compare_pseudo_labels.py')


@pytest.fixture(scope='module')
def main(tool):
    return tool.main


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
        torch.nn.init.normal_(parameter, std=3.0)
    torch.save(dict(state_dict=model.state_dict()), root / 'model.pth')
    return root


def test_all_methods_at_one_proportion(main, run, capsys):
    arguments = [str(run / 'cfg.py'), str(run / 'model.pth'), '--proportions', '0.3', '0.999', '--out', str(run / 'labels'),
                 '--json', str(run / 'out.json')]
    assert main(arguments) == 1
    printed, error = capsys.readouterr()
    records = json.loads((run / 'out.json').read_text())
    found = {record['method']: record for record in records if record['proportion'] == 0.3}
    assert 'clip_adaptive' in found and {record['protocol'] for record in records} == {'viper15'}
    for method, record in found.items():
        assert record['kept'] == pytest.approx(0.3, abs=0.02) and record['quality']['images'] == 1
        coverage = json.loads((run / 'labels' / f'{method}_0.3' / 'coverage.json').read_text())
        assert coverage['kept_share'] == record['kept'] and coverage['images'] == 6
    assert 'error: clip_adaptive: a share of 0.999 cannot be reached' in error
    assert 'P-mIoU (portion or alpha, kept), protocol viper15' in printed
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.startswith(('0.3 ', '0.999 '))}
    assert '-' in rows['0.999'] and rows['0.3'].count('-') == 4 - len(found)


def test_a_share_that_all_reach_is_no_error(main, run, capsys):
    assert main([str(run / 'cfg.py'), str(run / 'model.pth'), '--proportions', '0.3', '--methods', 'clip_adaptive']) == 0
    assert capsys.readouterr().err == ''


def test_a_share_that_is_jumped_over_is_named(main, run, capsys, monkeypatch):
    monkeypatch.setattr('udatools.pseudo_labels.proportion.match_proportion', lambda *args: (0.5, 0.33))
    assert main([str(run / 'cfg.py'), str(run / 'model.pth'), '--proportions', '0.3', '--methods', 'instance_adaptive']) == 1
    printed, error = capsys.readouterr()
    assert 'instance_adaptive: the share nearest to 0.3 is 0.3300' in error and printed.splitlines()[-1].split() == ['0.3', '-']


def test_a_config_without_pseudo_labels_is_named(main, run, capsys):
    assert main([str(REPO / 'configs' / 'video_da' / 'vat_minidrive_video.py'), str(run / 'model.pth')]) == 1
    assert 'has no stage with a PseudoLabelHook' in capsys.readouterr().err


def test_flow_that_the_config_does_not_name_is_named(main, run, capsys):
    assert main([str(run / 'cfg.py'), str(run / 'model.pth'), '--cfg-options', 'vst.aggregation=None']) == 1
    assert 'leave clip_adaptive_aggregated out of --methods' in capsys.readouterr().err
