# SPDX-License-Identifier: Apache-2.0
"""Trained networks as ONNX: the same answers as PyTorch, of every kind of network; what the file says; and what is refused."""
import json

import mmseg.models.utils
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models.decode_heads import aspp_head
from tiny_network import CLASSES, PALETTE, segmentor, write_network

from udatools.compat import CompatError
from udatools.engine import onnx_export
from udatools.engine.frame_predictor import FramePredictor, load_frame_predictor
from udatools.engine.onnx_export import Agreement, DeployedNetwork, compare, export_onnx, noise_images
from udatools.registry import MODELS

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

SIZE = (40, 56)
LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackSegInputs')
MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 70.0]
ASPP = dict(type='ASPPHead', in_channels=32, in_index=3, channels=4, num_classes=4, dilations=(2, 4), norm_cfg=None, act_cfg=None,
            dropout_ratio=0.0, align_corners=True)  # as udatools.engine.export writes DeepLabv2
MIT = dict(type='UDAMixVisionTransformer', weights='scratch', embed_dims=4, num_layers=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
DAFORMER = dict(type='DAFormerHead', in_channels=(4, 4, 8, 8), embed_dims=4, channels=4, dilations=(1, 2), num_classes=4)
VGG = dict(type='DilatedVGG16', weights='scratch', base_channels=4)
BOTTLENECK = dict(type='UDAResNet', depth=50, base_channels=4, stem_channels=4, weights='scratch', caffe_pooling=True)
FCN8S = dict(seed=6, backbone=dict(type='FCNVGG16', weights='scratch', base_channels=4),
             decode_head=dict(type='FCN8sHead', in_channels=(16, 32, 256), num_classes=4, align_corners=False))
HEAD = dict(type='DeepLabV2Head', in_index=1, num_classes=4, dilations=(2, 4), align_corners=True)


def predictor(pipeline=(LOAD, PACK), *, preprocessor=(), test_cfg=None, seed=1, **parts):
    """A network with random weights, different means of the channels, and logits of a usual size."""
    init_default_scope('mmseg')
    prep = dict(type='SegDataPreProcessor', bgr_to_rgb=True, mean=MEAN, std=STD) | dict(preprocessor)
    test_cfg = ConfigDict(test_cfg or dict(mode='whole'))
    model = MODELS.build(segmentor(4) | parts | dict(data_preprocessor=prep, test_cfg=test_cfg))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = (2.0 / parameter[0].numel())**0.5 if parameter.dim() > 1 else 0.1
            centre = float(parameter.dim() == 1 and name.endswith('weight'))  # of a norm
            parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=generator))
    return FramePredictor(model, list(pipeline), CLASSES, PALETTE)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])


def test_the_file_answers_as_tools_infer_does_and_says_what_it_is(tmp_path):
    network = load_frame_predictor(write_network(tmp_path, resize=(56, 40)), device='cpu')
    out = tmp_path / 'sub' / 'model.onnx'
    written = export_onnx(network, out)
    assert written.path == out and written.size == SIZE and [path.name for path in out.parent.iterdir()] == ['model.onnx']
    assert written.agreement.pictures == 2 and written.agreement.equal == 1.0
    assert 0 < written.agreement.difference < 1e-4 < 1 < written.agreement.scale

    file = session(out)
    assert [(part.name, part.shape, part.type) for part in file.get_inputs()] == [('image', [1, 40, 56, 3], 'tensor(uint8)')]
    assert [(part.name, part.shape, part.type) for part in file.get_outputs()] == [('ids', [1, 40, 56], 'tensor(uint8)')]
    image = np.random.default_rng(5).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    ids, = file.run(['ids'], {'image': image[None]})
    expected = network.predict([np.ascontiguousarray(image[..., ::-1])])[0].label  # BGR, through the pipeline
    assert (ids[0] == expected).mean() > 0.999 and len(np.unique(ids)) > 1

    model = onnx.load(str(out))
    onnx.checker.check_model(model)
    about = {part.key: part.value for part in model.metadata_props}
    assert json.loads(about['classes']) == CLASSES and json.loads(about['palette']) == PALETTE
    assert about['image'] == 'uint8, (batch, height, width, 3), RGB, 0..255' and about['weights'] == network.fingerprint()
    assert 'ids' in about and 'logits' not in about
    assert model.producer_name == 'udatools' and model.opset_import[0].version == onnx_export.OPSET
    assert not {'Softmax', 'ReduceMax'} & {node.op_type for node in model.graph.node}  # of the confidence, which nobody wanted


@pytest.mark.slow
@pytest.mark.parametrize('parts', [
    dict(backbone=VGG, decode_head=dict(HEAD, in_channels=64)),
    dict(backbone=BOTTLENECK, decode_head=dict(HEAD, type='DualDeepLabV2Head', in_channels=128, in_index=3)),
    dict(backbone=MIT, decode_head=DAFORMER),
    dict(decode_head=ASPP),
    FCN8S,
], ids=['vgg16', 'bottlenecks, caffe pooling, two classifiers', 'mit, daformer', 'exported deeplabv2', 'vgg16, fcn-8s'])
def test_every_kind_of_network(parts, tmp_path):
    network = predictor(**parts)
    written = export_onnx(network, tmp_path / 'model.onnx', size=SIZE, outputs=['logits', 'confidence', 'ids'])
    assert written.agreement.equal > 0.9999 and written.agreement.difference < 1e-4 * max(1.0, written.agreement.scale)
    image = noise_images(SIZE, seed=9)[0]
    ids, confidence, logits = session(tmp_path / 'model.onnx').run(None, {'image': image[None]})
    label, prob = network.predict([np.ascontiguousarray(image[..., ::-1])])[0]
    assert ids.shape == confidence.shape == (1, *SIZE) and logits.shape == (1, 4, *SIZE)
    assert (ids[0] == label).mean() > 0.999 and np.abs(confidence[0] - prob).max() < 2e-3  # float16 there
    assert len(np.unique(label)) > 1 and np.array_equal(logits.argmax(1), ids)


@pytest.mark.slow
def test_pictures_of_any_size_in_batches(tmp_path):
    network = predictor(decode_head=ASPP)
    written = export_onnx(network, tmp_path / 'model.onnx', size=SIZE, dynamic=True, outputs=['logits'])
    assert written.agreement.pictures == 3 and written.smallest == 32  # two of SIZE in a batch, one of another size
    file = session(tmp_path / 'model.onnx')
    assert file.get_inputs()[0].shape == ['batch', 'height', 'width', 3]
    images = np.stack(noise_images((33, 71), count=3, seed=7))
    logits, = file.run(None, {'image': images})
    for number, image in enumerate(images):
        expected = network.logits([np.ascontiguousarray(image[..., ::-1])])[0].numpy()
        assert np.abs(logits[number] - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.slow
def test_a_network_that_needs_larger_pictures_says_from_which_size_on(tmp_path):
    network = predictor(**FCN8S)
    with pytest.raises(ValueError, match='any size from 32 pixels a side on .*; leave --dynamic out, or give a larger --size'):
        export_onnx(network, tmp_path / 'model.onnx', size=SIZE, dynamic=True)
    written = export_onnx(network, tmp_path / 'model.onnx', size=(72, 104), dynamic=True, outputs=['logits'])
    assert written.smallest == 64 and written.agreement.pictures == 3
    about = {part.key: part.value for part in onnx.load(str(tmp_path / 'model.onnx')).metadata_props}
    assert about['image'].endswith('RGB, 0..255; height and width at least 64')
    for size in ((64, 64), (65, 130)):
        image = noise_images(size, seed=7)[0]
        logits, = session(tmp_path / 'model.onnx').run(None, {'image': image[None]})
        expected = network.logits([np.ascontiguousarray(image[..., ::-1])])[0].numpy()
        assert np.abs(logits[0] - expected).max() < 1e-4 * np.abs(expected).max()


def test_input_that_the_caller_normalises(tmp_path):
    network = predictor(preprocessor=dict(bgr_to_rgb=False))  # the network sees BGR
    export_onnx(network, tmp_path / 'model.onnx', size=SIZE, raw=False, outputs=['logits'])
    file = session(tmp_path / 'model.onnx')
    assert [(part.shape, part.type) for part in file.get_inputs()] == [([1, 3, 40, 56], 'tensor(float)')]
    image = noise_images(SIZE)[0]
    fed = (image[..., ::-1].astype(np.float32) - MEAN) / STD
    logits, = file.run(None, {'image': fed.transpose(2, 0, 1)[None].astype(np.float32)})
    expected = network.logits([np.ascontiguousarray(image[..., ::-1])])[0].numpy()
    assert np.abs(logits[0] - expected).max() < 1e-4 * np.abs(expected).max()
    about = {part.key: part.value for part in onnx.load(str(tmp_path / 'model.onnx')).metadata_props}
    assert about['image'] == ('float32, (batch, 3, height, width), BGR, 0..255, minus [120.0, 110.0, 100.0], divided by '
                              '[60.0, 50.0, 70.0]')


def test_sizes_stay_symbolic_inside_and_mmseg_as_it_was():
    network = DeployedNetwork(predictor(decode_head=ASPP).model)
    with onnx_export._symbolic_sizes(network):
        assert aspp_head.resize.keywords == dict(warning=False)
    assert aspp_head.resize is mmseg.models.utils.resize


def test_channels_in_the_order_of_the_network():
    image = torch.from_numpy(np.stack(noise_images(SIZE)))
    with torch.no_grad():
        networks = [DeployedNetwork(predictor(preprocessor=dict(bgr_to_rgb=rgb)).model).eval() for rgb in (True, False)]
        seen = [network._preprocess(image) for network in networks]
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    rgb = image.permute(0, 3, 1, 2).float()
    assert torch.equal(seen[0], (rgb - mean) / std) and torch.equal(seen[1], (rgb[:, [2, 1, 0]] - mean) / std)


@pytest.fixture(scope='module')
def graph():
    """A network with its graph."""
    network = predictor()
    deployed = DeployedNetwork(network.model, outputs=('logits', 'ids')).eval()
    return network, onnx_export._graph(deployed, SIZE)


def weights_of(model, change):
    """A copy of the graph whose largest weight went through ``change``."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    largest = max(changed.graph.initializer, key=lambda part: len(part.raw_data))
    largest.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(largest)), largest.name))
    return changed


def test_what_differs_is_counted(graph):
    network, model = graph
    images = [[image] for image in noise_images(SIZE)]
    same = compare(model, network, images)
    assert same.pictures == 2 and same.equal == 1.0 and same.difference < 1e-4
    off = compare(weights_of(model, lambda value: value * np.float32(1.5)), network, images)
    assert off.difference > 0.01 and off.equal < 1.0 and off.scale == same.scale


@pytest.mark.parametrize('change', [lambda value: value * np.float32(1.5), lambda value: value * np.float32('nan')],
                         ids=['other weights', 'nan'])
def test_a_graph_that_answers_otherwise_leaves_no_file(graph, tmp_path, monkeypatch, change):
    network, model = graph
    monkeypatch.setattr(onnx_export, '_graph', lambda *args: weights_of(model, change))
    with pytest.raises(ValueError, match='is not written, since onnxruntime does not answer as PyTorch does: logits differ by'):
        export_onnx(network, tmp_path / 'model.onnx', size=SIZE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('agreement, good', [
    (Agreement(2, 0.9e-3, 0.1, 1.0), True),  # relative to 1, not to a scale below it
    (Agreement(2, 1.1e-3, 0.1, 1.0), False), (Agreement(2, 0.9e-2, 10.0, 1.0), True), (Agreement(2, 1.1e-2, 10.0, 1.0), False),
    (Agreement(2, 0.0, 1.0, 0.9991), True), (Agreement(2, 0.0, 1.0, 0.998), False),
    (Agreement(2, float('nan'), 1.0, 1.0), False), (Agreement(2, 0.0, float('nan'), 1.0), True),
])
def test_the_tolerance(graph, tmp_path, monkeypatch, agreement, good):
    network, model = graph
    monkeypatch.setattr(onnx_export, '_graph', lambda *args: weights_of(model, lambda value: value))
    monkeypatch.setattr(onnx_export, 'compare', lambda *args, **kwargs: agreement)
    if good:
        assert export_onnx(network, tmp_path / 'a.onnx', size=SIZE).agreement is agreement
    else:
        with pytest.raises(ValueError, match='allowed is 0.001 of the largest logit'):
            export_onnx(network, tmp_path / 'a.onnx', size=SIZE)


def test_pictures_of_ones_own(graph, tmp_path, monkeypatch):
    network, model = graph
    monkeypatch.setattr(onnx_export, '_graph', lambda *args: weights_of(model, lambda value: value))
    large = np.kron(noise_images(SIZE)[0], np.ones((2, 2, 1), np.uint8))
    assert export_onnx(network, tmp_path / 'a.onnx', size=SIZE, images=[large] * 3).agreement.pictures == 3


def test_what_is_refused(graph, tmp_path, monkeypatch):
    network, model = graph
    (tmp_path / 'there.onnx').write_bytes(b'old')
    flip = dict(type='RandomFlip', prob=0.5)
    slide = dict(mode='slide', crop_size=(32, 48), stride=(24, 36))
    for changed, arguments, kind, message in (
        (network, dict(out='model.pt', size=SIZE), ValueError, 'a name that ends with .onnx'),
        (network, dict(outputs=['labels'], size=SIZE), ValueError, 'ids, confidence, logits'),
        (network, dict(outputs=[], size=SIZE), ValueError, 'ids, confidence, logits'),
        (network, dict(tolerance=0, size=SIZE), ValueError, 'more than 0'),
        (network, dict(out='there.onnx', size=SIZE), FileExistsError, '--overwrite'),
        (network, dict(), ValueError, 'no fixed size; say which pictures'),
        (network, dict(size=(0, 8)), ValueError, 'both at least 1'),
        (predictor([LOAD, flip, PACK]), dict(size=SIZE), ValueError, 'changes pictures by RandomFlip'),
        (predictor([LOAD, dict(type='Resize', scale=(56, 40), keep_ratio=True), PACK]), dict(), ValueError, 'no fixed size'),
        (predictor(test_cfg=slide), dict(size=SIZE), ValueError, r'one, --size 32 48, and slide it .* by \(24, 36\)'),
        (predictor(preprocessor=dict(test_cfg=dict(size_divisor=32))), dict(size=SIZE), ValueError, 'pads 40x56 to 64x64'),
    ):
        with pytest.raises(kind, match=message):
            export_onnx(changed, tmp_path / arguments.pop('out', 'model.onnx'), **arguments)
    with pytest.raises(ValueError, match='got a Conv2d; expected an EncoderDecoder'):
        DeployedNetwork(torch.nn.Conv2d(1, 1, 1))
    monkeypatch.setattr(onnx_export, '_PACKAGES', ('onnx', 'no_such_package'))
    with pytest.raises(CompatError, match=r'ONNX files need no_such_package; run `pip install "udatools\[onnx\]"`'):
        export_onnx(network, tmp_path / 'model.onnx', size=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == ['there.onnx'] and (tmp_path / 'there.onnx').read_bytes() == b'old'
    monkeypatch.undo()
    monkeypatch.setattr(onnx_export, '_graph', lambda *args: weights_of(model, lambda value: value))
    assert export_onnx(network, tmp_path / 'there.onnx', size=SIZE, overwrite=True).agreement.equal == 1.0


def test_noise_has_dark_and_bright_spots_of_all_colours():
    images = noise_images((60, 90), count=3, seed=2)
    assert all(image.shape == (60, 90, 3) and image.dtype == np.uint8 for image in images)
    assert not np.array_equal(images[0], images[1]) and np.array_equal(images[0], noise_images((60, 90), seed=2)[0])
    assert min(image.std((0, 1)).min() for image in images) > 30
