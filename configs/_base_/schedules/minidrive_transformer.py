# Short trainings of a small transformer from scratch: as minidrive.py with a smaller rate, and a warm-up on top.
_base_ = './minidrive.py'
lr = 1e-3
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=0.9, eta_min=1e-5, begin=0, end='{cfg:train_cfg.max_iters}', by_epoch=False),
]
