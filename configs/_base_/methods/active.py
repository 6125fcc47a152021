# Active domain adaptation: adversarial warm-up, then rounds of asking for target pixels and training on all answers so far.
_base_ = './adaptsegnet.py'
_target = dict(type='SegmentationCE', name='target', domain='target')
_source = dict(
    type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}', class_weight='{cfg:class_weight?}')
_adversarial = dict(
    type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}', weights='{cfg:adv_weights}')
# The two readings of what trains the main model on the answers: labor.main chooses one.
eq5_with_source = dict(source='{cfg:source_train}', objectives=[_target, _source, _adversarial])  # terms of Eq. 1 kept on
eq5_target_only = dict(source=None, objectives=[_target])  # Eq. 5 as it stands on LabOR's slides
labor = dict(
    main='{cfg:eq5_with_source}',
    selector=dict(type='RandomSelector'),
    budget=dict(unit='pixels', portion=0.022),
    # Its labelling time is that of the slides: costs=dict(image_seconds=5400, segment_seconds=1210, point_seconds=75 / 40).
    annotator=dict(type='GroundTruthOracle', dataset='{cfg:target_train_labelled}'),
    panels=4,
    rounds=3,
)
_main_model = dict(type='UDASegmentor', segmentor='{cfg:segmentor}', data_preprocessor='{cfg:data_preprocessor}')
_labelling_hook = dict(
    type='ActiveLabelingHook', selector='{cfg:labor.selector}', annotator='{cfg:labor.annotator}',
    model=_main_model, checkpoint='{checkpoint:main|warmup}', dataset='{cfg:target_images}', ledger='{work_dir}/ledger.sqlite',
    request_dir='{work_dir}/requests/round_{round}', label_dir='{work_dir}/labels', budget='{cfg:labor.budget}',
    round='{round}', num_rounds='{cfg:labor.rounds}', panels='{cfg:labor.panels}', policy='{cfg:labor.conflicts?}',
    seed='{cfg:randomness.seed}')

_source_stage = dict(name='source', config={
    'model.objectives': [_source],
    'train_dataloader.dataset.target': None,
    'train_cfg.max_iters': '{cfg:iters.source}',
})
_warmup_stage = dict(name='warmup', init='source', config={'train_cfg.max_iters': '{cfg:iters.warmup}'})
_main_stage = dict(name='main', init=['main', 'warmup'], config={  # LabOR, Eq. 5
    'model.objectives': '{cfg:labor.main.objectives}',
    'train_dataloader.dataset.source': '{cfg:labor.main.source}',
    'train_dataloader.dataset.target.label_dir': '{work_dir}/labels',
    'train_cfg.max_iters': '{cfg:iters.main}',
    'custom_hooks': ['{cfg:_labelling_hook}'],
})
stages = [_source_stage, _warmup_stage, dict(name='round', repeat=3, steps=[_main_stage])]
