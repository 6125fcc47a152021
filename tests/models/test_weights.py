# SPDX-License-Identifier: Apache-2.0
"""Where backbone weights come from; a wrong or missing file is never replaced by random numbers."""
import functools
import hashlib
import http.server
import threading

import pytest
import torch
from mmseg.registry import MODELS

import udatools  # noqa: F401
from udatools.models.backbones import weights as module
from udatools.models.backbones.weights import WeightsUnavailableError, load_backbone_weights, resolve_weights

CLOSED_PORT = 'http://127.0.0.1:9'


class Quiet(http.server.SimpleHTTPRequestHandler):
    requests: list[str] = []

    def log_message(self, *args):
        self.requests.append(self.path)


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / 'mirror'
    folder.mkdir()
    Quiet.requests.clear()
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty torch cache, no network but the mirror of a test."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch_home'))
    monkeypatch.setattr(torch.hub, '_hub_dir', None, raising=False)
    monkeypatch.setenv('UDATOOLS_WEIGHTS_MIRROR', CLOSED_PORT)
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.delenv('UDATOOLS_WEIGHTS', raising=False)
    return tmp_path / 'torch_home' / 'hub' / 'checkpoints'


def tiny(weights):
    torch.manual_seed(0)
    return MODELS.build(dict(type='UDAResNet', depth=18, base_channels=4, stem_channels=4, weights=weights))


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Bytes of a weights file whose name carries their hash, as torchvision's do."""
    path = tmp_path / 'made.pth'
    torch.save({key: torch.full_like(value, 2) for key, value in tiny('scratch').state_dict().items()}, path)
    content = path.read_bytes()
    name = f'resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    monkeypatch.setitem(module.TORCHVISION_FILES, 'resnet18', name)
    return name, content


def test_published_names_carry_a_hash():
    for file_name in module.TORCHVISION_FILES.values():
        assert len(file_name.removesuffix('.pth').rsplit('-', 1)[1]) == 8


def test_local_path(tmp_path):
    path = tmp_path / 'w.pth'
    path.write_bytes(b'x')
    assert resolve_weights(str(path)) == path


def test_own_folder_comes_before_the_cache(published, places, tmp_path, monkeypatch):
    name, content = published
    for folder in (places, tmp_path / 'mine'):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content)
    assert resolve_weights('torchvision://resnet18') == places / name
    monkeypatch.setenv('UDATOOLS_WEIGHTS', str(tmp_path / 'mine'))
    assert resolve_weights('torchvision://resnet18') == tmp_path / 'mine' / name


def test_mirror_is_used_once(published, mirror, places, monkeypatch):
    name, content = published
    folder, address = mirror
    (folder / name).write_bytes(content)
    monkeypatch.setenv('UDATOOLS_WEIGHTS_MIRROR', address + '/')
    network = tiny('torchvision://resnet18')
    network.init_weights()
    assert all(bool((value == 2).all()) for value in network.state_dict().values())
    assert (places / name).read_bytes() == content
    resolve_weights('torchvision://resnet18')
    assert Quiet.requests == [f'/{name}']


def test_corrupt_download_is_refused_and_leaves_nothing(published, mirror, places, monkeypatch):
    name, content = published
    folder, address = mirror
    (folder / name).write_bytes(content[:-1] + b'?')
    monkeypatch.setenv('UDATOOLS_WEIGHTS_MIRROR', address)
    with pytest.raises(WeightsUnavailableError, match='the content is another one'):
        tiny('torchvision://resnet18').init_weights()
    assert list(places.iterdir()) == []


def test_offline_says_what_to_do(published):
    network = tiny('torchvision://resnet18')
    with pytest.raises(WeightsUnavailableError) as caught:
        network.init_weights()
    message = str(caught.value)
    for part in (published[0], CLOSED_PORT, 'UDATOOLS_WEIGHTS', 'UDATOOLS_WEIGHTS_MIRROR', '/path/to/file.pth',
                 'segmentor.backbone.weights=scratch'):
        assert part in message


def test_missing_path_and_unknown_name_say_what_to_do(tmp_path):
    with pytest.raises(WeightsUnavailableError, match='gone.pth do not exist.*weights=scratch'):
        tiny(str(tmp_path / 'gone.pth')).init_weights()
    with pytest.raises(WeightsUnavailableError, match="'resnet9'; choose one of .*resnet101, .*vgg16, a local path"):
        resolve_weights('torchvision://resnet9')


def test_file_that_is_no_weights_is_named(tmp_path):
    path = tmp_path / 'page.pth'
    path.write_text('<html>not found</html>')
    with pytest.raises(WeightsUnavailableError, match='page.pth .*cannot be read'):
        tiny(str(path)).init_weights()


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path):
    network = tiny(str(tmp_path / 'w.pth'))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = dict(before)
    state['conv1.weight'] = torch.zeros(4, 3, 5, 5)
    torch.save(state, tmp_path / 'w.pth')
    with pytest.raises(WeightsUnavailableError, match='1 have another shape .conv1.weight'):
        load_backbone_weights(network, network.weights)
    state = dict(before)
    del state['layer3.0.conv1.weight']
    torch.save(state, tmp_path / 'w.pth')
    with pytest.raises(WeightsUnavailableError, match='1 parameters are missing .layer3.0.conv1.weight'):
        load_backbone_weights(network, network.weights)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize('wrap', [lambda s: {'state_dict': s}, lambda s: {f'backbone.{k}': v for k, v in s.items()},
                                  lambda s: {k: v for k, v in s.items() if not k.endswith('num_batches_tracked')}],
                         ids=['state_dict', 'backbone prefix', 'no batch counters'])
def test_common_wrappings_are_understood(tmp_path, wrap):
    state = {key: torch.full_like(value, 3) for key, value in tiny('scratch').state_dict().items()}
    torch.save(wrap(state), tmp_path / 'w.pth')
    network = tiny(str(tmp_path / 'w.pth'))
    network.init_weights()
    assert all(bool((p == 3).all()) for p in network.parameters())


def test_scratch_leaves_the_network_alone_and_asks_nobody(mirror, monkeypatch):
    monkeypatch.setenv('UDATOOLS_WEIGHTS_MIRROR', mirror[1])
    network = tiny('scratch')
    before = {key: value.clone() for key, value in network.state_dict().items()}
    load_backbone_weights(network, 'scratch')
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert Quiet.requests == []
