# Table 4, with regularisation; the base of Table 6.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive_video.py', '../_base_/methods/vst_with_source.py',
          '../_base_/schedules/minidrive_rounds.py', '../_base_/default_runtime.py']
discriminator = dict(type='SequenceDiscriminator')
vst = dict(refinement=None, flow=None)
