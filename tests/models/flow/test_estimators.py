# SPDX-License-Identifier: Apache-2.0
"""Estimators: which way their flow points, shapes, batches, threads, padding, weights; what they refuse."""
import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from udatools.datasets.flow_io import flow_path, write_flow
from udatools.models.backbones import weights as weights_module
from udatools.models.backbones.weights import WeightsUnavailableError
from udatools.models.flow import DISFlow, PrecomputedFlow, RAFTFlow
from udatools.models.flow import raft as raft_module
from udatools.registry import FLOW_ESTIMATORS


def textured(size, seed=0):
    """A smooth random image, uint8 RGB (3, H, W)."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.0), None, 0, 255, cv2.NORM_MINMAX)
    return torch.from_numpy(smooth.transpose(2, 0, 1).copy())


def moved(shift_x, shift_y, size=(48, 64), seed=0):
    """An image, and the same scene moved by (shift_x, shift_y): (1, 3, H, W) each."""
    scene = textured((size[0] + 16, size[1] + 16), seed)
    image = scene[:, 8:8 + size[0], 8:8 + size[1]]
    reference = scene[:, 8 - shift_y:8 - shift_y + size[0], 8 - shift_x:8 - shift_x + size[1]]
    return image[None].contiguous(), reference[None].contiguous()


@pytest.mark.parametrize('preset', ['medium', 'fast', 'ultrafast'])
@pytest.mark.parametrize('shift', [(3, 0), (0, -2), (-4, 1)])
def test_dis_finds_a_shift_and_its_direction(preset, shift):
    flow = DISFlow(preset).estimate(*moved(*shift))
    assert flow.shape == (1, 2, 48, 64) and flow.dtype == torch.float32 and flow.is_contiguous()
    inner = flow[0, :, 8:-8, 8:-8]
    error = (inner - torch.tensor(shift).view(2, 1, 1)).square().sum(0).sqrt()
    assert error.mean() < 0.2


def test_dis_weighs_red_more_than_blue():
    (red, moved_red), (blue, moved_blue) = moved(3, 0, seed=1), moved(-3, 0, seed=2)
    image, reference = (torch.stack([one[:, 0], torch.full_like(one[:, 0], 100), two[:, 0]], 1)
                        for one, two in ((red, blue), (moved_red, moved_blue)))
    assert DISFlow().estimate(image, reference)[0, 0, 8:-8, 8:-8].median() > 2.5


def test_dis_depends_on_nothing_but_the_pair():
    pairs = [moved(2, 0, seed=1), moved(-3, 2, seed=2), moved(0, 1, seed=3)]
    estimator = DISFlow()
    alone = [estimator.estimate(*pair) for pair in pairs]
    batch = estimator.estimate(torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs]))
    assert torch.equal(batch, torch.cat(alone))
    with ThreadPoolExecutor(3) as pool:
        for flow, expected in zip(pool.map(lambda pair: estimator.estimate(*pair), pairs * 4), alone * 4, strict=True):
            assert torch.equal(flow, expected)
    assert torch.equal(pickle.loads(pickle.dumps(estimator)).estimate(*pairs[1]), alone[1])
    threads = cv2.getNumThreads()
    try:
        for number in (1, 2, 5):
            cv2.setNumThreads(number)
            assert torch.equal(estimator.estimate(*pairs[1]), alone[1])
    finally:
        cv2.setNumThreads(threads)


def test_between_is_estimate_and_says_where_flow_is_known():
    image, reference = moved(2, 0)
    flow, known = DISFlow().between(image, reference, [('clip/0001', -1)])
    assert torch.equal(flow, DISFlow().estimate(image, reference)) and known.shape == (1, 48, 64) and known.all()


class Recorder(torch.nn.Module):
    """Stands in for RAFT: remembers its inputs; the flow of each update is the number of the update plus the position."""

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.seen = None

    def forward(self, image1, image2, num_flow_updates=12):
        self.seen = image1, image2
        y, x = torch.meshgrid(*(torch.arange(float(side)) for side in image1.shape[2:]), indexing='ij')
        return [torch.stack([x, y])[None].expand(len(image1), -1, -1, -1) + update for update in range(num_flow_updates)]


@pytest.mark.parametrize(('size', 'padded'), [((40, 64), (128, 128)), ((130, 200), (136, 200)), ((128, 136), (128, 136))])
def test_raft_pads_to_the_right_and_below_and_cuts_back(size, padded, monkeypatch):
    network = Recorder()
    monkeypatch.setattr(raft_module, '_load', lambda variant, weights: network)
    image, reference = textured(size, 1)[None], textured(size, 2)[None]
    flow = RAFTFlow(weights='any', iterations=5, device='cpu').estimate(image, reference)
    assert flow.shape == (1, 2, *size) and flow.dtype == torch.float32
    assert flow[0, :, -1, -1].tolist() == [size[1] - 1 + 4, size[0] - 1 + 4]  # of the last update, nothing shifted
    for seen, given in zip(network.seen, (image, reference), strict=True):
        assert seen.shape == (1, 3, *padded) and seen.dtype == torch.float32
        torch.testing.assert_close(seen[..., :size[0], :size[1]], given / 127.5 - 1)
        assert torch.equal(seen[..., size[0] - 1:, :], seen[..., size[0] - 1:size[0], :].expand_as(seen[..., size[0] - 1:, :]))
        assert torch.equal(seen[..., size[1] - 1:], seen[..., size[1] - 1:size[1]].expand_as(seen[..., size[1] - 1:]))


@pytest.fixture(scope='module')
def raft_weights(tmp_path_factory):
    """Random weights of the small network."""
    from torchvision.models.optical_flow import raft_small
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = raft_small(weights=None)
    path = tmp_path_factory.mktemp('raft') / 'raft_small.pth'
    torch.save(network.state_dict(), path)
    return path, network.eval()


def test_raft_is_the_network_of_torchvision(raft_weights):
    path, network = raft_weights
    first, second = moved(3, 0, size=(128, 128))
    init_default_scope('mmseg')
    estimator = FLOW_ESTIMATORS.build(dict(type='RAFTFlow', variant='small', weights=str(path), iterations=1, device='cpu'))
    flow = estimator.estimate(first, second)
    with torch.no_grad():
        expected = network(first / 127.5 - 1, second / 127.5 - 1, num_flow_updates=1)[-1]
        swapped = network(second / 127.5 - 1, first / 127.5 - 1, num_flow_updates=1)[-1]
    torch.testing.assert_close(flow, expected)
    assert not torch.allclose(flow, swapped, atol=1e-3) and not flow.requires_grad


def test_raft_says_what_is_wrong_with_its_weights(raft_weights, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="pass weights='download', or weights=PATH of torchvision's raft_small"):
        RAFTFlow()
    with pytest.raises(WeightsUnavailableError, match='nowhere.pth does not exist'):
        RAFTFlow(weights=str(tmp_path / 'nowhere.pth'))
    with pytest.raises(WeightsUnavailableError, match='does not hold the weights of torchvision\'s raft_large'):
        RAFTFlow('large', weights=str(raft_weights[0]))
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(raft_weights[0].read_bytes()[:1000])
    with pytest.raises(WeightsUnavailableError, match='cut.pth does not hold'):
        RAFTFlow(weights=str(cut))
    monkeypatch.setenv('UDATOOLS_WEIGHTS', str(tmp_path / 'empty'))
    monkeypatch.setenv('UDATOOLS_WEIGHTS_MIRROR', (tmp_path / 'no_mirror').as_uri())
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    with pytest.raises(WeightsUnavailableError, match=r'RAFT \(small\).*could not be fetched \(.+\).*weights=PATH') as error:
        RAFTFlow(weights='download')
    assert 'backbone' not in str(error.value) and 'scratch' not in str(error.value)
    with pytest.raises(ValueError, match='expected one of small, large'):
        RAFTFlow('huge', weights='download')
    with pytest.raises(ValueError, match='expected 1 or more'):
        RAFTFlow(weights='download', iterations=0)


def test_raft_weights_come_from_the_folder_of_weights(raft_weights, tmp_path, monkeypatch):
    path, network = raft_weights
    (tmp_path / weights_module.TORCHVISION_FILES['raft_small']).write_bytes(path.read_bytes())
    monkeypatch.setenv('UDATOOLS_WEIGHTS', str(tmp_path))
    loaded = RAFTFlow(weights='download', device='cpu').network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(('variant', 'member'), [('small', 'Raft_Small_Weights'), ('large', 'Raft_Large_Weights')])
def test_published_weights_are_those_that_torchvision_calls_the_default(variant, member):
    from torchvision.models import optical_flow
    url = getattr(optical_flow, member).DEFAULT.url
    assert url.rpartition('/')[2] == weights_module.TORCHVISION_FILES[f'raft_{variant}']


@pytest.mark.parametrize('suffix', ['.png', '.flo', '.npz'])
def test_precomputed_flow_is_looked_up_by_name(tmp_path, suffix):
    stored = np.random.default_rng(0).integers(-640, 640, (2, 2, 5, 6)).astype(np.float32) / 64
    known = np.ones((5, 6), bool)
    known[2, 3] = False
    write_flow(flow_path(tmp_path, 'clip/0004', -1, suffix), stored[0])
    write_flow(flow_path(tmp_path, 'clip/0004', 2, suffix), stored[1], known)
    images = torch.zeros(2, 3, 5, 6, dtype=torch.uint8)
    estimator = PrecomputedFlow(tmp_path, suffix)
    flow, valid = estimator.between(images, images, [('clip/0004', 2), ('clip/0004', -1)])
    assert flow.dtype == torch.float32 and torch.equal(valid, torch.from_numpy(np.stack([known, np.ones_like(known)])))
    assert torch.equal(flow[1], torch.from_numpy(stored[0]))
    assert torch.equal(flow[0], torch.from_numpy(np.where(known, stored[1], 0)))
    with pytest.raises(FileNotFoundError, match=r'\+1'):
        estimator.between(images[:1], images[:1], [('clip/0004', 1)])
    with pytest.raises(ValueError, match=r'is 6x5, but the frame 5x6'):
        estimator.between(images[:1].mT, images[:1].mT, [('clip/0004', 2)])
    with pytest.raises(TypeError, match='call between'):
        estimator.estimate(images, images)


@pytest.mark.parametrize(('image', 'reference', 'message'), [
    (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), torch.zeros(1, 3, 16, 24, dtype=torch.uint8), 'frames of one clip'),
    (torch.zeros(1, 1, 16, 16, dtype=torch.uint8), torch.zeros(1, 1, 16, 16, dtype=torch.uint8), r'expected \(B, 3, H, W\)'),
    (torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), 'expected uint8'),
    (torch.zeros(1, 3, 8, 11, dtype=torch.uint8), torch.zeros(1, 3, 8, 11, dtype=torch.uint8), 'a side of 12 or more'),
])
def test_images_that_do_not_fit_are_refused(image, reference, message):
    with pytest.raises(ValueError, match=message):
        DISFlow().estimate(image, reference)


def test_presets_are_named():
    with pytest.raises(ValueError, match='expected one of ultrafast, fast, medium'):
        DISFlow('slow')
