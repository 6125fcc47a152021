# SPDX-License-Identifier: Apache-2.0
"""What all tests share: few threads, a tiny MiniDrive, and the folder of real data where there is one."""

import multiprocessing
import os
import threading
import traceback
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402

# A busy machine is no reason to fail; tests still say themselves how many examples they take.
settings.register_profile('any_machine', deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('any_machine')

REPO = Path(__file__).resolve().parents[1]
CARLA_TAGS = np.array([7, 8, 1, 11, 2, 5, 18, 12, 9, 22, 13, 4, 4, 10, 10, 10, 10, 10, 10] + [0] * 237, np.uint8)


@pytest.fixture(scope='session', autouse=True)
def few_threads() -> None:
    """Tests are small; more threads than this only wait for each other."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


@pytest.fixture(autouse=True)
def own_loggers() -> None:
    """No test writes to the logger of an earlier one, whose captured stream is closed."""
    MMLogger._instance_dict.clear()


@pytest.fixture(scope='session')
def repo_root() -> Path:
    """The root of the checkout."""
    return REPO


@pytest.fixture(scope='session')
def minidrive_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MiniDrive of 6 source, 4 target training and 2 target validation stills of 64x32, in all formats; read only."""
    from udatools.datasets.minidrive import generate_minidrive
    from udatools.datasets.minidrive.writers import FORMATS

    root = tmp_path_factory.mktemp('minidrive')
    generate_minidrive(
        root,
        size=(64, 32),
        seed=0,
        num_source=6,
        num_target_train=4,
        num_target_val=2,
        formats=tuple(FORMATS),
        progress=False,
    )
    return root


@pytest.fixture
def serve_package():
    """Function: a running server of the annotator page for a package, on a free port that is free again when it is closed."""
    for module in ('flask', 'waitress'):
        pytest.importorskip(module, reason=f'the annotator page needs {module}; install requirements/test.txt')
    from udatools.active.annotator.server import Server
    started = []

    def make(root, port=0, **options):
        server = Server(root, port=port, **options)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        started.append((server, thread))
        return server

    yield make
    for server, thread in started:
        server.close()
        thread.join(5)


@pytest.fixture(scope='session')
def real_data_root() -> Path:
    """The folder with ``carla/`` and ``camvid/``: $UDATOOLS_REAL_DATA, else ``../shared/data`` next to the checkout."""
    named = os.environ.get('UDATOOLS_REAL_DATA')
    root = Path(named) if named else REPO.parent / 'shared' / 'data'
    missing = [name for name in ('carla', 'camvid') if not (root / name).is_dir()]
    if missing:
        pytest.skip(f'no real data: {root} has no {" and no ".join(missing)}; set UDATOOLS_REAL_DATA to run this test')
    return root


@pytest.fixture(scope='session')
def minidrive_video_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MiniDrive video of two source clips of 2 frames, one target training and one validation clip of 6, 64x32; read only."""
    from udatools.datasets.minidrive.video import generate_minidrive_video

    root = tmp_path_factory.mktemp('minidrive_video')
    return generate_minidrive_video(
        root, size=(64, 32), source_clips=2, source_frames=2, target_clips=1, target_frames=6, val_clips=1, val_frames=6,
        progress=False)


@pytest.fixture(scope='session')
def uneven_video_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MiniDrive video, 64x32, whose three target training clips have 9 frames (with a gap), 6 and 1; read only.

    The three validation clips have 10 frames, of which two are labelled.
    """
    from udatools.datasets.minidrive.video import generate_minidrive_video

    root = tmp_path_factory.mktemp('uneven_video')
    generate_minidrive_video(
        root, size=(64, 32), source_clips=2, source_frames=2, target_clips=3, target_frames=10, val_clips=3, val_frames=10,
        progress=False)
    frames = sorted((root / 'cityscapes_vps' / 'train' / 'img').iterdir())
    for path in (frames[4], *frames[16:20], *frames[21:]):
        path.unlink()
    return root


@pytest.fixture(scope='session')
def tiny_data(minidrive_root, minidrive_video_root, tmp_path_factory):
    """Root folder by dataset type."""
    from udatools.datasets.flow_io import flow_path, write_flow

    carla = tmp_path_factory.mktemp('carla')
    _write_carla(minidrive_root / 'cityscapes', carla)
    flow = tmp_path_factory.mktemp('camvid_flow')
    for path in (minidrive_root / 'camvid' / 'val').iterdir():
        for offset in (-1, 1):  # images of the set follow upon each other, by their names
            write_flow(flow_path(flow, path.stem, offset), np.zeros((2, 32, 64), np.float32))
    sequences = tmp_path_factory.mktemp('sequences')
    _write_sequences(minidrive_root / 'synthia', minidrive_video_root / 'cityscapes_vps' / 'train' / 'img', sequences)
    return {'GTA5Domain': minidrive_root / 'gta5', 'CityscapesDomain': minidrive_root / 'cityscapes',
            'SYNTHIADomain': minidrive_root / 'synthia', 'CamVidDomain': minidrive_root / 'camvid', 'flow of CamVidDomain': flow,
            'CARLADomain': carla, 'SYNTHIASeqDomain': sequences / 'synthia_seq',
            'CityscapesSequenceDomain': sequences / 'cityscapes', 'flow of CityscapesSequenceDomain': sequences / 'flow',
            'VIPERDomain': minidrive_video_root / 'viper', 'CityscapesVPSDomain': minidrive_video_root / 'cityscapes_vps'}


def _write_carla(cityscapes, carla):
    """The Cityscapes training images again, in the layout of the CARLA set."""
    for name in ('images', 'labels'):
        (carla / name).mkdir(parents=True)
    ids = []
    for path in sorted((cityscapes / 'leftImg8bit' / 'train').rglob('*.png')):
        label = cityscapes / 'gtFine' / 'train' / path.parent.name / path.name.replace('leftImg8bit', 'gtFine_labelTrainIds')
        ids.append(f'{len(ids):06d}')
        cv2.imwrite(str(carla / 'images' / f'{ids[-1]}.jpg'), cv2.imread(str(path)))
        cv2.imwrite(str(carla / 'labels' / f'{ids[-1]}.png'), CARLA_TAGS[cv2.imread(str(label), cv2.IMREAD_UNCHANGED)])
    (carla / 'train.txt').write_text('\n'.join(ids))
    (carla / 'val.txt').write_text(ids[0])


def _write_sequences(synthia, frames, root):
    """The SYNTHIA stills as a drive of SYNTHIA-Seq; frames as a snippet of Cityscapes, with flow that says nothing moves."""
    from udatools.datasets.flow_io import flow_path, write_flow

    for part in ('RGB', 'GT/LABELS'):
        folder = root / 'synthia_seq' / 'SYNTHIA-SEQS-04-DAWN' / part / 'Stereo_Left' / 'Omni_F'
        folder.mkdir(parents=True)
        for number, path in enumerate(sorted((synthia / part).iterdir())):
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(folder / f'{number:06d}.png'), np.minimum(image, 15) if part != 'RGB' else image)  # 15 raw ids
    folder = root / 'cityscapes' / 'leftImg8bit_sequence' / 'train' / 'ulm'
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(frames.iterdir())):
        key = f'ulm_000000_{number:06d}_leftImg8bit'
        (folder / f'{key}.png').write_bytes(path.read_bytes())
        write_flow(flow_path(root / 'flow', f'ulm/{key}', -1), np.zeros((2, 32, 64), np.float32))


@pytest.fixture
def tree():
    """Function: {relative path: bytes} of all files below a folder."""
    return lambda root: {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def _rank(work, rank, world, rendezvous, queue):
    try:
        torch.set_num_threads(1)
        torch.distributed.init_process_group('gloo', init_method=f'file://{rendezvous}', rank=rank, world_size=world)
        queue.put((rank, work(rank), None))
        torch.distributed.destroy_process_group()
    except BaseException:
        queue.put((rank, None, traceback.format_exc()))


@pytest.fixture
def run_ranks(tmp_path):
    """Function: run ``work(rank)`` on ranks that talk over gloo; returns [(value, traceback or None)] by rank."""

    def run(work, world=2):
        context = multiprocessing.get_context('fork')
        queue = context.Queue()
        rendezvous = tmp_path / f'rendezvous_{np.random.default_rng().integers(1 << 40)}'
        ranks = [context.Process(target=_rank, args=(work, r, world, rendezvous, queue)) for r in range(world)]
        for process in ranks:
            process.start()
        try:
            results = sorted(queue.get(timeout=60) for _ in ranks)
        finally:
            for process in ranks:
                process.join(10)
                process.kill()
        return [(value, error) for _, value, error in results]

    return run
