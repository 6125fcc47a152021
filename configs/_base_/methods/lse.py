# LSE: learning from scale-invariant examples (Subhani and Ali, ECCV 2020). Rounds of self-training as CBST's, with entropy
# thresholds, a focal loss, and patches of the most confident images, scaled up.
_base_ = './self_training.py'
_pseudo = '{work_dir}/pseudo_labels/round_{round}'
lse = dict(
    gamma=3.0,  # of the focal loss; 0 is cross-entropy
    portion=None,  # of the images, the most confident ones; None: as of the pixels
    scale=2.0,  # of a patch
    weight=1.0,  # of the patches
)
self_training = dict(
    policy=dict(type='ClassEntropyPolicy', portion=0.2, step=0.05, maximum=0.5, stride=4, round='{round}'),
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}',
             class_weight='{cfg:class_weight?}'),
        dict(type='SegmentationCE', name='target', domain='target', gamma='{cfg:lse.gamma}'),
        dict(type='ScaleInvariantPatches', name='patches', pseudo_labels=_pseudo, portion='{cfg:lse.portion}',
             scale='{cfg:lse.scale}', gamma='{cfg:lse.gamma}', loss_weight='{cfg:lse.weight}'),
    ])
_config = _base_._main_step.config
_labelling_hook = dict(_config.custom_hooks[0], ranking=dict(type='EntropyRanking'))  # which images are confident
_main_step = dict(config=dict(_config, custom_hooks=[_labelling_hook]))
stages = [_base_._source_start_stage, dict(name='round', repeat=3, steps=[dict(_base_._main_step, **_main_step)])]
