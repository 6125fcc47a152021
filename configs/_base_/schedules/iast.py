# IAST (Mei et al., ECCV 2020): Adam, backbone x0.1, cosine to zero within every stage.
optim_wrapper = dict(
    constructor='UDAOptimWrapperConstructor',
    segmentor=dict(
        type='OptimWrapper', optimizer=dict(type='Adam', lr='{cfg:lr}', betas=(0.9, 0.999)),
        paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)})),
    discriminator=dict(type='OptimWrapper', optimizer=dict(type='Adam', lr='{cfg:lr_discriminator}', betas=(0.9, 0.999))))
lr, lr_discriminator = 1e-4, 2e-5
param_scheduler = [dict(
    type='CosineAnnealingLR', T_max='{cfg:train_cfg.max_iters}', eta_min=0.0, begin=0, end='{cfg:train_cfg.max_iters}',
    by_epoch=False)]
# Epochs of the authors in iterations: 24966 GTA5 images, 8 epochs in batches of 8, then 4 epochs in batches of 4; 2975
# Cityscapes images, 2 epochs in batches of 8 a round.
iters = dict(train=24966, source=24966, source_start=24966, warmup_start=24966, round=744)
stage_overrides = dict(
    source={'train_dataloader.batch_size': 8},
    warmup={'train_dataloader.batch_size': 4, 'optim_wrapper.segmentor.optimizer.lr': 2e-5},
    main={'train_dataloader.batch_size': 8},
    round1_main={'optim_wrapper.segmentor.optimizer.lr': 3e-5},
    round2_main={'optim_wrapper.segmentor.optimizer.lr': 2.5e-5},
    round3_main={'optim_wrapper.segmentor.optimizer.lr': 2e-5})
checkpoint_interval = 2000
