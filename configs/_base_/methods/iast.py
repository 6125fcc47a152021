# IAST (Mei et al., ECCV 2020): instance-adaptive pseudo-labels on top of an adversarial warm-up; no source in the rounds.
_base_ = './self_training.py'
model = dict(objectives=[
    dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}', class_weight='{cfg:class_weight?}'),
    dict(type='AdversarialAlignment', name='adversarial', discriminator='{cfg:discriminator}', weights='{cfg:adv_weights}',
         gan='ls'),
])
adv_weights = dict(main=0.05)
self_training = dict(
    policy=dict(type='InstanceAdaptivePolicy', alpha=[0.2, 0.25, 0.3], beta=0.9, gamma=8.0, round='{round}'),
    objectives=[
        dict(type='SegmentationCE', name='target', domain='target'),
        dict(type='PredictionRegularizer', name='kld', measure='kld', region='labelled', normalisation='pixels_classes',
             loss_weight=0.1),
        dict(type='PredictionRegularizer', name='entropy', measure='entropy_nats', region='ignored',
             normalisation='pixels_classes', loss_weight=3.0),
    ])
stages = [
    _base_._source_stage,
    _base_._warmup_stage,
    dict(name='round', repeat=3, steps=[
        dict(_base_._main_step, config={**_base_._main_step.config, 'train_dataloader.dataset.source': None}),
    ]),
]
