# SPDX-License-Identifier: Apache-2.0
"""Predictions as files: what they hold, what is done again, and what a failure leaves."""
import json
import os
import time
import tracemalloc
import weakref

import cv2
import numpy as np
import pytest
from mmengine.config import ConfigDict
from tiny_network import PALETTE, drive, read_video, write_images, write_network, write_video

from udatools.engine import prediction_writer
from udatools.engine.frame_predictor import load_frame_predictor
from udatools.engine.frames import Frame, FrameInput, ImageInput, open_input
from udatools.engine.prediction_writer import KINDS, write_predictions
from udatools.engine.runner.journal import WorkDirInUseError, WorkDirLock
from udatools.ops.histograms import WinningPrediction
from udatools.visualization import panels


@pytest.fixture(scope='module')
def predictor(tmp_path_factory):
    return load_frame_predictor(write_network(tmp_path_factory.mktemp('final')), device='cpu')


class Failing:
    """A network that stops at its n-th batch."""

    def __init__(self, predictor, last):
        self.predictor, self.left = predictor, last
        self.classes, self.palette = predictor.classes, predictor.palette
        self.fingerprint, self.reading_digest = predictor.fingerprint, predictor.reading_digest

    def predict(self, images):
        if not self.left:
            raise RuntimeError('out of memory')
        self.left -= 1
        return self.predictor.predict(images)


def read(path):
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image[..., ::-1] if image.ndim == 3 else image


def files(folder):
    """Without the lock."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file() and path.name != 'lock')


def test_what_the_files_hold(predictor, tmp_path):
    images = [*drive(2), *drive(1, size=(33, 21))]  # of two sizes, one odd
    folder = write_images(tmp_path / 'in', images)
    out = tmp_path / 'out'
    assert write_predictions(predictor, open_input([folder]), out, save=KINDS, batch_size=3) == (3, 0)
    assert files(out) == sorted(['panoptic.json', 'predictions.json', *(f'{kind}/{i}.png' for kind in KINDS for i in range(3))])
    for number, image in enumerate(images):
        label, confidence = predictor.predict([image])[0]
        found = {kind: read(out / kind / f'{number}.png') for kind in KINDS}
        assert found['ids'].dtype == np.uint8 and found['ids'].shape == image.shape[:2]
        assert (found['ids'] == label).mean() > 0.999  # predicted in a batch of two
        label = found['ids']
        assert np.abs(found['confidence'] - 255 * confidence.astype(float)).max() <= 1
        assert np.array_equal(found['colour'], np.array(PALETTE)[label])
        assert np.array_equal(found['panoptic'], np.stack([label + 1, 0 * label, 0 * label], -1))
        assert np.array_equal(found['overlay'], panels.overlay(image[..., ::-1], label, PALETTE))


def test_what_is_there_stays_and_what_is_not_is_made(predictor, tmp_path):
    folder, out = write_images(tmp_path / 'in', drive(4)), tmp_path / 'out'
    assert write_predictions(predictor, open_input([folder]), out, save=['ids']) == (4, 0)
    (out / 'ids' / '2.png').unlink()
    (folder / '0.png').rename(tmp_path / 'gone.png')  # frames that are done are not read, but this one is no input any more
    assert write_predictions(predictor, open_input([folder]), out, save=['ids']) == (1, 2)
    assert write_predictions(predictor, open_input([folder]), out, save=['ids', 'colour']) == (3, 0)
    write_images(folder, drive(2, seed=5)[1:], '1.png')
    later = (out / 'ids' / '1.png').stat().st_mtime_ns + 10**9
    os.utime(folder / '1.png', ns=(later, later))
    assert write_predictions(predictor, open_input([folder]), out, save=['ids']) == (1, 2)
    expected = predictor.predict(drive(2, seed=5)[1:])[0].label
    assert np.array_equal(read(out / 'ids' / '1.png'), expected)


def test_the_panoptic_json_is_about_the_files_that_are_there(predictor, tmp_path):
    folder, out, path = write_images(tmp_path / 'in', drive(4)), tmp_path / 'out', tmp_path / 'out' / 'panoptic.json'
    with pytest.raises(RuntimeError, match='out of memory'):
        write_predictions(Failing(predictor, 2), open_input([folder]), out, save=['panoptic'])
    assert not path.exists() and (out / 'panoptic' / '0.png').exists()
    assert write_predictions(predictor, open_input([folder]), out, save=['panoptic']).reused > 0
    whole, written = path.read_bytes(), path.stat().st_mtime_ns
    assert [image['id'] for image in json.loads(whole)['images']] == ['0', '1', '2', '3']
    write_predictions(predictor, open_input([folder]), out, save=['panoptic'])
    assert path.stat().st_mtime_ns == written  # nothing to do
    write_predictions(predictor, open_input([folder]), tmp_path / 'at_once', save=['panoptic'])
    assert (tmp_path / 'at_once' / 'panoptic.json').read_bytes() == whole
    (folder / '0.png').unlink()
    write_predictions(predictor, open_input([folder]), out, save=['panoptic'])
    assert [image['id'] for image in json.loads(path.read_text())['images']] == ['1', '2', '3']
    os.utime(path, ns=(0, 0))  # as if a killed run had renewed a picture
    write_predictions(predictor, open_input([folder]), out, save=['panoptic'])
    assert path.stat().st_mtime_ns > written


def test_a_folder_is_of_one_network_and_one_input(predictor, tmp_path):
    folder, out = write_images(tmp_path / 'in', drive(2)), tmp_path / 'out'
    other = load_frame_predictor(write_network(tmp_path / 'other', seed=3), device='cpu')
    write_predictions(predictor, open_input([folder]), out, save=['ids'])
    first = (out / 'ids' / '1.png').read_bytes()
    with pytest.raises(ValueError, match='holds predictions that were made otherwise .weights'):
        write_predictions(other, open_input([folder]), out, save=['ids'])
    with pytest.raises(ValueError, match='holds predictions that were made otherwise .input'):
        write_predictions(predictor, open_input([write_images(tmp_path / 'in2', drive(2))]), out, save=['ids'])
    smaller = load_frame_predictor(write_network(tmp_path / 'smaller', resize=(32, 24)), device='cpu')
    assert smaller.fingerprint() == predictor.fingerprint()
    windows, normalised, grey = (load_frame_predictor(write_network(tmp_path / name), device='cpu') for name in 'abc')
    windows.model.test_cfg = ConfigDict(mode='slide', crop_size=(16, 16), stride=(8, 8))
    normalised.model.data_preprocessor.mean += 1
    grey.palette = [(i, i, i) for i in range(len(grey.palette))]
    for change, setting in ((smaller, 'reading'), (windows, 'reading'), (normalised, 'reading'), (grey, 'palette')):
        with pytest.raises(ValueError, match=f'holds predictions that were made otherwise .{setting}'):
            write_predictions(change, open_input([folder]), out, save=['ids'])
    assert (out / 'ids' / '1.png').read_bytes() == first
    # A killed overwrite: what it has not reached is done by the next run.
    with pytest.raises(RuntimeError, match='out of memory'):
        write_predictions(Failing(other, 1), open_input([folder]), out, save=['ids'], overwrite=True)
    assert write_predictions(other, open_input([folder]), out, save=['ids']) == (1, 1)
    for number, image in enumerate(drive(2)):
        assert np.array_equal(read(out / 'ids' / f'{number}.png'), other.predict([image])[0].label)


def test_overwriting_leaves_nothing_of_the_run_before_and_all_of_the_users(predictor, tmp_path):
    first = write_images(tmp_path / 'first', drive(4))
    write_images(first / 'night', drive(1))
    other, out = write_images(tmp_path / 'other', drive(2)), tmp_path / 'out'
    for name in ('notes.txt', 'ids/notes.txt', 'mine/0.png', 'mine.png'):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text('mine')
    write_predictions(predictor, open_input([first]), out, save=KINDS)
    (out / 'overlay.mp4').write_text('of a video')
    write_predictions(predictor, open_input([other]), out, save=['confidence'], overwrite=True)
    assert files(out) == ['confidence/0.png', 'confidence/1.png', 'ids/notes.txt', 'mine.png', 'mine/0.png', 'notes.txt',
                          'predictions.json']
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ['confidence', 'ids', 'mine']
    assert not (out / 'confidence' / 'night').exists() and (out / 'ids/notes.txt').read_text() == 'mine'


def test_overwriting_removes_nothing_of_a_folder_that_no_run_wrote_to(predictor, tmp_path):
    out, mine = tmp_path / 'out', drive(1)
    write_images(out / 'ids', mine, 'mine.png')
    (out / 'overlay.mp4').write_text('mine')
    write_predictions(predictor, open_input([write_images(tmp_path / 'in', drive(2))]), out, save=['ids'], overwrite=True)
    assert files(out) == ['ids/0.png', 'ids/1.png', 'ids/mine.png', 'overlay.mp4', 'predictions.json']
    assert np.array_equal(cv2.imread(str(out / 'ids' / 'mine.png')), mine[0]) and (out / 'overlay.mp4').read_text() == 'mine'


def test_two_runs_do_not_share_a_folder(predictor, tmp_path):
    frames, out = open_input([write_images(tmp_path / 'in', drive(2))]), tmp_path / 'out'
    write_predictions(predictor, frames, out, save=['ids'])
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*.png')}
    with WorkDirLock(out), pytest.raises(WorkDirInUseError, match=f'{out} is in use by another run .process {os.getpid()}'):
        write_predictions(predictor, frames, out, save=['ids'], overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*.png')} == before and len(before) == 2


def test_what_a_killed_run_left_half_written_is_removed(predictor, tmp_path):
    out = tmp_path / 'out'
    left = ['.overlay.7.abcd.tmp.mp4', '.panoptic.json.7.abcd.tmp', 'ids/.0.png.7.abcd.tmp', 'ids/night/.0.png.7.abcd.tmp']
    kept = ['.mine.tmp.mp4', 'mine/.0.png.7.abcd.tmp']
    for name in left + kept:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text('half')
    write_predictions(predictor, open_input([write_images(tmp_path / 'in', drive(1))]), out, save=['ids'])
    assert files(out) == sorted([*kept, 'ids/0.png', 'predictions.json'])


def test_progress_counts_what_was_there(predictor, tmp_path, monkeypatch):
    said = []

    class Watched(prediction_writer.Progress):
        def update(self, done, note=''):
            said.append((done, self.total, self.first))

    monkeypatch.setattr(prediction_writer, 'Progress', Watched)
    folder, out = write_images(tmp_path / 'in', drive(5)), tmp_path / 'out'
    with pytest.raises(RuntimeError, match='out of memory'):
        write_predictions(Failing(predictor, 3), open_input([folder]), out, save=['ids'])
    there = len(list((out / 'ids').iterdir()))
    assert said == [(1, 5, 0), (2, 5, 0), (3, 5, 0)] and there in (2, 3)
    said.clear()
    write_predictions(predictor, open_input([folder]), out, save=['ids'])
    assert said == [(done, 5, there) for done in range(there + 1, 6)]


def test_the_overlay_of_a_video_is_a_video(predictor, tmp_path):
    video, out = write_video(tmp_path / 'drive.avi', drive(5)), tmp_path / 'out'
    frames = open_input([video])
    assert write_predictions(predictor, frames, out, save=['overlay', 'ids'], batch_size=3) == (5, 0)
    assert files(out) == sorted(['overlay.mp4', 'predictions.json', *(f'ids/{i:06d}.png' for i in range(5))])
    shown = read_video(out / 'overlay.mp4')
    assert len(shown) == 5 and shown[0].shape == (48, 64, 3)
    assert cv2.VideoCapture(str(out / 'overlay.mp4')).get(cv2.CAP_PROP_FPS) == 12.5
    for frame, image in zip(frames.read(), shown):
        expected = panels.overlay(frame.image[..., ::-1], read(out / 'ids' / f'{frame.name}.png'), PALETTE)[..., ::-1]
        assert np.abs(image.astype(int) - expected).mean() < 12  # lossy
    assert write_predictions(predictor, frames, out, save=['overlay', 'ids']) == (0, 5)
    (out / 'overlay.mp4').unlink()
    assert write_predictions(predictor, frames, out) == (5, 0)


@pytest.mark.parametrize('kind', ['images', 'video'])
def test_a_failure_leaves_whole_files_only(predictor, tmp_path, kind):
    path = write_images(tmp_path / 'in', drive(6)) if kind == 'images' else write_video(tmp_path / 'in.avi', drive(6))
    out = tmp_path / 'out'
    with pytest.raises(RuntimeError, match='out of memory'):
        write_predictions(Failing(predictor, 3), open_input([path]), out, save=['overlay', 'ids'])
    assert not (out / 'overlay.mp4').exists()
    assert not [name for name in files(out) if '.tmp' in name]
    written = list(out.rglob('*.png'))
    assert len(written) >= 2 and all(read(path) is not None for path in written)
    done = write_predictions(predictor, open_input([path]), out, save=['overlay', 'ids'])
    assert sum(done) == 6 and (done.reused > 0) is (kind == 'images')
    assert sum(name.startswith('ids/') for name in files(out)) == 6


def test_a_damaged_image_is_named(predictor, tmp_path):
    folder = write_images(tmp_path / 'in', drive(3))
    (folder / '1.png').write_bytes((folder / '1.png').read_bytes()[:100])
    with pytest.raises(ValueError, match=r'1\.png is a truncated PNG'):
        write_predictions(predictor, open_input([folder]), tmp_path / 'out')
    assert files(tmp_path / 'out') == ['overlay/0.png', 'predictions.json']  # frames before it are done


def test_few_frames_are_held(predictor, tmp_path, monkeypatch):
    alive, most, write = set(), [0], prediction_writer.write_png_atomic

    def slowly(path, array):
        time.sleep(0.03)
        write(path, array)

    monkeypatch.setattr(prediction_writer, 'write_png_atomic', slowly)

    class Watched(ImageInput):
        """Counts the frames that somebody still holds."""

        def read(self, wanted=lambda name: True):
            for number, frame in enumerate(super().read(wanted)):
                alive.add(number)
                weakref.finalize(frame.image, alive.discard, number)
                most[0] = max(most[0], len(alive))
                yield frame
                del frame

    folder = write_images(tmp_path / 'in', drive(20))
    files_of = {str(number): folder / f'{number}.png' for number in range(20)}
    assert write_predictions(predictor, Watched(folder, files_of), tmp_path / 'out', batch_size=2).predicted == 20
    assert most[0] <= 2 * 2 + 1 + 2  # each thread may let go of one a moment late


class Endless(FrameInput):
    """A video of so many frames, made as they are asked for."""
    fps = 25.0

    def __init__(self, folder, count, size=(160, 120)):
        self.path, self.names, self.image = folder, range(count), drive(1, size=size)[0]

    def read(self, wanted=lambda name: True):
        for number in self.names:
            if wanted(number):
                yield Frame(number, self.image ^ np.uint8(number & 1))

    def modified(self, name):
        return 0


class Striped:
    """A network that answers at once."""
    classes, palette = ['road', 'sky'], PALETTE[:2]

    def fingerprint(self):
        return 'striped'

    def reading_digest(self):
        return 'as they are'

    def predict(self, images):
        return [WinningPrediction((image[..., 0] & 1).copy(), np.ones(image.shape[:2], np.float16)) for image in images]


def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(prediction_writer, 'write_png_atomic', lambda path, array: written.append(path.name))
    peaks = {}
    for count in (8, 16, 128):
        frames = Endless(tmp_path, count)
        tracemalloc.start()
        done = write_predictions(Striped(), frames, tmp_path / str(count), save=['overlay', 'ids', 'confidence'], batch_size=2)
        peaks[count] = tracemalloc.get_traced_memory()[1] / frames.image.nbytes
        tracemalloc.stop()
        assert done.predicted == count
    assert len(written) == 2 * (8 + 16 + 128)
    assert peaks[128] - peaks[16] < 16  # frames; all of them would be 112 more, a busy machine lets go of some a moment later
    capture = cv2.VideoCapture(str(tmp_path / '128' / 'overlay.mp4'))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 128


def test_what_is_refused(predictor, tmp_path):
    frames = open_input([write_images(tmp_path / 'in', drive(1))])
    for settings in (dict(save=[]), dict(save=['labels']), dict(batch_size=0)):
        with pytest.raises(ValueError, match='expected some of overlay, colour, ids, confidence, panoptic, and 1 or more'):
            write_predictions(predictor, frames, tmp_path / 'out', **settings)
    assert not (tmp_path / 'out').exists()
    (tmp_path / 'file').write_text('x')
    with pytest.raises(OSError, match='cannot write .*out.lock: .*is a file'):
        write_predictions(predictor, frames, tmp_path / 'file' / 'out')
