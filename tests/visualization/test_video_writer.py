# SPDX-License-Identifier: Apache-2.0
"""MP4 files: whole or not there, with all frames, and of the size they should have."""
import errno

import cv2
import numpy as np
import pytest
from tiny_network import drive, read_video

from udatools.utils import atomic
from udatools.visualization import video_writer
from udatools.visualization.video_writer import VideoWriter


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize('size, expected', [((64, 48), (64, 48)), ((33, 21), (34, 22))])
def test_frames_size_and_rate(tmp_path, size, expected):
    images = drive(4, size)
    with VideoWriter(tmp_path / 'new' / 'a.mp4', 12.5) as writer:
        for image in images:
            writer.write(image[..., ::-1])
        assert not (tmp_path / 'new' / 'a.mp4').exists()
    assert names(tmp_path / 'new') == ['a.mp4'] and writer.count == 4
    frames = read_video(tmp_path / 'new' / 'a.mp4')
    assert [frame.shape[1::-1] for frame in frames] == [expected] * 4
    assert cv2.VideoCapture(str(tmp_path / 'new' / 'a.mp4')).get(cv2.CAP_PROP_FPS) == 12.5
    for frame, image in zip(frames, images):  # BGR both: red has not become blue
        assert np.abs(frame[:size[1], :size[0]].astype(int) - image).mean() < 14


def test_red_stays_red(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 10) as writer:
        writer.write(np.full((32, 32, 3), (250, 10, 10), np.uint8))
    assert read_video(tmp_path / 'a.mp4')[0].mean((0, 1)).argmax() == 2  # of BGR


@pytest.mark.parametrize('fps, written', [(29.97, 29.97), (59.9401, 59.9401), (239.6831, 239.68), (66.6667, 66.67),
                                          (700.123, 700.12), (0.3, 0.3)])
def test_rates_that_the_format_lacks_are_rounded(tmp_path, fps, written):
    with VideoWriter(tmp_path / 'a.mp4', fps) as writer:
        for image in drive(3):
            writer.write(image)
    assert writer.fps == written and len(read_video(tmp_path / 'a.mp4')) == 3
    assert cv2.VideoCapture(str(tmp_path / 'a.mp4')).get(cv2.CAP_PROP_FPS) == pytest.approx(written, rel=1e-4)


def test_a_whole_rate_is_the_last_resort(tmp_path, monkeypatch):
    tried = []

    class Whole:
        def __init__(self, path, fourcc, fps, size):
            tried.append(fps)
            self.fits = fps == int(fps)

        def isOpened(self):
            return self.fits

        def release(self):
            pass

    monkeypatch.setattr(cv2, 'VideoWriter', Whole)
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / 'a.mp4', 123.4567) as writer:
        assert (writer.fps, tried) == (123, [123.4567, 123.46, 123])
        raise KeyboardInterrupt


def test_a_rate_that_cannot_be_is_named_before_any_frame(tmp_path):
    with pytest.raises(ValueError, match=r'cannot write .*a\.mp4 .*90000 frames a second.*give a video of a common rate'):
        VideoWriter(tmp_path / 'a.mp4', 90000.0).__enter__()
    assert names(tmp_path) == []


def test_an_error_keeps_what_was_there(tmp_path):
    (tmp_path / 'a.mp4').write_text('precious')
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / 'a.mp4', 10) as writer:
        writer.write(drive(1)[0])
        raise KeyboardInterrupt
    assert names(tmp_path) == ['a.mp4'] and (tmp_path / 'a.mp4').read_text() == 'precious'


def test_what_is_refused(tmp_path, monkeypatch):
    for path, fps in ((tmp_path / 'a.avi', 10), (tmp_path / 'a.mp4', 0), (tmp_path / 'a.mp4', float('nan')),
                      (tmp_path / 'a.mp4', float('inf'))):
        with pytest.raises(ValueError, match='ends with .mp4, and more than 0'):
            VideoWriter(path, fps)
    with pytest.raises(ValueError, match='there is no frame'), VideoWriter(tmp_path / 'a.mp4', 10):
        pass
    with pytest.raises(ValueError, match='frame 1 is 32x48'), VideoWriter(tmp_path / 'a.mp4', 10) as writer:
        writer.write(drive(1)[0])
        writer.write(drive(1, (32, 48))[0])
    (tmp_path / 'file').write_text('x')
    with pytest.raises(OSError, match='cannot write .*a.mp4'), VideoWriter(tmp_path / 'file' / 'a.mp4', 10):
        pass
    monkeypatch.setattr(video_writer, '_FOURCC', 0x21212121)  # a codec that nobody has
    with pytest.raises(ValueError, match='this OpenCV .* cannot write .*a.mp4 .*10 frames a second'):
        VideoWriter(tmp_path / 'a.mp4', 10).__enter__()
    assert names(tmp_path) == ['file']


def test_a_full_disk_is_noticed(tmp_path, monkeypatch):
    """OpenCV's writer is silent; the file that it leaves is short."""

    class Lossy:
        def __init__(self, *args):
            self.writer, self.count = original(*args), 0

        def __getattr__(self, name):
            return getattr(self.writer, name)

        def write(self, frame):
            self.count += 1
            if self.count < 3:
                self.writer.write(frame)

    original = cv2.VideoWriter
    monkeypatch.setattr(cv2, 'VideoWriter', Lossy)
    with pytest.raises(OSError, match='2 of 5 frames are in it; is the disk full'), VideoWriter(tmp_path / 'a.mp4', 10) as writer:
        for image in drive(5):
            writer.write(image)
    assert names(tmp_path) == []


@pytest.mark.parametrize('function', ['fsync', 'replace'])
def test_an_atomic_path_explains_and_cleans_up(tmp_path, monkeypatch, function):
    def fail(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(atomic.os, function, fail)
    with pytest.raises(OSError, match='cannot write .*a.bin: .*the disk is full') as caught:
        with atomic.atomic_path(tmp_path / 'a.bin') as path:
            assert path.suffix == '.bin' and path.name.startswith('.')
            path.write_bytes(b'content')
    assert caught.value.errno == errno.ENOSPC and names(tmp_path) == []
