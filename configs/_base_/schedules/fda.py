# As AdaptSegNet, with poly over 150k, stopped at 100k (the authors' settings).
_base_ = './adaptsegnet.py'
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=150000, by_epoch=False)]
iters = dict(train=100000, fda=100000, fda_self_training=100000)
