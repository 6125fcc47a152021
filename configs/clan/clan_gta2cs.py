_base_ = ['../_base_/models/deeplabv2_r101.py', '../_base_/datasets/gta2cs.py', '../_base_/methods/clan.py',
          '../_base_/schedules/adaptsegnet.py', '../_base_/default_runtime.py']
segmentor = dict(decode_head=dict(type='DualDeepLabV2Head'))
iters = dict(preheat=5000, adapt=95000)
