# SPDX-License-Identifier: Apache-2.0
"""``tools/infer.py``: images, folders, patterns and videos; side by side; and what it says when it will not."""
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmseg.apis import inference_model, init_model
from PIL import Image
from tiny_network import CLASSES, drive, read_video, write_images, write_network, write_video

from udatools.datasets import CityscapesVPSDomain
from udatools.engine import frame_predictor
from udatools.engine.frame_predictor import load_frame_predictor
from udatools.engine.prediction_writer import KINDS
from udatools.evaluation import VPQMetric
from udatools.evaluation.vpq_files import report, score_files
from udatools.ops.histograms import WinningPrediction


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('infer.py')


@pytest.fixture(scope='module')
def networks(tmp_path_factory):
    """The adapted checkpoint, of a stage, and the source-only one, exported."""
    root = tmp_path_factory.mktemp('networks')
    return write_network(root / 'adapted', 2, stage=True), write_network(root / 'source', 3)


@pytest.fixture
def infer(tool, capfd):
    """Function: exit status, output and errors of a command on the CPU."""

    def run(*arguments):
        capfd.readouterr()
        status = tool.main([*map(str, arguments), '--device', 'cpu'])
        return (status, *capfd.readouterr())

    return run


def files(folder):
    """Without the lock."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file() and path.name != 'lock')


def test_a_folder_a_pattern_and_files(infer, networks, tmp_path):
    images = drive(3, size=(50, 37))
    folder = write_images(tmp_path / 'in', images)
    status, out, _ = infer(networks[0], folder, '--out', tmp_path / 'a', '--save', 'ids', 'overlay', '--batch-size', 2)
    assert status == 0 and f'3 frames in {tmp_path / "a"}: 3 predicted, 0 were there' in out
    assert files(tmp_path / 'a') == [*(f'ids/{i}.png' for i in range(3)), *(f'overlay/{i}.png' for i in range(3)),
                                     'predictions.json']
    predictor = load_frame_predictor(networks[0], device='cpu')
    for number, image in enumerate(images):
        ids = cv2.imread(str(tmp_path / 'a' / 'ids' / f'{number}.png'), cv2.IMREAD_UNCHANGED)
        assert (ids == predictor.predict([image])[0].label).mean() > 0.999  # of a batch of two
    assert infer(networks[0], folder, '--out', tmp_path / 'a', '--save', 'ids')[1].endswith('0 predicted, 3 were there\n')
    assert infer(networks[0], folder, '--out', tmp_path / 'a', '--save', 'ids', '--overwrite')[1].endswith(
        '3 predicted, 0 were there\n')
    assert infer(networks[0], f'{folder}/[01].png', '--out', tmp_path / 'b')[2].startswith('infer  2/2 frames')
    assert infer(networks[0], folder / '2.png', folder / '0.png', '--out', tmp_path / 'c')[0] == 0
    assert files(tmp_path / 'c') == ['overlay/0.png', 'overlay/2.png', 'predictions.json']


@pytest.mark.parametrize('orientation', [3, 6])
def test_photos_are_turned_as_mmseg_turns_them(infer, networks, tmp_path, orientation):
    (tmp_path / 'in').mkdir()
    photo, exif = tmp_path / 'in' / 'photo.jpg', Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(drive(1, size=(70, 40))[0]).save(photo, exif=exif)
    assert infer(networks[1], photo.parent, '--out', tmp_path / 'out', '--save', 'ids', 'overlay')[0] == 0
    expected = inference_model(init_model(str(networks[1].parent / 'config.py'), str(networks[1]), device='cpu'), str(photo))
    ids = cv2.imread(str(tmp_path / 'out' / 'ids' / 'photo.png'), cv2.IMREAD_UNCHANGED)
    assert ids.shape == {3: (40, 70), 6: (70, 40)}[orientation] and len(np.unique(ids)) > 2
    assert np.array_equal(ids, expected.pred_sem_seg.data[0].numpy())
    assert cv2.imread(str(tmp_path / 'out' / 'overlay' / 'photo.png')).shape[:2] == ids.shape


class Shifted:
    """The ground truth of a data set, three pixels to the right, as the answer of a network."""

    def __init__(self, dataset):
        self.classes, self.palette = dataset.metainfo['classes'], dataset.metainfo['palette']
        self.labels = {cv2.imread(dataset.image_path(key)).tobytes(): np.roll(dataset.load_label(key), 3, axis=1)
                       for key in dataset.keys}
        self.other = np.zeros_like(next(iter(self.labels.values())))

    def fingerprint(self):
        return 'of ground truth'

    def reading_digest(self):
        return 'as they are'

    def predict(self, images):
        labels = [self.labels.get(image.tobytes(), self.other) for image in images]
        return [WinningPrediction(np.where(label == 255, 0, label).astype(np.uint8), np.ones(label.shape, np.float16))
                for label in labels]


@pytest.mark.parametrize('classes', ['viper15', 'cityscapes19'])
def test_panoptic_files_score_as_the_metric_does(infer, uneven_video_root, tmp_path, monkeypatch, classes):
    root = uneven_video_root / 'cityscapes_vps'
    dataset = CityscapesVPSDomain(root, split='val', classes=classes)
    network = Shifted(dataset)
    monkeypatch.setattr(frame_predictor, 'load_frame_predictor', lambda *args, **kwargs: network)
    status, out, _ = infer('model.pth', root / 'val' / 'img', '--out', tmp_path, '--save', 'panoptic', '--batch-size', 4)
    assert status == 0 and '30 predicted' in out
    metric = VPQMetric(protocol='viper15', windows=(1, 2))
    metric.dataset_meta = dataset.metainfo
    for key in dataset.keys:
        clip, frame = dataset.clip_of(key)
        pred, = network.predict([cv2.imread(dataset.image_path(key))])
        metric.process({}, [dict(clip=clip, frame=frame, key=key, pred_sem_seg=dict(data=torch.from_numpy(pred.label)[None]),
                                 gt_sem_seg=dict(data=torch.from_numpy(dataset.load_label(key))[None]))])
    expected = metric.evaluate(len(dataset.keys))
    scored = score_files(root / 'panoptic_gt_val_city_vps.json', tmp_path / 'panoptic.json', semantic=True, protocol='viper15',
                         windows=(1, 2))
    assert len(dataset.keys) == scored.stats.frames == 6 and scored.extra == 24
    found = {key: np.nan if value is None else value for key, value in report(scored)['metrics'].items()}
    assert found == pytest.approx(expected, nan_ok=True, rel=1e-12) and 5 < found['VPQs'] < 95


def test_a_video(infer, networks, tmp_path):
    video = write_video(tmp_path / 'drive.avi', drive(4))
    status, out, _ = infer(networks[1], video, '--out', tmp_path / 'out')
    assert status == 0 and files(tmp_path / 'out') == ['overlay.mp4', 'predictions.json']
    frames = read_video(tmp_path / 'out' / 'overlay.mp4')
    assert len(frames) == 4 and frames[0].shape == (48, 64, 3)


def test_side_by_side(infer, networks, tmp_path):
    folder = write_images(tmp_path / 'in', drive(3))
    command = [networks[0], folder, '--compare', networks[1], '--out', tmp_path / 'side.mp4', '--panel-width', 160,
               '--estimator-options', 'preset=ultrafast', '--fps', 4]
    status, out, _ = infer(*command, '--stills', 0, 2)
    assert status == 0 and '3 frames in' in out and '2 stills; pseudo-labels of' in out and 'after refinement' in out
    frames = read_video(tmp_path / 'side.mp4')
    still = cv2.imread(str(tmp_path / 'side_000002.png'))
    assert len(frames) == 3 and frames[2].shape == still.shape and still.shape[1] == 3 * 128 + 2 * 8  # 64x48, twice as large
    assert np.abs(frames[2].astype(int) - still).mean() < 12
    before = (tmp_path / 'side.mp4').read_bytes()
    status, _, error = infer(*command)
    assert status == 1 and 'exists already' in error and (tmp_path / 'side.mp4').read_bytes() == before
    assert infer(*command, '--overwrite', '--columns', 2)[0] == 0
    assert read_video(tmp_path / 'side.mp4')[0].shape[1] == 2 * 128 + 8


def test_a_damaged_video_is_read_as_far_as_it_goes(infer, networks, tmp_path):
    whole = write_video(tmp_path / 'drive.avi', drive(12))
    cut = tmp_path / 'cut.avi'
    cut.write_bytes(whole.read_bytes()[:whole.stat().st_size // 2])
    status, out, error = infer(networks[1], cut, '--out', tmp_path / 'out')
    assert status == 1 and 'cut.avi: it ends after' in error and 'Traceback' not in error
    assert 0 < len(read_video(tmp_path / 'out' / 'overlay.mp4')) < 12


def test_what_is_refused(infer, networks, tmp_path):
    folder, out = write_images(tmp_path / 'in', drive(2)), tmp_path / 'out'
    (tmp_path / 'text.mp4').write_text('no video')
    (tmp_path / 'file').write_text('x')
    shutil.copy(networks[1], tmp_path / 'alone.pth')
    other = write_network(tmp_path / 'other', classes=CLASSES[::-1])
    for arguments, message in (
        ([networks[1], tmp_path / 'nowhere.png', '--out', out], 'nowhere.png does not exist'),
        ([networks[1], tmp_path / 'text.mp4', '--out', out], 'is no video that OpenCV can decode'),
        ([tmp_path / 'nowhere.pth', folder, '--out', out], 'nowhere.pth is not a readable checkpoint'),
        ([tmp_path / 'alone.pth', folder, '--out', out], 'name its config with --config'),
        ([networks[0], folder, '--out', out, '--config', networks[1].parent / 'config.py'], 'do not belong together'),
        ([networks[1], folder, '--out', folder / 'predictions'], 'lies inside the input'),
        ([networks[1], folder, '--out', tmp_path / 'file'], 'a part of the path is a file'),
        ([networks[0], folder, '--compare', networks[1], '--out', out, '--stills', 2], 'expected numbers from 0 to 1'),
        ([networks[0], folder, '--compare', other, '--out', out], 'compare networks of the same classes'),
        ([networks[0], folder, '--compare', networks[1], '--out', out, '--estimator', 'RAFTFlow'], "pass weights='download'"),
        ([networks[1], folder, '--out', out, '--classes', 'nothing'], "got the class set 'nothing'"),
    ):
        status, _, error = infer(*arguments)
        assert status == 1 and message in error and 'Traceback' not in error, error
    assert not out.exists() and files(folder) == ['0.png', '1.png']
    assert infer(tmp_path / 'alone.pth', folder, '--out', out, '--config', networks[1].parent / 'config.py')[0] == 0


@pytest.mark.parametrize('arguments', [
    ['--compare', 'y', '--save', 'ids'], ['--compare', 'y', '--batch-size', '2'], ['--stills', '1'], ['--fps', '4'],
    ['--compare', 'y', '--fps', '0'], ['--compare-config', 'y'], ['--save', 'labels'],
])
def test_options_that_do_not_go_together(tool, arguments, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['checkpoint', 'input', '--out', 'x', *arguments])
    assert 'error: ' in capsys.readouterr().err


def test_ctrl_c_is_said_in_a_line(tool, networks, tmp_path, monkeypatch, capsys):
    from udatools.engine import prediction_writer

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(prediction_writer, 'write_predictions', stop)
    folder = write_images(tmp_path / 'in', drive(1))
    assert tool.main([str(networks[1]), str(folder), '--out', str(tmp_path / 'out'), '--device', 'cpu']) == 130
    assert 'nothing half-written' in capsys.readouterr().err


def test_kinds_are_those_that_can_be_written(tool):
    assert tool.KINDS == KINDS
