# SPDX-License-Identifier: Apache-2.0
"""``tools/compute_flow.py``: from a data set class and from a config, again, checked, and refused."""
import json

import cv2
import numpy as np
import pytest

from udatools.datasets.flow_io import flow_path, read_flow, write_flow


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('compute_flow.py').main


@pytest.fixture
def data(tmp_path):
    """Frames 1, 3, 5, 7 of a scene that moves by 3 pixels from one to the next; no labels."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 90, 3), dtype=np.uint8)
    scene = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    (tmp_path / 'data' / 'val').mkdir(parents=True)
    for i in range(4):
        assert cv2.imwrite(str(tmp_path / 'data' / 'val' / f'0016E5_{2 * i + 1:05d}.png'), scene[:, 30 - 3 * i:78 - 3 * i])
    return tmp_path / 'data'


def test_a_data_set_class(main, data, tmp_path, capsys):
    command = ['CamVidDomain', '--root', str(data), '--split', 'val', '--offsets', '-2', '2', '--out', str(tmp_path / 'flow')]
    assert main([*command, '--estimator-options', 'preset=fast', '--precision', '64']) == 0
    out = capsys.readouterr().out
    assert '6 pairs in' in out and '6 computed' in out and 'rounded to 1/64 pixel' in out
    flow, known = read_flow(flow_path(tmp_path / 'flow', '0016E5_00003', 2))
    assert known.all() and abs(np.median(flow[0]) - 3) < 0.3 and abs(np.median(flow[1])) < 0.3
    assert json.loads((tmp_path / 'flow' / 'flow.json').read_text()) == dict(
        schema_version=1, estimator=dict(type='DISFlow', preset='fast'), precision=64)

    assert main([*command, '--estimator-options', 'preset=fast', '--precision', '64']) == 0
    assert '0 computed (0.0 MiB), 6 were there' in capsys.readouterr().out
    assert main(command) == 1
    error = capsys.readouterr().err
    assert 'holds flow that was made otherwise' in error and 'Traceback' not in error


def test_check_and_reference(main, data, tmp_path, capsys):
    command = ['CamVidDomain', '--root', str(data), '--split', 'val', '--offsets', '2', '--out', str(tmp_path / 'flow')]
    exact = np.stack([np.full((32, 48), 3, np.float32), np.zeros((32, 48), np.float32)])
    for number in (1, 3, 5):
        write_flow(flow_path(tmp_path / 'exact', f'0016E5_{number:05d}', 2), exact)
    report = tmp_path / 'report.json'
    assert main([*command, '--reference', str(tmp_path / 'exact'), '--json', str(report)]) == 0
    assert '3 computed' in capsys.readouterr().out
    scores = json.loads(report.read_text())['offsets']['+2']
    assert scores['pairs'] == 3 and scores['end_point_error']['mean'] < 1 < 2.9 < scores['zero_flow']['end_point_error']['mean']
    assert scores['photometric']['mean'] < 0.5 * scores['zero_flow']['photometric']['mean']

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'flow').rglob('*')}
    assert main([*command, '--check', '--sample', '2']) == 0
    assert 'photometric L1' in capsys.readouterr().out
    flow_path(tmp_path / 'flow', '0016E5_00003', 2).unlink()
    assert main([*command, '--check']) == 1
    out = capsys.readouterr().out
    assert '1 pairs without usable flow' in out and '0016E5_00003.png does not exist' in out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'flow').rglob('*.png')}.items() <= before.items()


def test_a_config(main, data, tmp_path, capsys):
    config = tmp_path / 'video.py'
    config.write_text(f"""
target = dict(type='ClipDataset', dataset=dict(type='CamVidDomain', data_root={str(data)!r}, split='val', labelled=False),
              frame_offsets=(0, -2), flow=dict(root={str(tmp_path / 'flow')!r}))
train_dataloader = dict(dataset=dict(type='UDADataset', target=target))
""")
    assert main([str(config)]) == 0
    assert '3 pairs' in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / 'flow' / '-2').iterdir()) == [f'0016E5_{n:05d}.png' for n in (3, 5, 7)]
    assert main([str(config), '--domain', 'source']) == 1
    assert 'no source domain' in capsys.readouterr().err


def test_a_config_that_reads_files_of_another_tool(main, data, tmp_path, capsys):
    config = tmp_path / 'video.py'
    config.write_text(f"""
target = dict(type='ClipDataset', dataset=dict(type='CamVidDomain', data_root={str(data)!r}, split='val', labelled=False),
              frame_offsets=(0, -2), flow=dict(root={str(tmp_path / 'flow')!r}, suffix='.npz'))
train_dataloader = dict(dataset=dict(type='UDADataset', target=target))
""")
    assert main([str(config)]) == 1
    assert 'reads .npz files' in capsys.readouterr().err and not (tmp_path / 'flow').exists()
    assert main([str(config), '--out', str(tmp_path / 'flow')]) == 0  # PNGs, where nothing reads them by this config
    assert main([str(config), '--check']) == 1
    assert '3 pairs without usable flow' in (out := capsys.readouterr().out) and '.npz does not exist' in out


def test_a_config_whose_aggregation_reads_another_folder(main, data, tmp_path, capsys):
    config = tmp_path / 'video.py'
    config.write_text(f"""
images = dict(type='CamVidDomain', data_root={str(data)!r}, split='val', labelled=False)
target = dict(type='ClipDataset', dataset=images, frame_offsets=(0, -2), flow=dict(root={str(tmp_path / 'clips')!r}))
train_dataloader = dict(dataset=dict(type='UDADataset', target=target))
custom_hooks = [dict(type='PseudoLabelHook', dataset=images, aggregation=dict(
    offsets=(-4, 2), flow=dict(type='PrecomputedFlow', root={str(tmp_path / 'aggregation')!r})))]
""")
    report = tmp_path / 'report.json'
    assert main([str(config), '--estimator-options', 'preset=fast']) == 0
    assert '3 pairs in' in (said := capsys.readouterr().out) and '5 pairs in' in said
    assert main([str(config), '--check', '--json', str(report)]) == 0
    written = {path.parent.relative_to(tmp_path).as_posix(): len(list(path.parent.iterdir()))
               for name in ('clips', 'aggregation') for path in (tmp_path / name).rglob('0016E5_*.png')}
    assert written == {'clips/-2': 3, 'aggregation/-4': 2, 'aggregation/+2': 3}
    assert json.loads(report.read_text())['folders'].keys() == {str(tmp_path / 'clips'), str(tmp_path / 'aggregation')}


def test_what_is_refused(main, data, tmp_path, capsys):
    command = ['CamVidDomain', '--root', str(data), '--split', 'val']
    for arguments, message in (
        (['--offsets', '-1', '--out', str(tmp_path / 'flow')], 'frames of a clip are mostly 2 numbers apart'),
        (['--offsets', '-2'], 'give --out'),
        (['--out', str(tmp_path / 'flow')], 'expected one or more frame numbers'),
        (['--offsets', '-2', '--out', str(tmp_path / 'flow'), '--estimator', 'RAFTFlow'], "pass weights='download'"),
    ):
        assert main([*command, *arguments]) == 1
        error = capsys.readouterr().err
        assert message in error and 'Traceback' not in error
    assert main(['nowhere.py']) == 1
    assert 'nowhere.py does not exist' in capsys.readouterr().err
    assert main(['NoSuchDomain', '--root', 'x', '--offsets', '1', '--out', 'y']) == 1
    assert 'neither a config file' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, '--json', 'x.json'])
    assert not (tmp_path / 'flow').exists()
