# SPDX-License-Identifier: Apache-2.0
"""The teacher: its values by hand, what it is kept out of, resume, and two ranks."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import IterBasedTrainLoop
from mmseg.registry import MODELS
from run_contents import checkpoint_contents
from shrink import shrink

import udatools  # noqa: F401
from udatools.engine.hooks import TeacherHook
from udatools.engine.runner import StagedRunner
from udatools.registry import OPTIM_WRAPPER_CONSTRUCTORS

HEADS = dict(main=1.0, aux=0.1)
SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))


@pytest.fixture
def build(segmentor_cfg):
    def build(teacher, bn_mode='eval', name='UDASegmentor', objectives=None, **kwargs):
        torch.manual_seed(0)
        segmentor = dict(segmentor_cfg, backbone=dict(segmentor_cfg['backbone'], bn_mode=bn_mode))
        return MODELS.build(dict(type=name, segmentor=segmentor, teacher=teacher, **kwargs,
                                 objectives=objectives or [dict(type='SegmentationCE', name='source', heads=HEADS)])).train()

    return build


def train(model, batch, steps, wrapped=None):
    """Training with the hook, as a stage does it; the student's values of one parameter before it and after each step."""
    hook, optimiser = TeacherHook(), OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(type='UDAOptimWrapperConstructor', optim_wrapper_cfg=dict(segmentor=SGD)))(model)
    runner = SimpleNamespace(model=wrapped or model, iter=0)
    hook.before_train(runner)
    values = [student_of(model)]
    for runner.iter in range(steps):
        runner.model.train_step(dict(inputs=batch[0], data_samples=batch[1]), optimiser)
        hook.after_train_iter(runner, runner.iter)
        values.append(student_of(model))
    return values


def student_of(model):
    return {name: value.clone() for name, value in model.segmentor.state_dict().items()}


def test_starts_as_the_student_and_a_frozen_one_stays(build, domain_batch):
    model = build(dict(momentum=1))
    torch.nn.init.constant_(model.teacher.segmentor.decode_head.branches[0].weight, 7.0)
    values = train(model, domain_batch, 2)
    for name, value in model.teacher.segmentor.state_dict().items():
        assert torch.equal(value, values[0][name]), name
    assert any(not torch.equal(values[2][name], values[0][name]) for name in values[0])


@pytest.mark.parametrize('momentum', [0.0, 0.15, 0.999])
def test_moving_average_by_hand(build, domain_batch, momentum):
    model = build(dict(momentum=momentum))
    values = train(model, domain_batch, 3)
    for name in ('backbone.conv1.weight', 'decode_head.branches.0.weight', 'decode_head.branches.1.bias'):
        expected = values[0][name].double()
        for step, share in enumerate((1 / 10, 2 / 11, 3 / 12)):
            keep = min(momentum, share)
            expected = keep * expected + (1 - keep) * values[step + 1][name].double()
        torch.testing.assert_close(model.teacher.segmentor.state_dict()[name].double(), expected, rtol=1e-5, atol=1e-7)
        if momentum == 0:
            torch.testing.assert_close(model.teacher.segmentor.state_dict()[name], values[3][name])


def test_statistics_are_taken_over_as_they_are(build, domain_batch):
    model = build(dict(momentum=0.999), bn_mode='adapt')
    values = train(model, domain_batch, 2)
    own = model.teacher.segmentor.state_dict()
    names = [name for name in own if 'running_' in name or 'num_batches' in name]
    assert names and all(torch.equal(own[name], values[-1][name]) for name in names)
    assert any(not torch.equal(values[0][name], values[-1][name]) for name in names)


def test_gives_the_target_probabilities_of_its_own_evaluation_mode(build, domain_batch):
    model, seen = build(dict(momentum=1), bn_mode='adapt'), []

    class Spy(torch.nn.Module):

        def forward(self, batch, whole):
            seen.append(batch)
            return {}

    model.objectives['spy'] = Spy()
    torch.nn.init.normal_(model.teacher.segmentor.decode_head.branches[0].weight, std=0.3)
    before = {name: value.clone() for name, value in model.teacher.state_dict().items()}
    model(*domain_batch, mode='loss')
    prob = seen[0].target.teacher_prob
    assert seen[0].source.teacher_prob is None and prob.shape == (2, 5, 32, 64) and prob.dtype == torch.float32
    assert not prob.requires_grad and not model.teacher.training and model.segmentor.training
    logits = model.teacher.segmentor.eval().encode_decode(domain_batch[0]['target'], [dict(img_shape=(32, 64))] * 2)
    torch.testing.assert_close(prob, logits.softmax(1))
    assert all(torch.equal(value, before[name]) for name, value in model.teacher.state_dict().items())


def test_without_a_target_or_a_teacher_there_is_no_prediction(build, domain_batch):
    inputs, samples = domain_batch
    model = build(dict(momentum=1))
    model.teacher.predict_prob = None  # not called
    model({'source': inputs['source']}, {'source': samples['source']}, mode='loss')
    plain = build(None)
    assert plain.teacher is None and not any(name.startswith('teacher') for name in plain.state_dict())
    train(plain, domain_batch, 1)


def test_no_optimiser_and_no_gradient_touches_it(build, domain_batch):
    model = build(dict(momentum=1))
    own = {id(parameter) for parameter in model.teacher.parameters()}
    optimised = {id(parameter) for part in model.optimised_parts().values() for parameter in part.parameters()}
    assert own and not own & optimised
    assert optimised == {id(parameter) for parameter in model.parameters()} - own
    train(model, domain_batch, 1)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in model.teacher.parameters())


def test_a_momentum_outside_its_range_is_refused(build):
    for momentum in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r'momentum is .*; expected a value in \[0, 1\]'):
            build(dict(momentum=momentum))


@pytest.mark.parametrize('teacher', [None, dict(momentum=0.5)])
def test_pixel_selector_trains_as_before(build, domain_batch, teacher):
    objectives = [dict(type='SegmentationCE', name='source', heads=dict(main=1.0, second=1.0))]
    model = build(teacher, name='PixelSelector', objectives=objectives)
    torch.manual_seed(5)
    values = train(model, domain_batch, 2)
    plain = build(None, name='PixelSelector', objectives=objectives)
    plain.load_state_dict({name: value for name, value in build(teacher, name='PixelSelector', objectives=objectives).state_dict()
                           .items() if not name.startswith('teacher.')})
    torch.manual_seed(5)
    expected = train(plain, domain_batch, 2)
    assert all(torch.equal(values[-1][name], expected[-1][name]) for name in expected[-1])


def test_predictors_are_built_without_it(build, tmp_path, segmentor_cfg):
    from udatools.engine.inference import build_predictor
    model = build(dict(momentum=0.9))
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'iter_1.pth')
    predictor = build_predictor(dict(type='UDASegmentor', segmentor=segmentor_cfg, teacher=dict(momentum=0.9),
                                     objectives=[dict(type='SegmentationCE')]), tmp_path / 'iter_1.pth')
    assert predictor.teacher is None
    assert torch.equal(predictor.segmentor.backbone.conv1.weight, model.segmentor.backbone.conv1.weight)


class Stop(Exception):
    pass


@pytest.mark.slow
def test_resume_keeps_the_teacher(repo_root, tiny_data, tmp_path, monkeypatch):
    def cfg_of(name):
        cfg = shrink(repo_root / 'configs/adaptsegnet/adaptsegnet_minidrive.py', data=tiny_data, work_dir=tmp_path / name,
                     iterations=4)
        cfg.model.teacher = dict(momentum=0.5)
        cfg.report = False
        return cfg

    StagedRunner.from_cfg(cfg_of('whole')).train()
    real = IterBasedTrainLoop.run_iter

    def stopping(loop, data_batch):
        if loop._iter == 2:
            raise Stop
        real(loop, data_batch)

    monkeypatch.setattr(IterBasedTrainLoop, 'run_iter', stopping)
    with pytest.raises(Stop):
        StagedRunner.from_cfg(cfg_of('parts')).train()
    monkeypatch.setattr(IterBasedTrainLoop, 'run_iter', real)
    cfg = cfg_of('parts')
    cfg.resume = True
    StagedRunner.from_cfg(cfg).train()
    whole, parts = (next((tmp_path / name / 'stages').iterdir()) / 'iter_4.pth' for name in ('whole', 'parts'))
    assert checkpoint_contents(whole) == checkpoint_contents(parts)
    state = torch.load(whole, weights_only=False)['state_dict']
    teacher = 'teacher.segmentor.decode_head.branches.0.weight'
    assert not torch.equal(state[teacher], state[teacher.removeprefix('teacher.')])
    final = torch.load(tmp_path / 'whole' / 'final' / 'model.pth', weights_only=False)['state_dict']
    assert not any(name.startswith('teacher') for name in final)


@pytest.mark.distributed
@pytest.mark.parametrize('momentum', [1, 0.5])
def test_two_ranks_have_one_teacher(build, domain_batch, run_ranks, momentum):
    """Each rank takes one image; batch-norm statistics are its own, the teacher's are those of rank 0."""
    inputs, samples = domain_batch

    def work(rank):
        mine = slice(rank, rank + 1)
        model = build(dict(momentum=momentum), bn_mode='adapt')
        wrapped = MMDistributedDataParallel(model, broadcast_buffers=False, device_ids=None)
        train(model, ({name: value[mine] for name, value in inputs.items()},
                      {name: value[mine] for name, value in samples.items()}), 3, wrapped)
        return ({name: value.numpy() for name, value in model.teacher.segmentor.state_dict().items()},
                {name: value.numpy() for name, value in model.segmentor.state_dict().items()})

    (first, error), (second, other_error) = run_ranks(work)
    assert error is None and other_error is None, error or other_error
    assert all((first[0][name] == second[0][name]).all() for name in first[0])
    statistics = [name for name in first[1] if 'running_mean' in name]
    assert any((first[1][name] != second[1][name]).any() for name in statistics)
