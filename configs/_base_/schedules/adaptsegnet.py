# SGD for the segmentor (head x10), Adam for the discriminator, poly 0.9 (AdaptSegNet, Sec. 4.3).
optim_wrapper = dict(
    constructor='UDAOptimWrapperConstructor',
    segmentor=dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr='{cfg:lr}', momentum=0.9, weight_decay=5e-4),
        paramwise_cfg=dict(custom_keys={'decode_head': dict(lr_mult=10.0), 'auxiliary_head': dict(lr_mult=10.0),
                                        'second_head': dict(lr_mult=10.0)})),
    discriminator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr='{cfg:lr_discriminator}', betas=(0.9, 0.99))))
lr, lr_discriminator = 2.5e-4, 1e-4
# Poly over 250k, stopped earlier, as the authors do.
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=250000, by_epoch=False)]
iters = dict(train=120000, source=20000, warmup=100000, self_training=10000, discrepancy=2000, main=60000,
             inter=120000, intra=120000)
checkpoint_interval = 2000
