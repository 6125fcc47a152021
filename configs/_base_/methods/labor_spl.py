# LabOR, segment-based pixel labelling (Shin et al., ICCV 2021, Algorithm 1).
_base_ = './active.py'
labor = dict(
    selector=dict(_delete_=True, type='LabORSPLSelector', score='l1'),
    budget=None,  # None: the whole inconsistency mask, the paper's rule
    selector_dropout=0.1,  # of feature channels before each classifier of the pixel selector
    discrepancy_lr='{cfg:lr}',  # of Eq. 4; too high a rate makes the classifiers differ everywhere
    policy=dict(type='InstanceAdaptivePolicy', alpha=[0.2, 0.25, 0.3], beta=0.9, gamma=8.0, round='{round}'),
)
_main_model = dict(type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}')
_labelling_hook = dict(
    selector_model=dict(_main_model, type='PixelSelector', dropout_ratio='{cfg:labor.selector_dropout}'),
    selector_checkpoint='{checkpoint:discrepancy}')
_pseudo = '{work_dir}/pseudo_labels/round_{round}'

stages = [_base_._source_stage, {{_base_._warmup_stage}}, dict(name='round', repeat=3, steps=[
    dict(name='self_training', init=['main', 'warmup'], evaluate=False, config={  # Eq. 3
        'model.type': 'PixelSelector',
        'model.dropout_ratio': '{cfg:labor.selector_dropout}',
        'model.objectives': [dict(type='SegmentationCE', name='self', domain='target', heads=dict(main=1.0, second=1.0))],
        'train_dataloader.dataset.source': None,
        'train_dataloader.dataset.target.label_dir': _pseudo + '/labels',
        'train_cfg.max_iters': '{cfg:iters.self_training}',
        'custom_hooks': [dict(
            type='PseudoLabelHook', policy='{cfg:labor.policy}', dataset='{cfg:target_images}', out_dir=_pseudo,
            model=_main_model, checkpoint='{checkpoint:main|warmup}')],
    }),
    dict(name='discrepancy', init='self_training', evaluate=False, config={  # Eq. 4
        'model.type': 'PixelSelector',
        'model.dropout_ratio': '{cfg:labor.selector_dropout}',
        'model.objectives': [dict(type='ClassifierDiscrepancy', name='discrepancy')],
        'train_dataloader.dataset.source': None,
        'train_cfg.max_iters': '{cfg:iters.discrepancy}',
        'optim_wrapper.segmentor.optimizer.lr': '{cfg:labor.discrepancy_lr}',
    }),
    _base_._main_stage,
])]
