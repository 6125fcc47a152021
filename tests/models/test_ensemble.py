# SPDX-License-Identifier: Apache-2.0
"""The mean of several models' probabilities."""
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.structures import SegDataSample
from shrink import REPO, shrink

import udatools  # noqa: F401
from udatools.engine.runner.stages import resolve_references
from udatools.registry import MODELS

SIZE = (32, 64)


@pytest.fixture(scope='module')
def model_cfg():
    init_default_scope('mmseg')
    cfg = shrink(REPO / 'configs' / 'source_only' / 'source_only_minidrive.py', data={}, work_dir='unused')
    return resolve_references(cfg).model


def build(cfg, count):
    torch.manual_seed(0)
    return MODELS.build(dict(type='EnsembleSegmentor', model=cfg, count=count)).eval()


def sample():
    return SegDataSample(metainfo=dict(ori_shape=SIZE, img_shape=SIZE))


@pytest.mark.parametrize('plain', [False, True], ids=['training config', 'exported config'])
def test_mean_of_probabilities(model_cfg, plain):
    cfg = dict(model_cfg.segmentor, data_preprocessor=model_cfg.data_preprocessor) if plain else model_cfg
    ensemble = build(cfg, 3)
    picture = torch.randint(0, 256, (3, *SIZE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    data = ensemble.data_preprocessor({'inputs': [picture], 'data_samples': [sample()]}, False)
    answer = ensemble(data['inputs'], data['data_samples'])[0]
    total = torch.zeros(19, *SIZE)
    for member in ensemble.members:
        segmentor = member if plain else member.segmentor
        with torch.no_grad():
            total += segmentor.encode_decode(data['inputs'], [sample().metainfo])[0].softmax(0)
    torch.testing.assert_close(answer.seg_logits.data, total / 3, rtol=1e-5, atol=1e-6)
    assert torch.equal(answer.pred_sem_seg.data[0], total.argmax(0))
    alone = ensemble.members[0](data['inputs'], [sample()], 'predict')[0]
    assert not torch.equal(alone.pred_sem_seg.data, answer.pred_sem_seg.data)  # three members of their own weights


def test_refused(model_cfg):
    with pytest.raises(ValueError, match='count is 0'):
        build(model_cfg, 0)
    with pytest.raises(NotImplementedError, match="mode 'loss' is for each of its members"):
        build(model_cfg, 1)(torch.zeros(1, 3, *SIZE), [sample()], 'loss')
