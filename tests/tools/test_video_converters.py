# SPDX-License-Identifier: Apache-2.0
"""The scripts for video data sets in tools/dataset_converters as a user calls them."""
import json

import cv2
import numpy as np
import pytest

from udatools.datasets.preparation import ClassStatistics


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


@pytest.fixture
def viper(tmp_path):
    """Two sequences of two frames; the first frame of each has a label: road above car."""
    for sequence in ('001', '002'):
        for frame in (1, 2):
            write(tmp_path / 'viper' / 'train' / 'img' / sequence / f'{sequence}_{frame:05d}.jpg', np.zeros((6, 9, 3), np.uint8))
        label = np.full((6, 9), 3, np.uint8)
        label[4:] = 24
        write(tmp_path / 'viper' / 'train' / 'cls' / sequence / f'{sequence}_00001.png', label)
    (tmp_path / 'viper' / 'train_day.txt').write_text('002\n')
    return tmp_path / 'viper'


def test_viper(script, viper, tree, capsys):
    main, before = script('viper'), tree(viper)
    assert main(viper, '--check', '--nproc', 1) == 1 and '2 good, 2 bad' in capsys.readouterr().out
    assert main(viper, '--check', '--sparse-labels', '--nproc', 1) == 0 and tree(viper) == before
    assert main(viper, '--sparse-labels', '--nproc', 1) == 0
    folder = viper / 'udatools' / 'train_viper15'
    pixels = ClassStatistics.load(folder / 'class_statistics.json').pixels
    assert (pixels[0], pixels[11], pixels.sum()) == (72, 36, 108)
    assert main(viper, '--sparse-labels', '--ego-vehicle', 'ignore', '--conditions', 'day', '--nproc', 1) == 0
    statistics = ClassStatistics.load(folder / 'class_statistics.json')  # the same folder, not its old records
    assert (statistics.pixels.sum(), statistics.ignored) == (36, 18)
    assert main(viper, '--conditions', 'night', '--check') == 1 and 'train_night.txt' in capsys.readouterr().err


def test_cityscapes_vps(script, tmp_path, capsys):
    main, root = script('cityscapes_vps'), tmp_path / 'cityscapes_vps'
    image = np.zeros((6, 9, 3), np.uint8)
    for number, frame in enumerate(range(4, 30, 5)):
        write(root / 'train' / 'img' / f'0001_{number + 1:04d}_ulm_000000_{frame:06d}_newImg8bit.png', image)
        write(root / 'train' / 'labelmap' / f'0001_{number + 1:04d}_ulm_000000_{frame:06d}_final_mask.png', image[..., 0])
    for frame in range(30):
        write(tmp_path / 'val' / 'ulm' / f'ulm_000000_{frame:06d}_leftImg8bit.png', image)
    assert main(root, '--sequences', tmp_path / 'val', '--check') == 1 and 'without --check first' in capsys.readouterr().err
    assert main(root, '--sequences', tmp_path / 'val', '--nproc', 1) == 0
    said = capsys.readouterr().out
    assert '30 frames linked' in said and '30 pairs, 30 good, 0 bad' in said
    statistics = ClassStatistics.load(root / 'udatools' / 'train_viper15' / 'class_statistics.json')
    assert statistics.pixels.tolist() == [6 * 54, *[0] * 14]
    assert main(root, '--image-dir', 'img', '--label-source', 'cls', '--check') == 1
    assert 'cls does not exist' in capsys.readouterr().err


def test_cityscapes_vps_with_a_lost_frame(script, tmp_path, capsys):
    main, root = script('cityscapes_vps'), tmp_path / 'cityscapes_vps'
    image = np.zeros((6, 9, 3), np.uint8)
    for frame in range(4, 30, 5):
        write(root / 'val' / 'img' / f'0001_0001_ulm_000000_{frame:06d}_newImg8bit.png', image)
        write(root / 'val' / 'labelmap' / f'0001_0001_ulm_000000_{frame:06d}_final_mask.png', image[..., 0])
    assert main(root, '--split', 'val', '--check', '--nproc', 1) == 0
    assert 'gap' not in capsys.readouterr().out
    (root / 'val' / 'img' / '0001_0001_ulm_000000_000014_newImg8bit.png').unlink()
    assert main(root, '--split', 'val', '--check', '--nproc', 1) == 1
    said = capsys.readouterr().out
    assert '1 labels have no image: ' in said and '000014_final_mask.png' in said
    assert '1 gap in clips whose frames are mostly 5 apart: 9 to 19 of 0001' in said
    (root / 'val' / 'labelmap' / '0001_0001_ulm_000000_000014_final_mask.png').unlink()
    assert main(root, '--split', 'val', '--check', '--nproc', 1) == 0  # a gap alone may be meant
    assert '9 to 19 of 0001' in capsys.readouterr().out


def test_synthia_seq(script, tmp_path):
    root, rig = tmp_path / 'synthia_seq', 'Stereo_Left/Omni_F'
    ids = np.zeros((6, 9, 3), np.uint16)
    ids[..., 2] = 11
    write(root / 'SYNTHIA-SEQS-04-DAWN' / 'RGB' / rig / '000000.png', np.zeros((6, 9, 3), np.uint8))
    write(root / 'SYNTHIA-SEQS-04-DAWN' / 'GT' / 'LABELS' / rig / '000000.png', ids)
    assert script('synthia_seq')(root, '--nproc', 1) == 0
    statistics = ClassStatistics.load(root / 'udatools' / 'train_synthiaseq12' / 'class_statistics.json')
    assert statistics.pixels.tolist() == [0] * 10 + [54, 0]
    assert script('synthia_seq')(root, '--cameras', 'Stereo_Left/Omni_B', '--check') == 1


@pytest.fixture
def drive(tmp_path):
    """Function: writes a video of n frames."""

    def make(name, n):
        writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
        for i in range(n):
            writer.write(np.full((24, 32, 3), 10 * i, np.uint8))
        writer.release()
        return tmp_path / name

    return make


def test_video(script, drive, tmp_path, capsys):
    main, first, second = script('video'), drive('first.avi', 6), drive('second.avi', 4)
    assert main(first, '--check') == 0 and '32x24, 10 frames a second, 6 frames, 6 kept' in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ['first.avi', 'second.avi']
    assert main(first, second, '--every', 2, '--out', tmp_path / 'out', '--nproc', 2) == 0
    assert sorted(path.relative_to(tmp_path / 'out').as_posix() for path in (tmp_path / 'out').rglob('*.png')) == [
        'first/000000.png', 'first/000002.png', 'first/000004.png', 'second/000000.png', 'second/000002.png']
    assert json.loads((tmp_path / 'out' / 'second' / 'video.json').read_text())['complete']
    capsys.readouterr()
    second.write_bytes(second.read_bytes()[:300])
    (tmp_path / 'third.mp4').write_bytes(b'nothing')
    assert main(first, second, tmp_path / 'third.mp4', '--every', 2, '--out', tmp_path / 'new', '--nproc', 1) == 1
    said = capsys.readouterr().out
    assert said.count('  bad: ') == 2 and 'third.mp4 is no video' in said
    assert [path.name for path in (tmp_path / 'new' / 'first').glob('*.png')]  # the good one is there
    for wrong in ((first, ), (first, first, '--check'), (first, second, '--check', '--cuts', 2),
                  (first, '--check', '--cuts', 4, 2), (first, '--check', '--every', 0), (first, '--check', '--nproc', 0)):
        with pytest.raises(SystemExit):
            main(*wrong)


def test_every_shot_of_a_video_with_cuts_is_a_clip(script, drive, tmp_path, capsys):
    from udatools.datasets import VideoFramesDomain
    main, video, out = script('video'), drive('drive.avi', 8), tmp_path / 'out'
    cuts = ('--every', 2, '--cuts', 3, 6)  # frame 3 is left out, frame 6 is kept
    assert main(video, '--out', out, *cuts) == 0
    shots = {'shot_000000': [0, 2], 'shot_000003': [4], 'shot_000006': [6]}
    domain = VideoFramesDomain(out, pipeline=[])
    assert [domain.clip_of(key) for key in domain.keys] == [
        (f'drive/{shot}', number) for shot, numbers in shots.items() for number in numbers]
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*.png')}
    next(iter(before)).unlink()
    assert main(video, '--out', out, *cuts) == 0  # goes on: only what is missing is written
    assert sum(path.stat().st_mtime_ns != before[path] for path in before) == 1
    capsys.readouterr()
    for other in (['--cuts', 3], []):
        assert main(video, '--out', out, '--every', 2, *other) == 1
        assert 'cuts is [3, 6] there' in capsys.readouterr().out
