# CBST from a source-only model (Zou et al., ECCV 2018): class-balanced pseudo-labels, source kept on with a share of its images.
_base_ = './self_training.py'
self_training = dict(
    policy=dict(type='ClassBalancedPolicy', portion=0.2, step=0.05, maximum=0.5, stride=4, round='{round}'),
    views=dict(scales=[0.9], flip=True),
    source_portion=[0.03 + 0.0025 * k for k in range(13)],  # of the source images by round, 0.06 from the 13th on
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}',
             class_weight='{cfg:class_weight?}'),
        dict(type='SegmentationCE', name='target', domain='target'),
    ])
_rounds = dict(name='round', repeat=3, steps=[dict(_base_._main_step, config={
    **_base_._main_step.config,
    'train_dataloader.dataset.source.portion': '{cfg:self_training.source_portion}',
    'train_dataloader.dataset.source.portion_round': '{round}',
    'train_dataloader.dataset.source.portion_seed': '{cfg:randomness.seed}',
})])
stages = [_base_._source_start_stage, _rounds]
