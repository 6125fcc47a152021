# VST, video self-training (Shin et al., Video DA, 2021, Sec. 4.4, Eq. 13), in three rounds as IAST, after VAT.
_base_ = './vat.py'
# Eq. 13 sums over the two frames of a clip, the objectives take their mean: twice the weights of IAST.
_cross_entropy = [dict(type='SegmentationCE', name='target', domain='target', loss_weight=2.0)]
self_training = dict(
    policy=dict(type='ClipAdaptivePolicy', alpha=[0.2, 0.25, 0.3], beta=0.9, gamma=8.0, round='{round}'),
    objectives=[
        *_cross_entropy,
        dict(type='PredictionRegularizer', name='kld', measure='kld', region='labelled', normalisation='pixels_classes',
             loss_weight=0.2),
        dict(type='PredictionRegularizer', name='entropy', measure='entropy_nats', region='ignored',
             normalisation='pixels_classes', loss_weight=6.0),
    ])
vst = dict(
    source=None, kept=[],  # Eq. 13 is the target's alone; vst_with_source.py adds the source
    aggregation=dict(  # Eq. 10; None: single frames
        flow=dict(type='PrecomputedFlow', root='{cfg:target_flow.root}'), offsets=(-1, 1), threshold=0.7),
    refinement=dict(type='TemporalConsensus', mode='cut_out', threshold=0.7),  # Eq. 12; None: labels as they are
    flow=dict(root='{cfg:target_flow.root}', backward=True),  # that the refinement reads; None without one
)
_vst_step = dict(_base_._main_step, config={
    **_base_._main_step.config,
    'model.objectives': ['{cfg:*vst.kept}', '{cfg:*self_training.objectives}'],
    'train_dataloader.dataset.source': '{cfg:vst.source}',
    'train_dataloader.dataset.target.flow': '{cfg:vst.flow}',
    'model.label_refinement': '{cfg:vst.refinement}',
    'custom_hooks': [dict(_base_._main_step.config.custom_hooks[0], aggregation='{cfg:vst.aggregation}')],
})
stages = [_base_._source_stage, _base_._warmup_stage, dict(name='round', repeat=3, steps=[_vst_step])]
