# SPDX-License-Identifier: Apache-2.0
"""Inputs of ``tools/infer.py``: which frames, in which order, one at a time, and what is refused."""
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_network import drive, write_images, write_video

from udatools.engine import frames as frames_module
from udatools.engine.frames import ImageInput, VideoInput, open_input


def names(*paths):
    return list(open_input(list(paths)).names)


def test_folders_patterns_and_files_in_the_order_of_their_numbers(tmp_path):
    images = drive(3)
    write_images(tmp_path / 'a', images, 'frame_{:d}.png')
    write_images(tmp_path / 'a' / 'night', images[:1], '10.png')
    write_images(tmp_path / 'a', images[1:2], '10.jpg')
    (tmp_path / 'a' / 'frame_2.png').rename(tmp_path / 'a' / 'frame_10.png')
    (tmp_path / 'a' / 'notes.txt').write_text('x')
    assert names(tmp_path / 'a') == ['10', 'frame_0', 'frame_1', 'frame_10', 'night/10']
    assert names(f'{tmp_path}/a/*.png') == ['frame_0', 'frame_1', 'frame_10']
    assert names(f'{tmp_path}/**/*.png') == ['frame_0', 'frame_1', 'frame_10', 'night/10']
    assert names(tmp_path / 'a' / 'night' / '10.png') == ['10']
    assert names(tmp_path / 'a' / 'frame_1.png', tmp_path / 'a' / 'night' / '10.png') == ['frame_1', 'night/10']
    frames = open_input([tmp_path / 'a'])
    assert frames.fps is None and len(frames) == 5 and frames.path == (tmp_path / 'a').resolve()
    read = {frame.name: frame.image for frame in frames.read()}
    assert list(read) == list(frames.names) and np.array_equal(read['frame_10'], images[2])
    assert frames.modified('frame_1') == (tmp_path / 'a' / 'frame_1.png').stat().st_mtime_ns


def test_a_pattern_takes_no_output_of_the_run_before(tmp_path):
    images = drive(2)
    write_images(tmp_path, images)
    out = tmp_path / 'looked'
    for _ in range(2):
        assert list(open_input([f'{tmp_path}/**/*.png'], out=out).names) == ['0', '1']
        write_images(out / 'overlay', images)
    assert len(open_input([f'{tmp_path}/**/*.png'])) == 4  # of somebody else's


def test_a_pattern_may_fit_one_video(tmp_path):
    video = write_video(tmp_path / 'drive.avi', drive(2))
    assert open_input([f'{tmp_path}/dr*.avi']).path == video.resolve()
    write_video(tmp_path / 'drive_2.avi', drive(2))
    with pytest.raises(ValueError, match=r'fits 2 videos, such as .*drive\.avi and .*drive_2\.avi; a video is'):
        open_input([f'{tmp_path}/*'])
    write_images(tmp_path, drive(1))
    assert names(f'{tmp_path}/*') == ['0']  # images, where there are some
    name = write_video(tmp_path / 'drive [3].avi', drive(3))
    assert open_input([name]).path == name.resolve()  # no pattern


def test_a_bracket_in_the_name_of_a_file_is_no_pattern(tmp_path):
    write_images(tmp_path, drive(1), 'street [1].png')
    assert names(tmp_path / 'street [1].png') == ['street [1]']


def test_frames_of_a_video(tmp_path):
    images = drive(12)
    frames = open_input([write_video(tmp_path / 'drive.avi', images)])
    assert isinstance(frames, VideoInput) and frames.fps == 12.5 and len(frames) == 12 and frames.problems == []
    assert list(frames.names)[:2] == ['000000', '000001'] and frames.names[11] == '000011'
    for _ in range(2):  # each pass reads anew
        read = list(frames.read())
        assert [frame.name for frame in read] == list(frames.names)
        assert max(np.abs(frame.image.astype(int) - image).mean() for frame, image in zip(read, images)) < 12
    some = list(frames.read(lambda name: name in ('000003', '000007')))
    assert [frame.name for frame in some] == ['000003', '000007']
    assert np.abs(some[1].image.astype(int) - images[7]).mean() < 12 < np.abs(some[1].image.astype(int) - images[2]).mean()


def test_counting_the_frames_of_a_video_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(frames_module.Progress, 'update', lambda self, done: said.append((self.title, self.total, done)))
    open_input([write_video(tmp_path / 'drive.avi', drive(4))])
    assert said == [('count', None, done) for done in (1, 2, 3, 4)]


@pytest.mark.parametrize('kind', ['images', 'video'])
def test_one_frame_is_held(tmp_path, kind):
    path = write_images(tmp_path / 'a', drive(8)) if kind == 'images' else write_video(tmp_path / 'a.avi', drive(8))
    alive, most = set(), 0
    for number, frame in enumerate(open_input([path]).read()):
        alive.add(number)
        weakref.finalize(frame.image, alive.discard, number)
        most = max(most, len(alive))
    assert number == 7 and most <= 2  # the next one is there before the name is bound to it


def test_unwanted_images_are_not_read(tmp_path):
    folder = write_images(tmp_path / 'a', drive(3))
    (folder / '1.png').write_bytes(b'damaged')
    asked = []
    frames = open_input([folder])
    assert [frame.name for frame in frames.read(lambda name: asked.append(name) or name != '1')] == ['0', '2']
    assert asked == ['0', '1', '2']
    with pytest.raises(ValueError, match=r'1\.png is not an image'):
        list(frames.read())


def test_what_is_refused(tmp_path):
    folder = write_images(tmp_path / 'a', drive(2))
    cv2.imwrite(str(folder / '1.jpg'), drive(1)[0])
    write_images(tmp_path / 'b', drive(1))
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'notes.txt').write_text('x')
    video = write_video(tmp_path / 'drive.avi', drive(2))
    for paths, kind, message in (
        ([tmp_path / 'nowhere.png'], FileNotFoundError, 'nowhere.png does not exist'),
        ([tmp_path / 'nowhere.mp4'], FileNotFoundError, 'nowhere.mp4 does not exist'),
        ([tmp_path / 'nowhere'], FileNotFoundError, 'nowhere does not exist'),
        ([f'{tmp_path}/x*.png'], FileNotFoundError, 'fits no image'),
        ([tmp_path / 'notes.txt'], ValueError, r'notes.txt is not one of \.png'),
        ([tmp_path / 'b' / '0.png', video], ValueError, 'give one video, or images only'),
        ([tmp_path / 'empty'], ValueError, 'found no image'),
        ([folder], ValueError, "share the key '1'"),
        ([f'{folder}/*'], ValueError, "share the name '1'"),
    ):
        with pytest.raises(kind, match=message):
            open_input(paths)


def test_damaged_videos(tmp_path):
    whole = write_video(tmp_path / 'drive.avi', drive(12))
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(ValueError, match='text.mp4 is no video that OpenCV can decode'):
        open_input([tmp_path / 'text.mp4'])
    cut = tmp_path / 'cut.avi'
    cut.write_bytes(whole.read_bytes()[:whole.stat().st_size // 2])
    frames = open_input([cut])
    assert 0 < len(frames) < 12 and len(list(frames.read())) == len(frames)
    assert len(frames.problems) == 1 and 'cut.avi: it ends after' in frames.problems[0]


def test_a_frame_that_cannot_be_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / 'drive.avi', drive(4))
    frames, original = open_input([path]), cv2.VideoCapture

    class Damaged:
        """Fails at frame 2."""

        def __init__(self, name):
            self.capture, self.number = original(name), -1

        def __getattr__(self, name):
            return getattr(self.capture, name)

        def grab(self):
            self.number += 1
            return self.capture.grab()

        def retrieve(self):
            return (False, None) if self.number == 2 else self.capture.retrieve()

    monkeypatch.setattr(cv2, 'VideoCapture', Damaged)
    read = frames.read()
    assert [next(read).name, next(read).name] == ['000000', '000001']
    with pytest.raises(ValueError, match='frame 2 of .*drive.avi cannot be decoded'):
        next(read)


def test_numbers_sort_as_numbers():
    files = {name: Path(f'{name}.png') for name in ('b2', 'a10', 'a9', 'a09', '7')}
    assert ImageInput(Path('.'), files).names == ['7', 'a09', 'a9', 'a10', 'b2']
