# BDL, segmentation side (Li, Yuan, Vasconcelos, CVPR 2019): AdaptSegNet on a translated source, then rounds in which the target's
# confident predictions are labels as well. The leaf says where the translated source comes from.
_base_ = './self_training.py'
self_training = dict(
    # beta=1: thresholds stay where they are. The authors' code: dict(type='TopPortionPolicy', portion=0.5, cap=0.9).
    policy=dict(type='InstanceAdaptivePolicy', beta=1.0, initial=0.9),
    objectives=[*_base_.model.objectives, dict(type='SegmentationCE', name='target', domain='target')])
_warmup = dict(name='warmup', config={'train_cfg.max_iters': '{cfg:iters.warmup_start}'})
_main = dict(name='main', config=_base_._main_step.config)  # from the backbone weights again, as the authors do
stages = [_warmup, dict(name='round', repeat=2, steps=[_main])]
