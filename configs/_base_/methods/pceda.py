# PCEDA, segmentation side (Yang, Lao, Sundaramoorthi, Soatto, CVPR 2020): AdaptSegNet on a translated source, beside which a
# prior of segmentations given the image learns from source labels; then what it makes of target predictions are pseudo-labels.
_base_ = './adaptsegnet.py'
_prior = dict(
    type='ConditionalPrior', name='prior', num_classes='{cfg:num_classes}', weight='{cfg:pceda.weight}',
    stride='{cfg:pceda.stride}', channels='{cfg:pceda.channels}', bottleneck='{cfg:pceda.bottleneck}')
_source, _adversarial = _base_.model.objectives
model = dict(objectives=[_source, _adversarial, _prior])
pceda = dict(
    weight=1.0, stride=1, channels=(32, 64, 128), bottleneck=16, lr_mult=1.0,
    teacher=dict(momentum=1.0),  # whom the prior corrects: the network of the stage ahead; None: the segmentor
)
_own_rate = {'optim_wrapper.discriminator.paramwise_cfg': dict(custom_keys=dict(prior=dict(lr_mult='{cfg:pceda.lr_mult}')))}
stages = [
    dict(name='prior', config={
        'model.objectives': [_source, _adversarial, dict(_prior, weight=0.0)],
        'train_cfg.max_iters': '{cfg:iters.prior}',
        **_own_rate,
    }),
    dict(name='adapt', init='prior', config={
        'model.teacher': '{cfg:pceda.teacher}',
        'train_cfg.max_iters': '{cfg:iters.adapt}',
        **_own_rate,
    }),
]
