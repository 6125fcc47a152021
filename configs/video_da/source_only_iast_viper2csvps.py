# Source-only as the start of IAST, iat and VAT: row (1) that rows (2) to (4) of Table 3 can be compared with.
_base_ = ['../_base_/models/deeplabv2_r50.py', '../_base_/datasets/viper2csvps.py', '../_base_/methods/source_only.py',
          '../_base_/schedules/iast_video.py', '../_base_/default_runtime.py']
segmentor = dict(backbone=dict(bn_mode='eval'))  # true freeze
frame_offsets = (0, )  # single frames
train_dataloader = dict(batch_size=8)
