# Alignment of the backbone's last features instead of the predictions.
_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/syn2cs.py', '../_base_/methods/adaptsegnet_feature.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
discriminator = dict(in_channels=2048)
