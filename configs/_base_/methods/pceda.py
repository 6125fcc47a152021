# PCEDA, segmentation side (Yang, Lao, Sundaramoorthi, Soatto, CVPR 2020): AdaptSegNet on a translated source, and on the target a
# prior of segmentations given the image, learned from source labels in a stage ahead.
_base_ = './adaptsegnet.py'
_prior = dict(
    type='ConditionalPrior', name='prior', num_classes='{cfg:num_classes}', weight='{cfg:pceda.weight}',
    stride='{cfg:pceda.stride}', channels='{cfg:pceda.channels}', bottleneck='{cfg:pceda.bottleneck}')
_source, _adversarial = _base_.model.objectives
model = dict(objectives=[_source, _adversarial, _prior])
pceda = dict(weight=0.05, stride=4, channels=(32, 64, 128), bottleneck=16)
_faster = {'optim_wrapper.discriminator.paramwise_cfg': dict(custom_keys=dict(prior=dict(lr_mult=10.0)))}
stages = [
    dict(name='prior', config={
        'model.objectives': [_source, dict(_prior, weight=0.0)],
        'train_cfg.max_iters': '{cfg:iters.prior}',
        **_faster,
    }),
    dict(name='adapt', init='prior', config={'train_cfg.max_iters': '{cfg:iters.adapt}', **_faster}),
]
