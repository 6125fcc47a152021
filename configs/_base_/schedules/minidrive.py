# Short trainings from scratch on two CPU cores.
optim_wrapper = dict(
    constructor='UDAOptimWrapperConstructor',
    segmentor=dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr='{cfg:lr}', weight_decay=1e-4)),
    discriminator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr='{cfg:lr_discriminator}', betas=(0.9, 0.99))))
lr, lr_discriminator = 2e-3, 2e-4
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=1e-5, begin=0, end='{cfg:train_cfg.max_iters}', by_epoch=False)]
# The main model sees `train` iterations in all, whatever the method: source + warmup + 3 rounds of main, inter + intra.
iters = dict(train=1000, source=200, warmup=200, self_training=60, discrepancy=15, main=200, inter=700, intra=300)
checkpoint_interval = 100
