# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints: the converted network gives the logits of a plain PyTorch module in the published layout."""
import argparse
import json
import runpy
import sys

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

import udatools  # noqa: F401
from udatools.engine.cli import evaluate
from udatools.engine.model_converters import LAYOUTS, ConversionError, convert_checkpoint, read_published
from udatools.engine.model_converters.layouts import clean_keys, convert_state, detect_layout, is_untouched
from udatools.engine.runner.stages import resolve_references
from udatools.models.backbones.weights import load_backbone_weights
from udatools.registry import DATASETS, MODELS

WIDTH = 4
MEAN = np.array((104.00698793, 116.66876762, 122.67891434), np.float32)  # blue, green, red
SIZE = (100, 68)  # width, height of the network's input: ceil pooling matters
NARROW = {  # our networks as narrow as the references below
    'single': {'segmentor.backbone.base_channels': WIDTH, 'segmentor.backbone.stem_channels': WIDTH,
               'segmentor.decode_head.in_channels': 32 * WIDTH},
    'vgg16': {'segmentor.backbone.base_channels': WIDTH, 'segmentor.decode_head.in_channels': 16 * WIDTH},
}
NARROW['multi'] = NARROW['single'] | {'segmentor.auxiliary_head.in_channels': 16 * WIDTH}


# ---- references: the published layout in plain PyTorch, written from its description ---------------------------------


class Classifier(nn.Module):
    """One dilated 3x3 convolution a rate, summed; ``used`` of them."""

    def __init__(self, channels, classes, used):
        super().__init__()
        self.used = used
        self.conv2d_list = nn.ModuleList(nn.Conv2d(channels, classes, 3, padding=d, dilation=d) for d in (6, 12, 18, 24))

    def forward(self, x):
        total = self.conv2d_list[0](x)
        for branch in self.conv2d_list[1:self.used]:
            total = total + branch(x)
        return total


class CaffeBottleneck(nn.Module):
    """1x1 with the stride, 3x3 with the dilation, 1x1."""

    def __init__(self, inputs, planes, stride, dilation, project):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = nn.Sequential(
            nn.Conv2d(inputs, 4 * planes, 1, stride=stride, bias=False), nn.BatchNorm2d(4 * planes)) if project else None

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class PublishedResNet(nn.Module):
    """ResNet-101 with ``layer5`` (and ``layer6``) as classifiers; returns (aux, main) or (main, )."""

    def __init__(self, *, levels, classes=19, width=WIDTH, used=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for number, (blocks, stride, dilation) in enumerate(((3, 1, 1), (4, 2, 1), (23, 1, 2), (3, 1, 4)), start=1):
            planes, layer = width * 2**(number - 1), []
            for index in range(blocks):
                layer.append(CaffeBottleneck(channels, planes, stride if index == 0 else 1, dilation, project=index == 0))
                channels = 4 * planes
            setattr(self, f'layer{number}', nn.Sequential(*layer))
        if levels == 'multi':
            self.layer5, self.layer6 = Classifier(16 * width, classes, used), Classifier(32 * width, classes, used)
        else:
            setattr(self, levels, Classifier(32 * width, classes, used))

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1, ceil_mode=True)
        level3 = self.layer3(self.layer2(self.layer1(x)))
        level4 = self.layer4(level3)
        if hasattr(self, 'layer5') and hasattr(self, 'layer6'):
            return self.layer5(level3), self.layer6(level4)
        return ((self.layer5 if hasattr(self, 'layer5') else self.layer6)(level4), )


class PublishedVGG(nn.Module):
    """One chain of layers with fc6 and fc7 at its end, no pool4 and pool5; ``classifier``."""

    def __init__(self, *, classes=19, width=WIDTH, used=4):
        super().__init__()
        layers, channels = [], 3
        for item in (1, 1, 'pool', 2, 2, 'pool', 4, 4, 4, 'pool', 8, 8, 8, 'conv5', 8, 8, 8):
            if item == 'pool':
                layers.append(nn.MaxPool2d(2, 2))
            elif item != 'conv5':
                dilation = 2 if len(layers) >= 23 else 1
                layers += [nn.Conv2d(channels, item * width, 3, padding=dilation, dilation=dilation), nn.ReLU()]
                channels = item * width
        for inputs in (8 * width, 16 * width):
            layers += [nn.Conv2d(inputs, 16 * width, 3, padding=4, dilation=4), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.classifier = Classifier(16 * width, classes, used)

    def forward(self, x):
        return (self.classifier(self.features(x)), )


@torch.no_grad()
def randomise(network, seed=0):
    """Weights that keep the scale of activations, and statistics of batch norm far from their defaults."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            std = 0.5 / fan_in**0.5 if 'conv2d_list' in name else (2 / fan_in)**0.5
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * std)
            if module.bias is not None:
                module.bias.copy_(uniform(module.bias, -0.5, 0.5))
        elif isinstance(module, nn.BatchNorm2d):
            low, high = (0.1, 0.4) if name.endswith('bn3') else (0.7, 1.3)
            module.weight.copy_(uniform(module.weight, low, high))
            module.bias.copy_(uniform(module.bias, -0.3, 0.3))
            module.running_mean.copy_(uniform(module.running_mean, -0.3, 0.3))
            module.running_var.copy_(uniform(module.running_var, 0.5, 1.5))
    return network.eval()


REFERENCES = {
    'single': lambda **kwargs: PublishedResNet(levels='layer5', **kwargs),
    'single, ADVENT': lambda **kwargs: PublishedResNet(levels='layer6', **kwargs),
    'multi': lambda **kwargs: PublishedResNet(levels='multi', **kwargs),
    'vgg16': PublishedVGG,
}


def layout_of(name):
    return name.split(',')[0]


def preprocess(image_rgb, size=SIZE):
    """The authors' steps on a picture: Pillow bicubic, float, BGR, less the mean."""
    array = np.asarray(Image.fromarray(image_rgb).resize(size, Image.BICUBIC), np.float32)
    return torch.from_numpy((array[:, :, ::-1] - MEAN).transpose(2, 0, 1).copy())[None]


# ---- fixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def convert(repo_root, tmp_path):
    """Function: saves a state, converts it, returns (model, its config); ``content`` may be any object."""

    def run(content, expected_layout, /, *, folder='out', **kwargs):
        torch.save(content, tmp_path / 'published.pth')
        kwargs['options'] = NARROW[expected_layout] | kwargs.get('options', {})
        done = convert_checkpoint(tmp_path / 'published.pth', tmp_path / folder, bases=repo_root / 'configs' / '_base_', **kwargs)
        assert done.layout == expected_layout
        if done.config is None:
            return done, None
        cfg = Config.fromfile(done.config)
        model = MODELS.build(cfg.model)
        content = torch.load(done.checkpoint, weights_only=True)
        model.load_state_dict(content['state_dict'], strict=True)
        return model.eval(), cfg

    return run


def outputs(model, inputs):
    """Logits of our heads, coarse, in the order of the references: (aux, ) main."""
    features = model.extract_feat(inputs)
    heads = [model.auxiliary_head] if model.with_auxiliary_head else []
    return [head(features) for head in (*heads, model.decode_head)]


# ---- identical logits ------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize('used', [4, 2], ids=['all branches', 'first two'])
@pytest.mark.parametrize('name', REFERENCES)
def test_identical_logits_from_the_picture_on(name, used, convert, minidrive_root, monkeypatch):
    monkeypatch.setenv('UDATOOLS_CITYSCAPES', str(minidrive_root / 'cityscapes'))
    reference = randomise(REFERENCES[name](used=used))
    model, cfg = convert(reference.state_dict(), layout_of(name), branches='all' if used == 4 else 'first-two')
    dataset_cfg = cfg.test_dataloader.dataset
    dataset_cfg.pipeline[1].scale = SIZE
    dataset = DATASETS.build(dataset_cfg)
    assert len(dataset) == 2
    for item in dataset:
        batch = model.data_preprocessor(dict(inputs=[item['inputs']], data_samples=[item['data_samples']]), False)
        inputs = preprocess(np.asarray(Image.open(item['data_samples'].img_path)))
        assert torch.equal(batch['inputs'], inputs)
        for own, published in zip(outputs(model, batch['inputs']), reference(inputs), strict=True):
            assert published.std() > 0.05 and torch.equal(own, published)
        upsampled = F.interpolate(published, inputs.shape[2:], mode='bilinear', align_corners=True)
        assert torch.equal(model.encode_decode(batch['inputs'], [dict(img_shape=SIZE[::-1])]), upsampled)


@pytest.mark.parametrize('name', REFERENCES)
def test_full_width_has_the_published_names_and_shapes(name, repo_root):
    layout = LAYOUTS[layout_of(name)]
    cfg = Config.fromfile(repo_root / 'configs' / '_base_' / 'models' / layout.model)
    cfg.merge_from_dict(dict(num_classes=19))
    with torch.device('meta'):
        published = REFERENCES[name](width=64).state_dict()
        expected = MODELS.build(resolve_references(cfg).segmentor.to_dict()).state_dict()
    assert detect_layout(published) is layout
    state, _ = convert_state(published, layout, branches='all')
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in expected.items()}


@torch.no_grad()
def test_tools_test_reports_what_the_reference_scores(convert, minidrive_root, tmp_path, monkeypatch):
    monkeypatch.setenv('UDATOOLS_CITYSCAPES', str(minidrive_root / 'cityscapes'))
    reference = randomise(REFERENCES['multi']())
    convert(reference.state_dict(), 'multi', protocols=['cityscapes19', 'synthia13'])
    options = {'test_dataloader.dataset.pipeline.1.scale': SIZE, 'test_dataloader.num_workers': 0,
               'test_dataloader.persistent_workers': False}
    metrics = evaluate(str(tmp_path / 'out' / 'config.py'), str(tmp_path / 'out' / 'model.pth'), options=options)

    confusion = np.zeros((19, 20), np.int64)
    for path in sorted((minidrive_root / 'cityscapes' / 'leftImg8bit' / 'val').rglob('*.png')):
        label_path = str(path).replace('leftImg8bit.png', 'gtFine_labelTrainIds.png').replace('leftImg8bit', 'gtFine')
        label = np.asarray(Image.open(label_path)).astype(np.int64)
        inputs = preprocess(np.asarray(Image.open(path)))
        logits = F.interpolate(reference(inputs)[-1], inputs.shape[2:], mode='bilinear', align_corners=True)
        logits = F.interpolate(logits, label.shape, mode='bilinear', align_corners=True)
        np.add.at(confusion, (logits[0].argmax(0).numpy(), np.where(label == 255, 19, label)), 1)
    confusion = confusion[:, :19]
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    iou = 100 * hit / np.maximum(union, 1)
    assert hit.sum() > 0
    assert metrics['mIoU'] == pytest.approx(iou[union > 0].mean(), abs=0.01)
    assert 'synthia13/mIoU' in metrics
    assert json.loads((tmp_path / 'out' / 'test' / 'metrics.json').read_text())['mIoU'] == metrics['mIoU']


# ---- names, wrappers, prefixes ---------------------------------------------------------------------------------------


def state_of(name='single', seed=0, **kwargs):
    return dict(randomise(REFERENCES[name](**kwargs), seed).state_dict())


def same(model, state):
    """Whether the converted classifier and stem are those of the published single-level state."""
    return (torch.equal(model.decode_head.branches[3].weight, state['layer5.conv2d_list.3.weight'])
            and torch.equal(model.backbone.conv1.weight, state['conv1.weight']))


@pytest.mark.parametrize('prefix', ['module.', 'Scale.', 'module.Scale.'])
@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: {'state_dict': s, 'epoch': 3}, lambda s: {'iter': 1, 'model': s}],
                         ids=['bare', 'state_dict', 'model'])
def test_prefixes_and_wrappers(prefix, wrap, convert):
    state = state_of()
    model, _ = convert(wrap({prefix + key: value for key, value in state.items()}), 'single')
    assert same(model, state)


def test_files_of_old_torch_and_without_counters(convert, tmp_path):
    state = {key: value for key, value in state_of().items() if 'num_batches_tracked' not in key}
    model, _ = convert(state, 'single')
    assert same(model, state) and int(model.backbone.bn1.num_batches_tracked) == 0
    torch.save(state, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert read_published(tmp_path / 'old.pth')[0].keys() == state.keys()


def test_foreign_names_are_mapped_by_the_user(convert):
    state = state_of()
    foreign = {(f'net.trunk.{key}' if not key.startswith('layer5') else key.replace('layer5.conv2d_list.', 'net.aspp.b')): value
               for key, value in state.items()} | {'net.fc.weight': torch.zeros(2, 2)}
    with pytest.raises(ConversionError, match=r'no layout.*classifiers none.*net\.aspp, net\.fc, net\.trunk.*--rename'):
        convert(foreign, 'single')
    model, _ = convert(foreign, 'single', rename=[(r'^net\.', ''), (r'^trunk\.', ''), (r'^aspp\.b', 'layer5.conv2d_list.'),
                                                  (r'^fc\..*', '')])
    assert same(model, state)
    with pytest.raises(ConversionError, match=r'--rename \(=: .*regular expression'):
        convert(foreign, 'single', folder='other', rename=[('(', '')])


def test_two_keys_that_become_one(convert):
    state = state_of()
    with pytest.raises(ConversionError, match=r'conv1\.weight and module\.conv1\.weight both become conv1\.weight'):
        clean_keys(state | {'module.conv1.weight': state['conv1.weight']})
    with pytest.raises(ConversionError, match=r'layer6\.conv2d_list\.0\.weight are both decode_head'):
        convert_state(state_of('multi'), LAYOUTS['single'])


# ---- branches --------------------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(('fresh', 'expected'), [((), 'all'), ((2, 3), 'first-two'), ((0, 1, 2, 3), 'all'), ((3, ), 'all')])
def test_untrained_branches_are_recognised(fresh, expected, convert, tmp_path):
    reference = randomise(REFERENCES['multi'](used=2 if expected == 'first-two' else 4))
    for head in (reference.layer5, reference.layer6):
        for index in fresh:
            nn.init.normal_(head.conv2d_list[index].weight, std=0.01, generator=torch.Generator().manual_seed(index))
    model, cfg = convert(reference.state_dict(), 'multi')
    assert cfg.model.decode_head.get('dilations', (6, 12, 18, 24)) == ((6, 12) if expected == 'first-two' else (6, 12, 18, 24))
    x = torch.randn(1, 3, 65, 65, generator=torch.Generator().manual_seed(1))
    for own, published in zip(outputs(model, x), reference(x), strict=True):
        assert torch.equal(own, published)
    assert torch.load(tmp_path / 'out' / 'model.pth', weights_only=True)['meta']['converted']['branches'] == expected


def test_what_counts_as_untouched():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(19, 2048, 3, 3, generator=generator) * 0.01
    assert is_untouched(weight)
    assert not is_untouched(weight * 0.95)  # weight decay alone
    assert not is_untouched(weight + 0.001) and not is_untouched(torch.zeros_like(weight))
    uniform = (torch.rand(19, 2048, 3, 3, generator=generator) - 0.5) * 0.01 * 12**0.5
    assert uniform.std() == pytest.approx(0.01, rel=0.01) and not is_untouched(uniform)
    for seed in range(50):  # fresh weights of small heads too
        assert is_untouched(torch.randn(11, 32, 3, 3, generator=torch.Generator().manual_seed(seed)) * 0.01)


# ---- what is refused, and that nothing is written then ---------------------------------------------------------------


def drop(state, key):
    return {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(('change', 'kwargs', 'message'), [
    (lambda s: drop(s, 'layer3.7.conv2.weight'), {},
     r'1 parameters of the network are missing: backbone\.layer3\.7\.conv2\.weight'),
    (lambda s: s | {'layer4.9.conv1.weight': s['conv1.weight']}, {}, r'1 have no place.*layer4\.9\.conv1\.weight'),
    (lambda s: s | {'D1.weight': s['conv1.weight']}, {}, r'1 of \d+ keys are not part of the layout single: D1\.weight'),
    (lambda s: s | {'conv1.weight': torch.zeros(4, 3, 3, 3)}, {},
     r'backbone\.conv1\.weight \(4, 3, 3, 3\) instead of \(4, 3, 7, 7\)'),
    (lambda s: s | {'bn1.bias': torch.full((4, ), float('nan'))}, {}, r'not finite: backbone\.bn1\.bias'),
    (lambda s: s, dict(classes='synthia16'), r'19 outputs, the class set synthia16 has 16; choose --classes cityscapes19'),
    (lambda s: s, dict(classes='nineteen'), 'nineteen.*choose one of cityscapes19'),
    (lambda s: s, dict(protocols=['camvid11']), 'protocols camvid11 need classes that cityscapes19 does not have'),
    (lambda s: s, dict(layout='vgg16'), 'keys are not part of the layout vgg16: conv1.weight'),
    (lambda s: s, dict(preprocessing='rgb'), "preprocessing is 'rgb'; expected one of caffe, imagenet-rgb"),
    (lambda s: s | {'layer6.conv2d_list.0.weight': s['layer5.conv2d_list.0.weight']}, {}, 'layer5 and layer6 take 128 and 128'),
    (lambda s: {'weights': s, 'epoch': 1}, {}, 'holds the entries weights, epoch; expected tensors by name'),
    (lambda s: [1, 2], {}, 'holds list; expected tensors by name'),
    (lambda s: {'state_dict': s, 'args': argparse.Namespace(lr=1)}, {}, 'Files that hold other Python objects are refused'),
])
def test_refused(change, kwargs, message, convert, tmp_path):
    with pytest.raises((ConversionError, KeyError), match=message):
        convert(change(state_of()), 'single', **kwargs)
    assert not (tmp_path / 'out').exists()


def test_broken_and_missing_files(repo_root, tmp_path):
    (tmp_path / 'cut.pth').write_bytes(b'PK\x03\x04 cut')
    for name, message in (('cut.pth', 'cannot be read as a file of tensors'), ('none.pth', 'cannot be read .No such file')):
        with pytest.raises(ConversionError, match=message):
            convert_checkpoint(tmp_path / name, tmp_path / 'out', bases=repo_root / 'configs' / '_base_')
    assert not (tmp_path / 'out').exists()


def test_nothing_is_overwritten_unless_forced(convert, tmp_path):
    convert(state_of(seed=0), 'single')
    before = (tmp_path / 'out' / 'model.pth').read_bytes()
    second = state_of(seed=1)
    with pytest.raises(ConversionError, match=r'model\.pth and .*config\.py already there.*--force'):
        convert(second, 'single')
    assert (tmp_path / 'out' / 'model.pth').read_bytes() == before
    model, _ = convert(second, 'single', force=True)
    assert same(model, second)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['config.py', 'model.pth']


def test_the_published_file_itself_is_safe(repo_root, tmp_path):
    torch.save(state_of(), tmp_path / 'model.pth')
    with pytest.raises(ConversionError, match='is the published file itself'):
        convert_checkpoint(tmp_path / 'model.pth', tmp_path, bases=repo_root / 'configs' / '_base_', force=True)


# ---- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('classes', 'protocols', 'dataset'), [('synthia16', ['synthia16', 'synthia13'], 'CityscapesDomain'),
                                                              ('camvid11', [], 'CamVidDomain')])
def test_config_for_other_class_sets(classes, protocols, dataset, convert, tmp_path, monkeypatch):
    monkeypatch.setenv('UDATOOLS_CITYSCAPES', 'elsewhere/cityscapes')
    monkeypatch.delenv('UDATOOLS_REAL_DATA', raising=False)
    count = int(classes[-2:])
    _, cfg = convert(state_of(classes=count), 'single', classes=classes, protocols=protocols)
    test_set = cfg.test_dataloader.dataset
    assert (test_set.type, test_set.classes, test_set.split) == (dataset, classes, 'val')
    assert test_set.data_root == {'CityscapesDomain': 'elsewhere/cityscapes', 'CamVidDomain': 'data/real/camvid'}[dataset]
    assert [one.protocol for one in cfg.test_evaluator] == (protocols or ['camvid11'])
    meta = torch.load(tmp_path / 'out' / 'model.pth', weights_only=True)['meta']
    assert len(meta['dataset_meta']['classes']) == len(meta['dataset_meta']['palette']) == count
    assert meta['converted']['source'] == 'published.pth' and len(meta['converted']['sha256']) == 64
    assert '/tmp' not in (tmp_path / 'out' / 'config.py').read_text()


def test_preprocessing_of_other_code_bases(convert):
    image = torch.arange(3 * 8 * 8, dtype=torch.uint8).reshape(3, 8, 8)  # blue, green, red
    values = {}
    for name in ('imagenet-rgb', 'imagenet-bgr'):
        model, _ = convert(state_of(), 'single', folder=name, preprocessing=name)
        values[name] = model.data_preprocessor(dict(inputs=[image]), False)['inputs'][0]
    red = (image[2].float() - 123.675) / 58.395
    torch.testing.assert_close(values['imagenet-rgb'][0], red)
    torch.testing.assert_close(values['imagenet-bgr'][2], red)


def test_backbone_alone_starts_a_training(convert, tmp_path):
    state = state_of(classes=21)  # the classes of the classifier do not matter
    done, cfg = convert({f'Scale.{key}': value for key, value in state.items()}, 'single', backbone_only=True)
    assert cfg is None and not (tmp_path / 'out' / 'config.py').exists()
    network = MODELS.build(dict(type='UDAResNet', depth=101, base_channels=WIDTH, stem_channels=WIDTH, style='caffe',
                                caffe_pooling=True, weights=str(done.checkpoint)))
    load_backbone_weights(network, str(done.checkpoint))
    assert torch.equal(network.layer4[2].bn3.running_var, state['layer4.2.bn3.running_var'])


def test_command_line(repo_root, tmp_path, monkeypatch, capsys):
    torch.save({key.replace('layer5', 'head'): value for key, value in state_of().items()}, tmp_path / 'in.pth')
    script = str(repo_root / 'tools' / 'model_converters' / 'deeplabv2.py')

    def call(*args):
        monkeypatch.setattr(sys, 'argv', [script, str(tmp_path / 'in.pth'), str(tmp_path / 'out'), *args])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(script, run_name='__main__')
        return stop.value.code, capsys.readouterr()

    narrow = [f'{key}={value}' for key, value in NARROW['single'].items()]
    code, streams = call('--cfg-options', *narrow)
    assert code == 1 and streams.err.startswith('error: ') and 'Traceback' not in streams.err
    assert 'classifiers head, keys beginning with' in streams.err
    code, streams = call('--rename', r'^head=layer5', '--cfg-options', *narrow)
    assert code == 0 and 'layout single' in streams.out and 'branches: all' in streams.out
    assert (tmp_path / 'out' / 'config.py').is_file()
    assert call('--rename', 'head')[0] == 2
