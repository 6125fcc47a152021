# SPDX-License-Identifier: Apache-2.0
"""DAFormer's network and its feature distance: MiT with named weights, the head against a literal one, the frozen backbone."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.backbones import MixVisionTransformer
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import udatools  # noqa: F401
from udatools.models.backbones.weights import PUBLISHED, WeightsUnavailableError, resolve_weights
from udatools.models.objectives import FeatureDistance
from udatools.models.segmentors import DomainBatch, UDABatch, UDASegmentor

MIT = dict(type='UDAMixVisionTransformer', weights='scratch', embed_dims=4, num_layers=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
HEAD = dict(type='DAFormerHead', in_channels=(4, 4, 8, 8), num_classes=3, embed_dims=4, channels=6, dilations=(1, 2),
            dropout_ratio=0.0)


def make_samples(label):
    return [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in label]


def build(cfg, seed=0, **kwargs):
    torch.manual_seed(seed)
    return MODELS.build(dict(cfg, **kwargs))


@pytest.fixture
def weights(tmp_path):
    """A file of weights, and the network that they are of."""
    network = build(MIT, seed=7, drop_path_rate=0.5).eval()
    network.init_weights()
    torch.save(network.state_dict() | {'head.weight': torch.zeros(10, 8)}, tmp_path / 'mit.pth')
    return str(tmp_path / 'mit.pth'), network


# -- backbone ----------------------------------------------------------------------------------------------------------------


def test_the_full_size_is_that_of_b5():
    with torch.device('meta'):
        network = MODELS.build(dict(MIT, embed_dims=64, num_layers=(3, 6, 40, 3), num_heads=(1, 2, 5, 8), drop_path_rate=0.1))
        stock_rates = [block.ffn.dropout_layer.drop_prob for layer in network.layers for block in layer[1]]
    assert 81e6 < sum(parameter.numel() for parameter in network.parameters()) < 82e6
    assert stock_rates == pytest.approx([0.1 * i / 51 for i in range(52)], abs=1e-6)


def test_weights_are_loaded_and_never_random_without_being_told(weights):
    path, expected = weights
    network = build(MIT, weights=path).eval()
    network.init_weights()
    x = torch.randn(1, 3, 32, 64)
    outputs = network(x)
    assert [tuple(output.shape) for output in outputs] == [(1, 4, 8, 16), (1, 4, 4, 8), (1, 8, 2, 4), (1, 8, 1, 2)]
    for output, reference in zip(outputs, expected(x), strict=True):
        torch.testing.assert_close(output, reference)
    with pytest.raises(TypeError, match='weights'):
        MODELS.build({key: value for key, value in MIT.items() if key != 'weights'})
    with pytest.raises(WeightsUnavailableError, match='does not fit UDAMixVisionTransformer'):
        build(MIT, weights=path, embed_dims=8).init_weights()


def test_published_names(monkeypatch, tmp_path):
    name = PUBLISHED['mmseg']['mit_b5']
    assert all(len(file.removesuffix('.pth').rsplit('-', 1)[1]) == 8 for file in PUBLISHED['mmseg'].values())
    monkeypatch.setenv('UDATOOLS_WEIGHTS', str(tmp_path))
    (tmp_path / name).write_bytes(b'x')
    assert resolve_weights('mmseg://mit_b5') == tmp_path / name
    with pytest.raises(WeightsUnavailableError, match="no mmseg weights are known as 'mit_b9'; choose one of mit_b0, "):
        resolve_weights('mmseg://mit_b9')


# -- head --------------------------------------------------------------------------------------------------------------------


def test_head_against_a_literal_one():
    head = build(HEAD).eval()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    features = [torch.randn(2, c, 16 >> i, 32 >> i) for i, c in enumerate(HEAD['in_channels'])]

    def layer(x, module, **kwargs):  # convolution, batch norm at mean 0 and variance 1, ReLU
        x = F.conv2d(x, module.conv.weight, **kwargs) / (1 + module.bn.eps)**0.5
        return F.relu(x * module.bn.weight[:, None, None] + module.bn.bias[:, None, None])

    scales = [F.interpolate(F.conv2d(x, e.weight, e.bias), (16, 32), mode='bilinear') for x, e in zip(features, head.embeddings)]
    fused = torch.cat(scales, 1)
    assert fused.shape[1] == 16
    near, far = head.branches
    branches = [layer(fused, near),
                layer(layer(fused, far.depthwise_conv, padding=2, dilation=2, groups=16), far.pointwise_conv)]
    bottleneck = layer(torch.cat(branches, 1), head.bottleneck, padding=1)
    expected = F.conv2d(bottleneck, head.conv_seg.weight, head.conv_seg.bias)
    torch.testing.assert_close(head(features), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match='dilations is'):
        build(HEAD, dilations=())


# -- feature distance --------------------------------------------------------------------------------------------------------


def objective(path, **kwargs):
    return FeatureDistance(dict(MIT, weights=path, drop_path_rate=0.5), classes='cityscapes19', **kwargs)


def test_distance_to_the_file_on_cells_of_things(weights):
    path, network = weights
    images, features = torch.randn(1, 3, 32, 64), torch.randn(1, 8, 1, 2).requires_grad_()
    label = torch.full((1, 32, 64), 13)  # car
    label[..., 32:] = 0  # road
    source = DomainBatch(images, label, (torch.zeros(1, 4, 8, 16), features))
    own = objective(path, loss_weight=0.1)
    state = torch.get_rng_state()
    loss = own(UDABatch(source=source), None)['loss_features']
    assert torch.equal(torch.get_rng_state(), state)  # a resumed run loads it too
    expected = 0.1 * float((features[0, :, 0, 0] - network(images)[-1][0, :, 0, 0]).norm())
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert features.grad[..., 0].abs().sum() > 0 and features.grad[..., 1].abs().sum() == 0
    assert not list(own.parameters()) and not own.state_dict()
    source.label = torch.zeros_like(label)
    assert float(own(UDABatch(source=source), None)['loss_features']) == 0


def test_things_are_those_of_the_class_set(weights):
    path, _ = weights
    assert objective(path).ids.tolist() == [6, 7, 11, 12, 13, 14, 15, 16, 17, 18]
    viper = FeatureDistance(dict(MIT, weights=path), classes='viper15')
    assert viper.ids.tolist() == [5, 6, 10, 11, 12, 13, 14]
    with pytest.raises(ValueError, match='none of the things tram'):
        objective(path, things=('tram', ))
    with pytest.raises(ValueError, match="weights='scratch'"):
        FeatureDistance(MIT, classes='cityscapes19')


def test_daformer_in_a_segmentor_trains_every_parameter(weights):
    path, _ = weights
    backbone = dict(MIT, weights=path)
    model = UDASegmentor(
        dict(type='EncoderDecoder', backbone=backbone, decode_head=dict(HEAD, num_classes=19), train_cfg=dict(),
             test_cfg=dict(mode='whole')),
        teacher=dict(momentum=0.9), mixing=dict(type='ClassMix', ignore_rows=(1, 2)),
        objectives=[dict(type='SegmentationCE', name='source'), dict(type='SegmentationCE', name='mixed', domain='mixed'),
                    dict(type='FeatureDistance', backbone=backbone, classes='cityscapes19')])
    label = torch.full((2, 32, 64), 13)
    losses = model.loss({name: torch.randn(2, 3, 32, 64) for name in ('source', 'target')},
                        {'source': make_samples(label), 'target': make_samples(torch.full_like(label, 255))})
    assert set(losses) == {'source.loss_main', 'mixed.loss_main', 'FeatureDistance.loss_features'}
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.segmentor.parameters())
    assert isinstance(model.segmentor.backbone, MixVisionTransformer)
