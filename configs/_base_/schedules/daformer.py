# AdamW 6e-5 (head x10), linear warm-up over 1.5k, then linear to zero at 40k (DAFormer, Sec. 4.1).
optim_wrapper = dict(
    constructor='UDAOptimWrapperConstructor',
    segmentor=dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr='{cfg:lr}', betas=(0.9, 0.999), weight_decay=0.01),
        paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'decode_head': dict(lr_mult=10.0)})),
    discriminator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr='{cfg:lr_discriminator}', betas=(0.9, 0.99))))
lr, lr_discriminator = 6e-5, 1e-4
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=1500, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=1500, end=40000, by_epoch=False),
]
iters = dict(train=40000)
checkpoint_interval = 2000
