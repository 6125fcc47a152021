# Table 4, instance-adaptive pseudo-labels on top of VAT.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/vst_with_source.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
discriminator = dict(type='SequenceDiscriminator')
self_training = dict(policy=dict(type='InstanceAdaptivePolicy'), objectives='{cfg:_cross_entropy}')
vst = dict(aggregation=None, refinement=None, flow=None)
