# FDA with multi-band transfer: three models of three betas label the target together, then each trains on these labels too;
# twice (Yang and Soatto, CVPR 2020, Eq. 7 and 8; T = 0, 1, 2).
_base_ = './fda.py'
fda = dict(betas=dict(_1=0.01, _2=0.05, _3=0.09), policy=dict(type='TopPortionPolicy', portion=0.66, cap=0.9))
_bands = ('_1', '_2', '_3')
_pseudo = '{work_dir}/pseudo_labels/round_{round}'

stages = [
    *[dict(name='fda' + band, config={
        'data_preprocessor.domain_transforms': [dict(type='FourierTransfer', beta='{cfg:fda.betas.%s}' % band)],
        'train_cfg.max_iters': '{cfg:iters.fda}',
    }) for band in _bands],
    dict(name='round', repeat=2, steps=[
        dict(name='self_training' + band, config={  # from the backbone weights again, as the authors do
            'data_preprocessor.domain_transforms': [dict(type='FourierTransfer', beta='{cfg:fda.betas.%s}' % band)],
            'model.objectives': [
                dict(type='SegmentationCE', name='source', domain='source', class_weight='{cfg:class_weight?}'),
                dict(type='PredictionRegularizer', name='entropy', measure='charbonnier_entropy', eta='{cfg:fda.eta}',
                     loss_weight='{cfg:fda.entropy_weight}'),
                dict(type='SegmentationCE', name='target', domain='target'),
            ],
            'train_dataloader.dataset.target.label_dir': _pseudo + '/labels',
            'train_cfg.max_iters': '{cfg:iters.fda_self_training}',
            # Once a round, before its first training: the models of the round before.
            'custom_hooks': [] if band != '_1' else [dict(
                type='PseudoLabelHook', policy='{cfg:fda.policy}', dataset='{cfg:target_images}', out_dir=_pseudo,
                model=dict(type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}'),
                checkpoint=['{checkpoint:self_training%s|fda%s}' % (one, one) for one in _bands])],
        }) for band in _bands
    ]),
]
