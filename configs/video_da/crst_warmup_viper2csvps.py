_base_ = ['../_base_/models/deeplabv2_r50.py', '../_base_/datasets/viper2csvps.py', '../_base_/methods/crst_mrkld_warmup.py',
          '../_base_/schedules/crst_video.py', '../_base_/default_runtime.py']
segmentor = dict(backbone=dict(bn_mode='eval'))  # true freeze
frame_offsets = (0, )  # single frames
