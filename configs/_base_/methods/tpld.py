# TPLD (Shin et al., ECCV 2020) on CRST-MRKLD. First phase: labels made denser by voting. Second phase, on the target alone: easy
# images with a label for every pixel take the place of the source, hard ones that of the target, aligned by a discriminator.
_base_ = './crst_mrkld.py'
tpld = dict(
    beta=0.95,  # share of the pseudo-label against the model's own prediction
    voting=dict(window=57, weight=0.7, iterations=3),
    second=dict(
        policy=dict(type='ClassBalancedPolicy', portion=0.5),  # of the seventh round on
        ranking=dict(type='ConfidenceRanking', portion=0.3),  # share of easy images
        soft_exponent=2.0,
        adv_weights=dict(main=0.001)),
)
self_training = dict(
    policy=dict(type='VotedClassBalancedPolicy', window='{cfg:tpld.voting.window}', weight='{cfg:tpld.voting.weight}',
                iterations='{cfg:tpld.voting.iterations}'),
    objectives=[
        _base_.self_training.objectives[0],
        dict(type='BootstrappedCE', name='target', domain='target', beta='{cfg:tpld.beta}',
             thresholds='{work_dir}/pseudo_labels/round_{round}/thresholds.json'),
        _base_.self_training.objectives[2],
    ])
_second = '{work_dir}/pseudo_labels/second_phase_{round}'
_second_step = dict(name='second_phase', init=['second_phase', 'main'], config={
    'model.objectives': [
        dict(type='BootstrappedCE', name='easy', domain='source', beta='{cfg:tpld.beta}',
             soft_exponent='{cfg:tpld.second.soft_exponent}', thresholds=_second + '/thresholds.json'),
        dict(type='AdversarialAlignment', name='intra', discriminator='{cfg:discriminator}', space='entropy',
             weights='{cfg:tpld.second.adv_weights}'),
    ],
    'model.teacher': dict(momentum=1.0, domain='source'),  # the model of the round before
    'model.running_statistics': 'both',  # both domains are the target
    'target_train.label_dir': _second + '/labels',
    'train_dataloader.dataset.source': '{cfg:target_train}',
    'mining_coverage': _second + '/coverage.json',
    'train_cfg.max_iters': '{cfg:iters.round}',
    'custom_hooks': [dict(
        type='PseudoLabelHook', policy='{cfg:tpld.second.policy}', ranking='{cfg:tpld.second.ranking}', intra_domain=True,
        dataset='{cfg:target_images}', out_dir=_second, views='{cfg:self_training.views}',
        checkpoint='{checkpoint:second_phase|main}',
        model=dict(type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}'))],
})
stages = [
    _base_._source_start_stage,
    dict(_base_._rounds, repeat=6),
    dict(name='second_phase', repeat=3, steps=[_second_step]),
]
