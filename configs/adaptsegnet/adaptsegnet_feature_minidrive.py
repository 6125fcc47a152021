# Alignment of the backbone's last features instead of the predictions.
_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/adaptsegnet_feature.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
discriminator = dict(in_channels=128, channels=(16, 32, 64))  # four strides, not five: features are 32x16
