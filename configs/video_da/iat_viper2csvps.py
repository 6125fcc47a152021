# Table 3, (2): image discriminator, no dice loss.
_base_ = ['../_base_/models/deeplabv2_r50.py', '../_base_/datasets/viper2csvps.py', '../_base_/methods/vat.py',
          '../_base_/schedules/iast_video_clips.py', '../_base_/default_runtime.py']
segmentor = dict(backbone=dict(bn_mode='eval'))  # true freeze
vat = dict(objectives=['{cfg:_source}', '{cfg:_adversarial}'])  # without tube matching
