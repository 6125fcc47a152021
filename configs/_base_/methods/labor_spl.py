# LabOR, segment-based pixel labelling (Shin et al., ICCV 2021, Algorithm 1).
_base_ = './adaptsegnet.py'
_target = dict(type='SegmentationCE', name='target', domain='target')
_source = dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}')
_adversarial = dict(
    type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}', weights='{cfg:adv_weights}')
# The two readings of what trains the main model on the answers: labor.main chooses one.
eq5_with_source = dict(source='{cfg:source_train}', objectives=[_target, _source, _adversarial])  # terms of Eq. 1 kept on
eq5_target_only = dict(source=None, objectives=[_target])  # Eq. 5 as it stands on the slides
labor = dict(
    main='{cfg:eq5_with_source}',
    selector=dict(type='LabORSPLSelector', score='l1'),
    budget=None,  # None: the whole inconsistency mask, the paper's rule
    annotator=dict(type='GroundTruthOracle', dataset='{cfg:target_train_labelled}'),
    selector_dropout=0.1,  # of feature channels before each classifier of the pixel selector
    discrepancy_lr='{cfg:lr}',  # of Eq. 4; too high a rate makes the classifiers differ everywhere
    policy=dict(type='InstanceAdaptivePolicy', alpha=[0.2, 0.25, 0.3], beta=0.9, gamma=8.0, round='{round}'),
    panels=4,
    rounds=3,
)
_main_model = dict(type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}')
_selector_model = dict(_main_model, type='PixelSelector', dropout_ratio='{cfg:labor.selector_dropout}')
_pseudo = '{work_dir}/pseudo_labels/round_{round}'

stages = [
    dict(name='source', config={
        'model.objectives': [_source],
        'train_dataloader.dataset.target': None,
        'train_cfg.max_iters': '{cfg:iters.source}',
    }),
    dict(name='warmup', init='source', config={'train_cfg.max_iters': '{cfg:iters.warmup}'}),
    dict(name='round', repeat=3, steps=[
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
        dict(name='main', init=['main', 'warmup'], config={  # Eq. 5
            'model.objectives': '{cfg:labor.main.objectives}',
            'train_dataloader.dataset.source': '{cfg:labor.main.source}',
            'train_dataloader.dataset.target.label_dir': '{work_dir}/labels',
            'train_cfg.max_iters': '{cfg:iters.main}',
            'custom_hooks': [dict(
                type='ActiveLabelingHook', selector='{cfg:labor.selector}', annotator='{cfg:labor.annotator}',
                model=_main_model, checkpoint='{checkpoint:main|warmup}',
                selector_model=_selector_model, selector_checkpoint='{checkpoint:discrepancy}',
                dataset='{cfg:target_images}', ledger='{work_dir}/ledger.sqlite',
                request_dir='{work_dir}/requests/round_{round}', label_dir='{work_dir}/labels',
                budget='{cfg:labor.budget}', round='{round}', num_rounds='{cfg:labor.rounds}', panels='{cfg:labor.panels}')],
        }),
    ]),
]
