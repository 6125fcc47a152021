_base_ = ['../_base_/models/deeplabv2_tiny.py', '../_base_/datasets/minidrive.py', '../_base_/methods/clan.py',
          '../_base_/schedules/minidrive.py', '../_base_/default_runtime.py']
segmentor = dict(decode_head=dict(type='DualDeepLabV2Head'))
iters = dict(preheat=50, adapt=950)
