# SPDX-License-Identifier: Apache-2.0
"""From a stage's checkpoint to a stock mmseg model (that it gives the same logits is tests/integration/test_configs.py)."""
import pytest
import torch
from mmengine.config import Config

from udatools.engine.export import export_plain, plain_model
from udatools.registry import MODELS

HEAD = dict(type='DeepLabV2Head', in_channels=8, in_index=3, num_classes=3, dilations=(2, 4), align_corners=False)
RESNET = dict(type='UDAResNet', depth=18, weights='torchvision://resnet18', bn_mode='eval')


def config(backbone=RESNET, head=HEAD, **kwargs):
    return dict(type='UDASegmentor', objectives=[dict(type='SegmentationCE')],
                data_preprocessor=dict(type='UDADataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3),
                segmentor=dict(type='EncoderDecoder', backbone=dict(backbone), decode_head=dict(head), **kwargs))


def weights():
    state = {f'decode_head.branches.{i}.{part}': torch.rand(shape) for i in range(2)
             for part, shape in (('weight', (3, 8, 3, 3)), ('bias', (3, )))}
    return state | {'backbone.conv1.weight': torch.rand(2, 2), 'auxiliary_head.conv_seg.weight': torch.rand(1)}


def test_stock_names_only():
    model, state, plain = plain_model(config(auxiliary_head=dict(type='DeepLabV2Head')), weights())
    assert plain
    assert (model['type'], model['backbone']['type'], model['decode_head']['type']) == ('EncoderDecoder', 'ResNet', 'ASPPHead')
    assert model['data_preprocessor']['type'] == 'SegDataPreProcessor' and 'auxiliary_head' not in model
    assert not {'objectives', 'weights', 'bn_mode'} & (model.keys() | model['backbone'].keys())
    assert 'backbone.conv1.weight' in state
    assert not [key for key in state if 'branches' in key or key.startswith(('auxiliary_head', 'segmentor', 'objectives'))]


@pytest.mark.parametrize('cfg', [
    config(backbone=dict(type='DilatedVGG16', weights='torchvision://vgg16')),
    config(backbone=RESNET | dict(caffe_pooling=True)),
    config(head=HEAD | dict(dilations=(1, 2))),
    config(head=dict(type='DAFormerHead', in_channels=(8, ), num_classes=3)),
], ids=['vgg', 'caffe pooling', 'dilation 1', 'daformer'])
def test_what_stock_mmseg_cannot_say_stays_ours(cfg, tmp_path):
    model, state, plain = plain_model(cfg, weights())
    assert not plain
    assert model['backbone'].get('weights', 'scratch') == 'scratch'  # nobody downloads weights to load others


def test_mix_transformers_and_heads_of_mmseg_need_nothing_of_ours():
    backbone = dict(type='UDAMixVisionTransformer', weights='mmseg://mit_b0', embed_dims=32, num_layers=(2, 2, 2, 2))
    model, state, plain = plain_model(config(backbone, head=dict(type='SegformerHead', num_classes=3)), weights())
    assert plain and model['decode_head']['type'] == 'SegformerHead'
    assert model['backbone'] == dict(type='MixVisionTransformer', embed_dims=32, num_layers=(2, 2, 2, 2))
    assert 'decode_head.branches.0.weight' in state


def test_files(tmp_path):
    checkpoint = tmp_path / 'iter_3.pth'
    state = {f'segmentor.{key}': value for key, value in weights().items()} | {'objectives.d.weight': torch.rand(1)}
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=dict(classes=('a', 'b', 'c')))), checkpoint)
    cfg = Config(dict(model=config(), test_cfg=dict(type='TestLoop'), lr=1))
    assert export_plain(cfg, checkpoint, tmp_path / 'final') == dict(checkpoint='final/model.pth', config='final/config.py')
    written = Config.fromfile(str(tmp_path / 'final/config.py'))
    assert written.default_scope == 'mmseg' and written.test_cfg.type == 'TestLoop' and 'lr' not in written
    assert 'custom_imports' not in written
    content = torch.load(tmp_path / 'final/model.pth', weights_only=True)  # loads under the safe default of torch
    assert content['meta']['dataset_meta']['classes'] == ('a', 'b', 'c')
    assert all(key.startswith(('backbone.', 'decode_head.')) for key in content['state_dict'])


def test_two_classifiers_become_one_stock_head_with_the_summed_logits():
    torch.manual_seed(0)
    cfg = HEAD | dict(type='DualDeepLabV2Head', in_index=0)
    ours = MODELS.build(dict(cfg)).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    state = {f'decode_head.{key}': value for key, value in ours.state_dict().items()} | {'backbone.a': torch.ones(1)}
    model, exported, plain = plain_model(config(head=cfg), dict(state))
    assert plain and model['decode_head']['type'] == 'ASPPHead'
    stock = MODELS.build(model['decode_head']).eval()
    stock.load_state_dict({key.removeprefix('decode_head.'): value for key, value in exported.items() if 'decode_head' in key})
    feature = [torch.randn(2, 8, 9, 10)]
    torch.testing.assert_close(stock(feature), ours(feature), rtol=1e-4, atol=1e-4)

    near = cfg | dict(dilations=(1, 2))  # a branch of dilation 1 keeps our head, still a single one
    model, exported, plain = plain_model(config(head=near), dict(state))
    assert not plain and model['decode_head']['type'] == 'DeepLabV2Head'
    assert not [key for key in exported if 'second' in key] and exported['backbone.a'] == 1
    expected = ours.branches[1].bias + ours.second_branches[1].bias
    assert torch.equal(exported['decode_head.branches.1.bias'], expected)
