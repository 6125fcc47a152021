# SPDX-License-Identifier: Apache-2.0
"""Objectives and the joint step against two-phase reference loops that toggle ``requires_grad``."""
import copy

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

import udatools  # noqa: F401
from udatools.models.segmentors import DomainBatch, UDABatch


def optim_wrapper_cfg(**parts):
    return dict(type='UDAOptimWrapperConstructor', optim_wrapper_cfg=parts)


def build_adversarial(segmentor_cfg, discriminator_cfg, gan='bce', space='output'):
    torch.manual_seed(0)
    weights = dict(main=0.5, aux=0.25) if space == 'output' else {'3': 0.5}
    return MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads=dict(main=1.0, aux=0.1)),
        dict(type='AdversarialAlignment', name='adv', discriminator=discriminator_cfg, weights=weights, gan=gan, space=space)]))


@pytest.mark.parametrize('gan', ['bce', 'ls'])
def test_one_backward_equals_the_two_phase_loop(segmentor_cfg, discriminator_cfg, domain_batch, gan):
    inputs, samples = domain_batch
    model = build_adversarial(segmentor_cfg, discriminator_cfg, gan)
    reference = copy.deepcopy(model)
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(optim_wrapper_cfg(
        segmentor=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        discriminator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=0.01))))(model)
    for _ in range(4):
        model.train()
        losses = model(inputs, samples, mode='loss')
        total, _ = model.parse_losses(losses)
        wrapper.update_params(total)
    two_phase_reference(reference, inputs, samples, gan, steps=4)
    for (name, ours), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f'{name}: {text}')


def two_phase_reference(model, inputs, samples, gan, steps):
    """AdaptSegNet's published loop, written out: generator phase with D frozen, then discriminator phase."""
    discriminators = model.objectives['adv'].discriminators
    generator_step = torch.optim.SGD(model.segmentor.parameters(), lr=0.05, momentum=0.9)
    discriminator_step = torch.optim.Adam(discriminators.parameters(), lr=0.01)
    criterion = F.binary_cross_entropy_with_logits if gan == 'bce' else F.mse_loss
    label = torch.stack([sample.gt_sem_seg.data[0] for sample in samples['source']])
    heads = {'main': (model.segmentor.decode_head, 1.0, 0.5), 'aux': (model.segmentor.auxiliary_head, 0.1, 0.25)}
    for _ in range(steps):
        model.train()
        generator_step.zero_grad()
        discriminator_step.zero_grad()
        discriminators.requires_grad_(False)
        kept = {}
        for domain in ('source', 'target'):
            features = model.segmentor.extract_feat(inputs[domain])
            for name, (head, ce_weight, adv_weight) in heads.items():
                logits = F.interpolate(head(features), inputs[domain].shape[2:], mode='bilinear', align_corners=False)
                prob = logits.softmax(1)
                kept[domain, name] = prob.detach()
                if domain == 'source':
                    loss = ce_weight * F.cross_entropy(logits, label)
                else:
                    score = discriminators[name](prob)
                    loss = adv_weight * criterion(score, torch.zeros_like(score))
                loss.backward(retain_graph=True)
        discriminators.requires_grad_(True)
        for (domain, name), prob in kept.items():
            score = discriminators[name](prob)
            (criterion(score, torch.full_like(score, float(domain == 'target'))) / 2).backward()
        generator_step.step()
        discriminator_step.step()


def test_feature_level_alignment_reaches_the_backbone_only(segmentor_cfg, domain_batch):
    model = build_adversarial(segmentor_cfg, dict(type='ImageDiscriminator', in_channels=32, channels=(4,)), space='feature')
    losses = model(*domain_batch, mode='loss')
    losses['adv.loss_adv_3'].backward()
    assert model.segmentor.backbone.conv1.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.segmentor.decode_head.parameters())
    assert all(p.grad is None for p in model.objectives['adv'].parameters())


def selector(segmentor_cfg, dropout_ratio=0.5):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='PixelSelector', segmentor=segmentor_cfg, dropout_ratio=dropout_ratio,
                              objectives=[dict(type='ClassifierDiscrepancy', name='dis')]))
    model.copy_main_classifier()
    return model


def test_discrepancy_gradients_equal_separate_min_and_max_phases(segmentor_cfg, domain_batch):
    inputs, samples = {'target': domain_batch[0]['target']}, {'target': domain_batch[1]['target']}
    model = selector(segmentor_cfg).eval()  # no dropout, so that both ways see the same outputs
    with torch.no_grad():
        for parameter in model.second_head.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    reference = copy.deepcopy(model)
    total, _ = model.parse_losses(model(inputs, samples, mode='loss'))
    total.backward()

    features = reference.segmentor.extract_feat(inputs['target'])
    outputs = [F.interpolate(head(features), (32, 64), mode='bilinear', align_corners=False).softmax(1)
               for head in (reference.segmentor.decode_head, reference.second_head)]
    distance = (outputs[0] - outputs[1]).abs().sum(1).mean()
    backbone = [p for p in reference.segmentor.backbone.parameters() if p.requires_grad]
    heads = [*reference.segmentor.decode_head.parameters(), *reference.second_head.parameters()]
    descend = torch.autograd.grad(distance, backbone, retain_graph=True)
    climb = torch.autograd.grad(-distance, heads)
    ours = [p.grad for p in model.segmentor.backbone.parameters() if p.requires_grad]
    torch.testing.assert_close(ours, list(descend), rtol=1e-4, atol=1e-7)
    ours = [p.grad for p in (*model.segmentor.decode_head.parameters(), *model.second_head.parameters())]
    torch.testing.assert_close(ours, list(climb), rtol=1e-4, atol=1e-7)


def test_selector_classifiers_start_equal_and_part_in_training(segmentor_cfg, domain_batch):
    inputs, samples = {'target': domain_batch[0]['target']}, {'target': domain_batch[1]['target']}
    torch.manual_seed(0)
    model = MODELS.build(dict(type='PixelSelector', segmentor=segmentor_cfg, dropout_ratio=0.5, objectives=[
        dict(type='SegmentationCE', name='self', domain='target', heads=dict(main=1.0, second=1.0))]))
    model.copy_main_classifier()
    first, second = model.eval().predict_pair(inputs['target'], (32, 64))
    assert torch.equal(first, second)
    step = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    for _ in range(2):
        step.zero_grad()
        model.parse_losses(model(inputs, samples, mode='loss'))[0].backward()
        step.step()
    first, second = model.eval().predict_pair(inputs['target'], (32, 64))
    assert (first.argmax(1) != second.argmax(1)).any()


def test_selector_refuses_to_be_without_dropout(segmentor_cfg):
    with pytest.raises(ValueError, match='could never differ'):
        selector(segmentor_cfg, dropout_ratio=0.0)


def test_missing_domain_missing_labels_and_unknown_heads_are_named(segmentor_cfg):
    objective = MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, objectives=[
        dict(type='SegmentationCE', name='t', domain='target', heads=dict(second=1.0))])).objectives['t']
    part = DomainBatch(inputs=torch.zeros(1, 3, 2, 2), label=None, features=(), logits={'main': torch.zeros(1, 5, 2, 2)})
    with pytest.raises(ValueError, match="domain 'target'.*UDADataset"):
        objective(UDABatch(source=part), None)
    with pytest.raises(ValueError, match='no labels on the target domain.*label_dir'):
        objective(UDABatch(target=part), None)
    part.label = torch.zeros(1, 2, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"\['second'\].*\['main'\]"):
        objective(UDABatch(target=part), None)


def test_class_weights_multiply_the_terms_of_their_class(segmentor_cfg):
    logits, label = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    label[0, 0] = 255
    part = DomainBatch(inputs=torch.zeros(2, 3, 4, 5), label=label, features=(), logits={'main': logits})
    build = lambda **kwargs: MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, objectives=[  # noqa: E731
        dict(type='SegmentationCE', name='s', **kwargs)]))
    model = build(class_weight=[2.0, 0.0, 0.5])
    expected, pixels = 0.0, 0
    for image, truth in zip(logits.double().log_softmax(1), label):
        for y, x in (truth != 255).nonzero().tolist():
            expected -= (2.0, 0.0, 0.5)[truth[y, x]] * float(image[truth[y, x], y, x])
            pixels += 1
    assert float(model.objectives['s'](UDABatch(source=part), None)['loss_main']) == pytest.approx(expected / pixels, rel=1e-5)
    part.weight = torch.full((2, 4, 5), 3.0)
    tripled = model.objectives['s'](UDABatch(source=part), None)['loss_main']
    assert float(tripled) == pytest.approx(3 * expected / pixels, rel=1e-5)
    assert not any('class_weight' in key for key in model.state_dict())  # a setting, not a weight
    with pytest.raises(ValueError, match='2 class weights, the model 3 classes'):
        build(class_weight=[1.0, 1.0]).objectives['s'](UDABatch(source=part), None)
    with pytest.raises(ValueError, match='number >= 0 a class'):
        build(class_weight=[1.0, -1.0, 1.0])


def test_objective_names_are_unique_and_never_contain_loss(segmentor_cfg):
    twice = [dict(type='SegmentationCE'), dict(type='SegmentationCE', domain='target')]
    with pytest.raises(ValueError, match="two objectives are called 'SegmentationCE'"):
        MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg, objectives=twice))
    with pytest.raises(ValueError, match="contains 'loss'"):
        MODELS.build(dict(type='UDASegmentor', segmentor=segmentor_cfg,
                          objectives=[dict(type='SegmentationCE', name='my_loss')]))


def test_optimiser_without_a_part_is_refused(segmentor_cfg, discriminator_cfg):
    model = build_adversarial(segmentor_cfg, discriminator_cfg)
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(optim_wrapper_cfg(
        segmentor=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))))
    with pytest.raises(KeyError, match='discriminator'):
        constructor(model)


def test_joint_accumulation_equals_one_large_step(segmentor_cfg, discriminator_cfg, domain_batch):
    inputs, samples = domain_batch
    whole = build_adversarial(segmentor_cfg, discriminator_cfg)
    whole.train()  # applies bn_mode='eval'
    split = copy.deepcopy(whole)

    def parts(counts):
        return dict(
            segmentor=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05), accumulative_counts=counts),
            discriminator=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05), accumulative_counts=counts))

    one = OPTIM_WRAPPER_CONSTRUCTORS.build(optim_wrapper_cfg(**parts(1)))(whole)
    one.update_params(whole.parse_losses(whole(inputs, samples, mode='loss'))[0])
    two = OPTIM_WRAPPER_CONSTRUCTORS.build(optim_wrapper_cfg(**parts(2)))(split)
    two.initialize_count_status(split, 0, 2)
    for index in range(2):
        half = ({k: v[index:index + 1] for k, v in inputs.items()}, {k: v[index:index + 1] for k, v in samples.items()})
        two.update_params(split.parse_losses(split(*half, mode='loss'))[0])
    for ours, theirs in zip(split.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('whose', ['both', 'target'])
def test_running_statistics_follow_the_chosen_domains(segmentor_cfg, domain_batch, whose):
    inputs, samples = domain_batch
    inputs = dict(inputs, source=inputs['source'] + 5.0)
    cfg = dict(segmentor_cfg, backbone=dict(segmentor_cfg['backbone'], bn_mode='adapt'))
    model = MODELS.build(dict(type='UDASegmentor', segmentor=cfg, running_statistics=whose,
                              objectives=[dict(type='SegmentationCE', name='source', heads=dict(main=1.0, aux=1.0))])).train()
    alone = copy.deepcopy(model)
    norm = model.segmentor.backbone.bn1
    model(inputs, samples, mode='loss')
    alone.segmentor.extract_feat(inputs['target'])
    same = torch.equal(norm.running_mean, alone.segmentor.backbone.bn1.running_mean)
    assert same == (whose == 'target')
    assert norm.momentum == alone.segmentor.backbone.bn1.momentum  # restored
