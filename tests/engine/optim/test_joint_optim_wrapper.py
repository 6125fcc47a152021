# SPDX-License-Identifier: Apache-2.0
"""One backward pass, several optimisers: against plain PyTorch, with accumulation, and with a loss scaler."""
import copy

import pytest
import torch
import torch.nn as nn
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from udatools.engine.optim import JointOptimWrapper, UDAOptimWrapperConstructor

INPUTS = [torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]]), torch.tensor([[-1.0, 1.0]]), torch.tensor([[2.0, 0.25]])]


def layers():
    torch.manual_seed(0)
    return nn.ModuleDict(dict(segmentor=nn.Linear(2, 2), discriminator=nn.Linear(2, 1)))


def loss_of(model, x):
    return model['discriminator'](model['segmentor'](x)).square().mean()


def optimisers(model):
    return dict(segmentor=torch.optim.SGD(model['segmentor'].parameters(), lr=0.1, momentum=0.9),
                discriminator=torch.optim.Adam(model['discriminator'].parameters(), lr=0.01))


def reference(every):
    """Literal loop: gradients of `every` batches are averaged, then both optimisers step."""
    model = layers()
    steps = optimisers(model)
    for number, x in enumerate(INPUTS, 1):
        (loss_of(model, x) / every).backward()
        if number % every == 0:
            for step in steps.values():
                step.step()
                step.zero_grad()
    return model


def assert_same(model, expected):
    for (name, actual), wanted in zip(model.named_parameters(), expected.parameters()):
        torch.testing.assert_close(actual, wanted, msg=lambda text, name=name: f'{name}: {text}')


@pytest.mark.parametrize('every', [1, 2])
def test_equals_the_literal_loop(every):
    model = layers()
    joint = JointOptimWrapper(**{name: OptimWrapper(step, accumulative_counts=every) for name, step in optimisers(model).items()})
    joint.initialize_count_status(model, 0, len(INPUTS))
    for x in INPUTS:
        with joint.optim_context(model):
            loss = loss_of(model, x)
        joint.update_params(loss)
    assert_same(model, reference(every))
    assert not torch.equal(model['discriminator'].weight, layers()['discriminator'].weight)


class Scaler:
    """Stands in for torch's GradScaler, which does nothing without an accelerator: same calls, scale 8."""

    def __init__(self):
        self.calls = []

    def scale(self, loss):
        self.calls.append('scale')
        return loss * 8

    def unscale_(self, optimizer):
        self.calls.append(f'unscale {type(optimizer).__name__}')
        for group in optimizer.param_groups:
            for parameter in group['params']:
                parameter.grad /= 8
        optimizer.unscaled = True

    def step(self, optimizer, **kwargs):
        if not getattr(optimizer, 'unscaled', False):
            self.unscale_(optimizer)
        self.calls.append(f'step {type(optimizer).__name__}')
        optimizer.unscaled = False
        optimizer.step()

    def update(self, new_scale=None):
        self.calls.append('update')


def amp_wrappers(model, **kwargs):
    wrappers = {}
    for name, step in optimisers(model).items():
        wrapper = AmpOptimWrapper.__new__(AmpOptimWrapper)  # its constructor asks for an accelerator
        OptimWrapper.__init__(wrapper, step, **kwargs)
        wrapper.loss_scaler, wrapper._scale_update_param, wrapper.cast_dtype = Scaler(), None, None
        wrappers[name] = wrapper
    return wrappers


def test_one_scaler_serves_all():
    model = layers()
    joint = JointOptimWrapper(**amp_wrappers(model))
    scalers = {id(wrapper.loss_scaler) for wrapper in joint.optim_wrappers.values()}
    assert len(scalers) == 1
    for x in INPUTS:
        joint.update_params(loss_of(model, x))
    assert_same(model, reference(1))  # scaled by 8, unscaled once: the same steps
    calls = joint._lead.loss_scaler.calls
    assert calls == ['scale', 'unscale SGD', 'step SGD', 'unscale Adam', 'step Adam', 'update'] * len(INPUTS)


def test_clipping_works_on_unscaled_gradients():
    model, plain = layers(), layers()
    clip = dict(clip_grad=dict(max_norm=0.01))
    amp = JointOptimWrapper(**amp_wrappers(model, **clip))
    usual = JointOptimWrapper(**{name: OptimWrapper(step, **clip) for name, step in optimisers(plain).items()})
    for x in INPUTS:
        amp.update_params(loss_of(model, x))
        usual.update_params(loss_of(plain, x))
    assert_same(model, plain)


def test_refusals():
    model = layers()
    steps = optimisers(model)
    with pytest.raises(ValueError, match='got no optimiser'):
        JointOptimWrapper()
    with pytest.raises(ValueError, match='must agree on type'):
        JointOptimWrapper(segmentor=amp_wrappers(model)['segmentor'], discriminator=OptimWrapper(steps['discriminator']))
    with pytest.raises(ValueError, match='accumulative_counts'):
        JointOptimWrapper(segmentor=OptimWrapper(steps['segmentor'], accumulative_counts=2),
                          discriminator=OptimWrapper(steps['discriminator']))


def test_state_comes_back():
    first, second = layers(), layers()
    trained, resumed = (JointOptimWrapper(**{name: OptimWrapper(step) for name, step in optimisers(model).items()})
                        for model in (first, second))
    for x in INPUTS[:2]:
        trained.update_params(loss_of(first, x))
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(copy.deepcopy(trained.state_dict()))
    for x in INPUTS[2:]:
        trained.update_params(loss_of(first, x))
        resumed.update_params(loss_of(second, x))
    assert_same(second, first)


class Parts(nn.Module):
    """A model with the two parts."""

    def __init__(self):
        super().__init__()
        self.layers = layers()

    def optimised_parts(self):
        return dict(self.layers.items())


def test_constructor():
    sgd = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    joint = UDAOptimWrapperConstructor(dict(segmentor=sgd, discriminator=sgd, unused=sgd))(Parts())
    assert list(joint.optim_wrappers) == ['segmentor', 'discriminator']
    assert {id(p) for g in joint['segmentor'].param_groups for p in g['params']}.isdisjoint(
        id(p) for g in joint['discriminator'].param_groups for p in g['params'])
    with pytest.raises(KeyError, match='no optimiser for .*discriminator'):
        UDAOptimWrapperConstructor(dict(segmentor=sgd))(Parts())
    with pytest.raises(ValueError, match='belongs inside a part'):
        UDAOptimWrapperConstructor(dict(segmentor=sgd), paramwise_cfg=dict())
