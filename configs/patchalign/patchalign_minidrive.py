_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/patchalign.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
patch = dict(size=(16, 32), source_size='{cfg:crop_size}')
iters = dict(source=200, adapt=800)
# The categorisation module learns at the segmentor's rate: 800 iterations at that of the discriminator do not train it.
optim_wrapper = dict(discriminator=dict(paramwise_cfg=dict(custom_keys={'patch_classifier': dict(lr_mult=10.0)})))
