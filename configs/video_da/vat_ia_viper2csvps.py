# Table 4, instance-adaptive pseudo-labels on top of VAT.
_base_ = ['../_base_/models/deeplabv2_r50.py', '../_base_/datasets/viper2csvps.py', '../_base_/methods/vst.py',
          '../_base_/schedules/iast_video_clips.py', '../_base_/default_runtime.py']
segmentor = dict(backbone=dict(bn_mode='eval'))  # true freeze
discriminator = dict(type='SequenceDiscriminator')
self_training = dict(policy=dict(type='InstanceAdaptivePolicy'), objectives='{cfg:_cross_entropy}')
vst = dict(aggregation=None, refinement=None, flow=None)
