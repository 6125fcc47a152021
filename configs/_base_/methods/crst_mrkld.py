# CRST-MRKLD (Zou et al., ICCV 2019): CBST whose model is kept from being too sure on the pixels that have a label.
_base_ = './cbst.py'
self_training = dict(objectives=[
    *_base_.self_training.objectives,
    dict(type='PredictionRegularizer', name='mrkld', measure='kld', region='labelled', loss_weight=0.1),
])
