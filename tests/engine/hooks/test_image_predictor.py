# SPDX-License-Identifier: Apache-2.0
"""Prediction in two halves: the same bits as in one, small in between; views and models are averaged."""
import pickle

import pytest
import torch
import torch.nn.functional as F

from udatools.engine.inference import ImagePredictor, TargetImages, build_predictor, predict_prob


@pytest.fixture
def images(setup):
    return TargetImages(setup.dataset)


@pytest.fixture
def model(setup):
    return build_predictor(setup.model, setup.checkpoint)


def test_one_view_of_one_model_is_predict_prob_bit_for_bit(images, model):
    predictor = ImagePredictor([model], images)
    for i in range(len(images)):
        compact = predictor.infer(i)
        assert compact.size == (24, 40) and compact.input_sizes == [(12, 20)]
        assert [logits.shape for logits in compact.logits] == [(19, 2, 3)]
        kept = pickle.loads(pickle.dumps(compact))
        assert torch.equal(predictor.expand(kept), predict_prob(model, images, i))
        assert torch.equal(predictor.expand(compact), predict_prob(model, images, i))


def literal_view(model, images, index, scale, flipped):
    packed, sample = images[index]
    inputs = model.data_preprocessor({'inputs': [packed], 'data_samples': [sample]}, False)['inputs']
    size = [round(side * scale) for side in inputs.shape[2:]]
    if scale != 1:
        inputs = F.interpolate(inputs, size=size, mode='bilinear', align_corners=False)
    if not flipped:
        return model.predict_prob(inputs, (24, 40))[0]
    return model.predict_prob(inputs.flip(3), (24, 40))[0].flip(2)


@pytest.mark.parametrize('scales, flip', [((0.9, ), True), ((0.75, 1.0, 1.6), False), ((1.0, 1.3), True)])
def test_views_are_averaged(images, model, scales, flip):
    predictor = ImagePredictor([model], images, scales=scales, flip=flip)
    views = [literal_view(model, images, 1, scale, flipped) for scale in scales for flipped in (False, True)[:1 + flip]]
    prob = predictor.expand(predictor.infer(1))
    torch.testing.assert_close(prob, torch.stack(views).mean(0), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(prob.sum(0), torch.ones(24, 40))
    assert not torch.allclose(prob, literal_view(model, images, 1, 1, False), atol=1e-2)
    assert torch.equal(prob, predictor.expand(predictor.infer(1)))


def test_models_are_averaged(setup, images, model):
    other = build_predictor(setup.model, setup.save('other', setup.model, 7))
    prob = ImagePredictor([model, other], images)
    expected = (predict_prob(model, images, 2) + predict_prob(other, images, 2)) / 2
    assert torch.equal(prob.expand(prob.infer(2)), expected)


@pytest.mark.parametrize('arguments, message', [(dict(models=[]), 'no model'), (dict(scales=[]), 'scales'),
                                                (dict(scales=[1.0, -1]), 'scales')])
def test_refuses(images, model, arguments, message):
    with pytest.raises(ValueError, match=message):
        ImagePredictor(**{'models': [model], 'images': images, **arguments})
