# SIM (Wang et al., CVPR 2020): AdaptSegNet with target regions of stuff and instances of things drawn to the most similar source
# regions (step 1), then the same with pseudo-labels (step 2).
_base_ = './self_training.py'
_matching = dict(
    type='StuffThingMatching', name='matching', classes='{cfg:classes}', channels='{cfg:segmentor.decode_head.in_channels}',
    weights='{cfg:sim.weights}', memory_size='{cfg:sim.memory_size}', max_things='{cfg:sim.max_things}')
model = dict(objectives=[*_base_.model.objectives, _matching])
sim = dict(weights=dict(stuff=0.01, things=0.01), memory_size=50, max_things=32)
self_training = dict(
    policy=dict(type='InstanceAdaptivePolicy', beta=1.0, initial=0.9),  # beta=1: thresholds stay where they are
    objectives=[*model['objectives'], dict(type='SegmentationCE', name='target', domain='target')])
_warmup = dict(name='warmup', config={'train_cfg.max_iters': '{cfg:iters.warmup_start}'})
stages = [_warmup, dict(name='round', repeat=1, steps=[_base_._main_step])]
