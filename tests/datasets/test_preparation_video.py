# SPDX-License-Identifier: Apache-2.0
"""Video files into frames: which, under which names, after kills, and of damaged files."""
import json

import cv2
import numpy as np
import pytest

from udatools.datasets import VideoFramesDomain
from udatools.datasets.preparation import video
from udatools.datasets.preparation.video import VideoRecord, VideoSettings, check_video, unpack_video

GREYS = [20 * i + 10 for i in range(12)]


@pytest.fixture
def drive(tmp_path):
    """A video of 12 frames 32x24, frame i of the grey GREYS[i]."""
    path = tmp_path / 'drive.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12.5, (32, 24))
    assert writer.isOpened()
    for grey in GREYS:
        writer.write(np.full((24, 32, 3), grey, np.uint8))
    writer.release()
    return path


def greys(folder):
    """{name: mean} of the frames in a folder."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in ('.png', '.jpg')]
    return {path.name: round(float(cv2.imread(str(path)).mean())) for path in paths}


def near(found, expected):
    assert found.keys() == expected.keys()
    assert all(abs(found[name] - value) <= 3 for name, value in expected.items())


def test_frames_keep_their_numbers(drive, tmp_path):
    record = unpack_video(drive, tmp_path / 'out' / 'drive', VideoSettings())
    assert record == VideoRecord(str(drive), (32, 24), 12.5, declared=12, decoded=12, kept=12)
    near(greys(tmp_path / 'out' / 'drive'), {f'{i:06d}.png': grey for i, grey in enumerate(GREYS)})
    unpack_video(drive, tmp_path / 'few' / 'drive', VideoSettings(every=5, size=(16, 12), form='jpg'))
    near(greys(tmp_path / 'few' / 'drive'), {f'{i:06d}.jpg': GREYS[i] for i in (0, 5, 10)})
    data = VideoFramesDomain(tmp_path / 'few', pipeline=[dict(type='LoadDomainImage')])
    assert [data.clip_of(key) for key in data.keys] == [('drive', 0), ('drive', 5), ('drive', 10)]
    assert data[0]['img'].shape == (12, 16, 3)
    about = json.loads((tmp_path / 'few' / 'drive' / 'video.json').read_text())
    assert about['complete'] and (about['every'], about['fps'], about['resized_to']) == (5, 12.5, [16, 12])
    assert str(tmp_path) not in about['source']


def test_a_killed_run_goes_on(drive, tmp_path, monkeypatch):
    folder = tmp_path / 'out'
    written = []
    original = video.write_bytes_atomic

    def write(path, data):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path.name)
        original(path, data)

    monkeypatch.setattr(video, 'write_bytes_atomic', write)
    with pytest.raises(KeyboardInterrupt):
        unpack_video(drive, folder, VideoSettings(every=2))
    assert len(greys(folder)) == 5 and not (folder / 'video.json').exists()
    monkeypatch.setattr(video, 'write_bytes_atomic', lambda path, data: (written.append(path.name), original(path, data)))
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob('*.png')}
    (folder / '.000010.png.1.ab.tmp').write_bytes(b'half a frame')
    record = unpack_video(drive, folder, VideoSettings(every=2))
    assert record.kept == 6 and written == [f'{i:06d}.png' for i in range(0, 12, 2)]  # the last one only
    assert all((folder / name).stat().st_mtime_ns == time for name, time in before.items())
    assert list(folder.rglob('.*')) == []
    assert unpack_video(drive, folder, VideoSettings(every=2)) == record and len(written) == 6
    (folder / '000004.png').unlink()
    unpack_video(drive, folder, VideoSettings(every=2))  # a frame that is gone is made again
    assert written[6:] == ['000004.png'] and not (folder / 'unpacking.json').exists()


def test_finished_folders_are_not_decoded_again(drive, tmp_path, monkeypatch):
    unpack_video(drive, tmp_path / 'out', VideoSettings())
    monkeypatch.setattr(video, 'read_video', lambda *args: pytest.fail('decoded'))
    assert unpack_video(drive, tmp_path / 'out', VideoSettings()).kept == 12


def test_other_settings_or_images_in_the_folder_are_refused(drive, tmp_path):
    unpack_video(drive, tmp_path / 'out', VideoSettings())
    with pytest.raises(ValueError, match='every is 1 there and 2 now; choose another --out'):
        unpack_video(drive, tmp_path / 'out', VideoSettings(every=2))
    other = tmp_path / 'other'
    other.mkdir()
    cv2.imwrite(str(other / '000000.png'), np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match='holds images, but no video.json'):
        unpack_video(drive, other, VideoSettings())


def test_a_video_that_is_cut_off(tmp_path):
    path = tmp_path / 'drive.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12.5, (64, 48))
    for i in range(12):  # noise, so that frames are most of the file
        writer.write(np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    record = check_video(path, VideoSettings())
    assert 2 < record.decoded < 9 and f'ends after {record.decoded} frames, the file says 12' in record.problems[-1]
    assert unpack_video(path, tmp_path / 'out', VideoSettings()).kept == len(greys(tmp_path / 'out')) == record.decoded
    assert not json.loads((tmp_path / 'out' / 'video.json').read_text())['complete']


def test_a_video_that_is_damaged_in_between(tmp_path):
    """The decoder passes over frames, so numbers after them cannot be trusted: a problem, not a good video with fewer frames."""
    path = tmp_path / 'drive.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12.5, (64, 48))
    for i in range(12):
        writer.write(np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third:2 * third] = bytes(third)
    path.write_bytes(data)
    record = unpack_video(path, tmp_path / 'out', VideoSettings())
    assert 2 < record.decoded < 10 and 'or be damaged in between' in record.problems[-1]
    assert not json.loads((tmp_path / 'out' / 'video.json').read_text())['complete']
    assert unpack_video(path, tmp_path / 'out', VideoSettings()).problems == record.problems  # said again, not forgotten


def test_no_video(tmp_path):
    (tmp_path / 'text.mp4').write_bytes(b'this is no video' * 100)
    (tmp_path / 'empty.mp4').write_bytes(b'')
    for name in ('text.mp4', 'empty.mp4'):
        with pytest.raises(ValueError, match=f'{name} is no video that OpenCV can decode'):
            unpack_video(tmp_path / name, tmp_path / 'out', VideoSettings())
        assert f'{name} is no video' in check_video(tmp_path / name, VideoSettings()).problems[0]
    with pytest.raises(FileNotFoundError, match='gone.mp4 does not exist'):
        unpack_video(tmp_path / 'gone.mp4', tmp_path / 'out', VideoSettings())
    assert not (tmp_path / 'out').exists()  # nothing half-made


@pytest.mark.parametrize('wrong', [dict(every=0), dict(form='gif'), dict(size=(0, 4))])
def test_settings(wrong):
    with pytest.raises(ValueError, match='got'):
        VideoSettings(**wrong)
