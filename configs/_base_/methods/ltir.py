# LTIR, segmentation side (Kim and Byun, CVPR 2020): AdaptSegNet on stylised and translated source images, whose textures say
# little about the class (stage 1), then fine-tuning on the target's confident predictions (stage 2).
_base_ = './self_training.py'
self_training = dict(
    policy=dict(type='InstanceAdaptivePolicy', beta=1.0, initial=0.9),  # beta=1: thresholds stay where they are
    objectives=[
        dict(type='SegmentationCE', name='source', domain='source', heads='{cfg:source_heads}',
             class_weight='{cfg:class_weight?}'),
        dict(type='SegmentationCE', name='target', domain='target'),
    ])
_warmup = dict(name='warmup', config={'train_cfg.max_iters': '{cfg:iters.warmup_start}'})
stages = [_warmup, dict(name='round', repeat=2, steps=[_base_._main_step])]
