# Table 4, clip-adaptive pseudo-labels of aggregated predictions.
_base_ = ['../_base_/models/deeplabv2_r50.py', '../_base_/datasets/viper2csvps.py', '../_base_/methods/vst.py',
          '../_base_/schedules/iast_video_clips.py', '../_base_/default_runtime.py']
segmentor = dict(backbone=dict(bn_mode='eval'))  # true freeze
discriminator = dict(type='SequenceDiscriminator')
self_training = dict(objectives='{cfg:_cross_entropy}')
vst = dict(refinement=None, flow=None)
